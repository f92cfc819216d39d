"""Recurrent neural networks on the CPU: vanilla, GRU and LSTM, trained and run by native kernels.

The layers are `RNN`, `GRU`, `LSTM`, `SLSTM`, `MinGRU`, `MinLSTM`, `Jordan`, `Linear`, `Embedding` and `CRF`;
`AdditiveAttention`, `MultiplicativeAttention` and `AttentionPooling` attend to the steps of a sequence.
`Stack`, `Sequential`, `Composite` and `Head` combine several into one, `init` offers other
initialisations, and `LanguageModel` is a complete model; ``models`` has those with ``fit``. `quantize` makes
smaller ones for inference. `Vocabulary` turns text into ids. The subpackages ``losses``, ``train``,
``decode``, ``inspect``, ``interop``, ``plots`` and ``reference`` hold the rest.
Everything is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastrnn._other_words import hint_of_package
from fastrnn._version import __version__

if TYPE_CHECKING:
    from fastrnn import (
        data,
        decode,
        inspect,
        interop,
        language,
        layers,
        losses,
        models,
        plots,
        reference,
        train,
    )
    from fastrnn._dispatch import available_isas, get_num_threads, isa, set_num_threads, thread_counters
    from fastrnn.data import ChunkedText, Vocabulary
    from fastrnn.language import LanguageModel
    from fastrnn.layers import (
        CRF,
        GRU,
        LSTM,
        RNN,
        SLSTM,
        Activation,
        AdditiveAttention,
        AttentionPooling,
        Composite,
        Embedding,
        Head,
        Jordan,
        Linear,
        MinGRU,
        MinLSTM,
        MultiplicativeAttention,
        Sequential,
        Stack,
        activity_penalties,
        binary_cross_entropy,
        ctc_align,
        ctc_loss,
        init,
        quantize,
        softmax_cross_entropy,
    )

# The module of each name, imported on first use. Nothing is imported earlier, so that the command line can
# report a wrong FASTRNN_ISA in one line.
_SUBPACKAGES = (
    "data",
    "decode",
    "inspect",
    "interop",
    "language",
    "layers",
    "losses",
    "models",
    "plots",
    "reference",
    "train",
)
_WITHOUT_HINT = ("plots", "reference")  # one needs a library of the extras, one is a judge
_HOMES = {
    "_dispatch": ("available_isas", "get_num_threads", "isa", "set_num_threads", "thread_counters"),
    "data": ("ChunkedText", "Vocabulary"),
    "layers": (
        "CRF",
        "GRU",
        "LSTM",
        "RNN",
        "SLSTM",
        "Activation",
        "AdditiveAttention",
        "AttentionPooling",
        "Composite",
        "Embedding",
        "Head",
        "Jordan",
        "Linear",
        "MinGRU",
        "MinLSTM",
        "MultiplicativeAttention",
        "Sequential",
        "Stack",
        "activity_penalties",
        "binary_cross_entropy",
        "ctc_align",
        "ctc_loss",
        "init",
        "quantize",
        "softmax_cross_entropy",
    ),
    "language": ("LanguageModel",),
}

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "RNN",
    "SLSTM",
    "Activation",
    "AdditiveAttention",
    "AttentionPooling",
    "ChunkedText",
    "Composite",
    "Embedding",
    "Head",
    "Jordan",
    "LanguageModel",
    "Linear",
    "MinGRU",
    "MinLSTM",
    "MultiplicativeAttention",
    "Sequential",
    "Stack",
    "Vocabulary",
    "__version__",
    "activity_penalties",
    "available_isas",
    "binary_cross_entropy",
    "ctc_align",
    "ctc_loss",
    "data",
    "decode",
    "get_num_threads",
    "init",
    "inspect",
    "interop",
    "isa",
    "language",
    "layers",
    "losses",
    "models",
    "plots",
    "quantize",
    "reference",
    "set_num_threads",
    "softmax_cross_entropy",
    "thread_counters",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"fastrnn.{name}")
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(f"fastrnn.{home}"), name)
            return value
    hint = hint_of_package(name, (module for module in _SUBPACKAGES if module not in _WITHOUT_HINT))
    raise AttributeError(f"module 'fastrnn' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
