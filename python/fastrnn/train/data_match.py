"""Whether training data starts and ends its texts as a model does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrnn.language import LanguageModel

__all__ = ["check_data"]


def check_data(name: str, model: LanguageModel, data: Any) -> None:
    """Check that sentences have the start and the end of the model, where both say what these are.

    Raises
    ------
    ValueError
        If they differ; data of other kinds has neither.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(5, hidden_size=4, start=-1, eos=0, seed=0)
    >>> check_data("data", model, fr.data.SentenceBatches([[1, 2]], 1, eos=4))
    Traceback (most recent call last):
    ValueError: eos: the model ends texts with id 0, data with id 4
    """
    for role, verb in (("eos", "ends"), ("start", "starts")):
        wanted, given = getattr(model, role), getattr(data, role, None)
        if wanted is not None and given is not None and wanted != given:
            raise ValueError(f"{role}: the model {verb} texts with id {wanted}, {name} with id {given}")
