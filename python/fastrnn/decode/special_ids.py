"""Ids a vocabulary reserves: those that start a text, and those that no text contains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag
from fastrnn.language.vocabulary_match import check_vocabulary

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary
    from fastrnn.language import LanguageModel

__all__ = ["banned_ids", "first_ids"]


def first_ids(
    vocabulary: Vocabulary, prompt: str, generator: np.random.Generator, model: LanguageModel | None = None
) -> NDArray[np.int64]:
    """Return the ids to start from: the prompt's, or without a prompt those that `sample` describes.

    Raises
    ------
    ValueError
        If the vocabulary is not that of the model, or lacks a symbol of the prompt.
    """
    if model is not None:
        check_vocabulary(model, vocabulary)
    if prompt:
        try:
            return vocabulary.encode(prompt)
        except ValueError as error:
            raise ValueError(f"prompt: {str(error).removeprefix('text: ')}") from None
    if model is not None and model.start is not None:
        return np.empty(0, dtype=np.int64)
    bos = vocabulary.bos_id
    if bos is not None:
        return np.array([bos], dtype=np.int64)
    if "\n" in vocabulary:
        return vocabulary.encode("\n")
    return generator.integers(len(vocabulary), size=1)


def banned_ids(vocabulary: Vocabulary, reject_unknown: bool) -> set[int]:
    """Return the ids that no text contains; a symbol that also ends texts is not one of them."""
    around = {vocabulary.bos_id, vocabulary.pad_id}
    unknown = {vocabulary.unknown_id} if as_flag("reject_unknown", reject_unknown) else set()
    banned = (around - {vocabulary.eos_id}) | unknown
    return {i for i in banned if i is not None}
