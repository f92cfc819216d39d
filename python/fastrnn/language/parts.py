"""The modules of a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn.language.length_outputs import HaltOutput, LengthOutput
from fastrnn.layers import AdaptiveSoftmax, Embedding, Head, Module, Recurrent, Softmax, Stack, TiedSoftmax
from fastrnn.layers.description import from_description, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from fastrnn.language.settings import Settings
    from fastrnn.layers.base.module_group import ModuleGroup
    from fastrnn.layers.base.precision import Precision

__all__ = ["make_parts", "set_precision"]


def make_parts(
    settings: Settings,
    rnn: Recurrent[Any] | Stack | Mapping[str, Any] | None,
    head: Head | Mapping[str, Any] | None,
    generator: np.random.Generator,
) -> dict[str, Module]:
    """Return the modules of a `LanguageModel` by name.

    Parameters
    ----------
    settings : Settings
        Checked.
    rnn : Recurrent, Stack or mapping, optional
        The recurrent layers, if given; a description is also in the settings.
    head : Head or mapping, optional
        As `rnn`.
    generator : numpy.random.Generator
        For the parameters, and then for dropout.
    """
    options: dict[str, Any] = {"dtype": settings.dtype, "seed": generator}
    parts: dict[str, Module] = {}
    V, E, width = settings.vocabulary_size, settings.embedding_size, settings.output_size
    if E is not None:
        parts["embedding"] = embedding = Embedding(V, E, sparse=settings.sparse_embedding, **options)
    parts["rnn"] = (
        rnn if isinstance(rnn, (Recurrent, Stack)) else from_description(settings.description, generator)
    )
    if settings.head is not None:
        parts["head"] = head if isinstance(head, Head) else Head(**settings.head, **options)
    if settings.cutoffs is not None:
        parts["output"] = AdaptiveSoftmax(width, V, settings.cutoffs, **options)
    else:
        parts["output"] = TiedSoftmax(embedding) if settings.tied else Softmax(width, V, **options)
    if settings.tied:  # standard normal weights would make the first logits too large
        embedding.parameters._writable_flat()[...] *= width**-0.5
    if settings.length_model == "halt":
        parts["length"] = HaltOutput(settings.layers_size, **options)
    elif settings.length_model == "tau":
        assert settings.max_length is not None
        assert E is not None
        parts["length"] = LengthOutput(settings.layers_size, settings.max_length, E, **options)
    layers = parts["rnn"]
    assert isinstance(layers, (Recurrent, Stack))
    for part in (layers, *parts_of(layers), parts.get("head")):
        if isinstance(part, (Recurrent, Stack, Head)):
            part.rng = generator
    return parts


def set_precision(model: ModuleGroup, precision: Precision) -> None:
    """Set the precision of a model's products.

    Raises
    ------
    ValueError
        If all its parts stay float32.
    """
    model._set_precision(precision)
    if all(part.precision == "float32" for part in model._modules if not isinstance(part, Embedding)):
        raise ValueError(
            f"precision: expected 'float32', as no part of this model has {precision}; "
            "LSTM, GRU and RNN without options, the softmax and the head have"
        )
