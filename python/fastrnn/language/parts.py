"""The modules of a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn.language.length_outputs import HaltOutput, LengthOutput
from fastrnn.layers import AdaptiveSoftmax, Embedding, Head, Module, Recurrent, Softmax, Stack, TiedSoftmax
from fastrnn.layers.description import from_description

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from fastrnn.language.settings import Settings

__all__ = ["make_parts"]


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
        For the parameters.
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
    return parts
