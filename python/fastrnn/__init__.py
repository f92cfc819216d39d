"""Recurrent neural networks on the CPU: vanilla, GRU and LSTM, trained and run by native kernels.

Layers are `RNN`, `GRU`, `LSTM`, `MinGRU`, `MinLSTM`, `Linear` and `Embedding`; `Stack` and `Head` make
several into one, `init` starts their parameters in other ways, `LanguageModel` puts them together;
`Vocabulary` turns text into ids. The subpackages ``train``, ``decode``, ``interop`` and ``reference`` hold
the rest. All of it is imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastrnn._version import __version__

if TYPE_CHECKING:
    from fastrnn import data, decode, interop, layers, models, reference, train
    from fastrnn._dispatch import available_isas, get_num_threads, isa, set_num_threads
    from fastrnn.data import ChunkedText, Vocabulary
    from fastrnn.layers import (
        GRU,
        LSTM,
        RNN,
        Embedding,
        Head,
        Jordan,
        Linear,
        MinGRU,
        MinLSTM,
        Stack,
        activity_penalties,
        init,
        softmax_cross_entropy,
    )
    from fastrnn.models import LanguageModel

# Where each name is found when first used. Nothing is imported before, so that the command line can say in
# words of its own that FASTRNN_ISA is wrong.
_SUBPACKAGES = ("data", "decode", "interop", "layers", "models", "reference", "train")
_HOMES = {
    "_dispatch": ("available_isas", "get_num_threads", "isa", "set_num_threads"),
    "data": ("ChunkedText", "Vocabulary"),
    "layers": (
        "GRU",
        "LSTM",
        "RNN",
        "Embedding",
        "Head",
        "Jordan",
        "Linear",
        "MinGRU",
        "MinLSTM",
        "Stack",
        "activity_penalties",
        "init",
        "softmax_cross_entropy",
    ),
    "models": ("LanguageModel",),
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "ChunkedText",
    "Embedding",
    "Head",
    "Jordan",
    "LanguageModel",
    "Linear",
    "MinGRU",
    "MinLSTM",
    "Stack",
    "Vocabulary",
    "__version__",
    "activity_penalties",
    "available_isas",
    "data",
    "decode",
    "get_num_threads",
    "init",
    "interop",
    "isa",
    "layers",
    "models",
    "reference",
    "set_num_threads",
    "softmax_cross_entropy",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"fastrnn.{name}")
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(f"fastrnn.{home}"), name)
            return value
    raise AttributeError(f"module 'fastrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
