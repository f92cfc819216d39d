"""Whether a vocabulary fits a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrnn.data.vocabulary import Vocabulary
    from fastrnn.language.language_model import LanguageModel

__all__ = ["check_vocabulary"]


def check_vocabulary(model: LanguageModel, vocabulary: Vocabulary) -> None:
    """Check that a vocabulary has the ids of a model, and the same ids for the start and the end of a text.

    What only one of them has is not compared: a model may start a text with a line end, for example.

    Raises
    ------
    ValueError
        If the numbers of symbols differ, or the ids of ``eos``, or the model's ``start`` and the ``bos``.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(3, hidden_size=4, eos=1, seed=0)
    >>> check_vocabulary(model, fr.Vocabulary("ab", eos="<eos>"))
    Traceback (most recent call last):
    ValueError: eos: the model ends texts with id 1, the vocabulary with id 2, '<eos>'
    """
    if len(vocabulary) != model.vocabulary_size:
        raise ValueError(f"the vocabulary has {len(vocabulary)} symbols, the model {model.vocabulary_size}")
    eos, bos = vocabulary.eos_id, vocabulary.bos_id
    if eos is not None and model.eos is not None and model.eos != eos:
        raise ValueError(
            f"eos: the model ends texts with id {model.eos}, the vocabulary with id {eos}, "
            f"{vocabulary.symbols[eos]!r}"
        )
    if bos is not None and model.start not in (None, bos):
        start = "no symbol" if model.start == -1 else f"id {model.start}"
        raise ValueError(
            f"start: the model starts texts with {start}, the vocabulary with id {bos}, "
            f"{vocabulary.symbols[bos]!r}"
        )
