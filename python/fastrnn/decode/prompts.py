"""What a model reads before it generates: its start and a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import as_size
from fastrnn._foreign import of_others
from fastrnn.data.batching import as_text_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastrnn.language import LanguageModel

__all__ = ["as_prompt", "as_prompts", "context_of"]


def as_prompt(model: LanguageModel, name: str, prompt: ArrayLike | None) -> NDArray[np.int64]:
    """Check a prompt and put the model's start before it.

    Parameters
    ----------
    model : LanguageModel
    name : str
        Name of the argument, for messages.
    prompt : array_like of int, shape [symbols], optional
        None is an empty one.

    Returns
    -------
    ids : ndarray, int64, shape [symbols] or [1 + symbols]
        What the model reads, at least one id.

    Raises
    ------
    ValueError
        If it is not one-dimensional, an id is out of range, or it is empty and the model has no start.
    TypeError
        If it does not hold integers.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, seed=0)
    >>> as_prompt(model, "prompt", [1, 9])
    Traceback (most recent call last):
    ValueError: prompt: 9 is out of range for 4 symbols
    """
    ids = as_text_ids(name, () if prompt is None else prompt)
    wrong = ids[(ids < 0) | (ids >= model.vocabulary_size)]
    if wrong.size:
        raise ValueError(f"{name}: {wrong[0]} is out of range for {model.vocabulary_size} symbols")
    start = model.start
    if start is None and not ids.size:
        raise ValueError(f"{name}: expected at least one symbol, as this model has no start symbol")
    return ids if start is None else np.concatenate([np.array([start], dtype=np.int64), ids])


def context_of(context: ArrayLike | None, count: int) -> dict[str, NDArray[np.floating]]:
    """Return the contexts of some texts, [N, C], as an argument of a stream; nothing without one.

    Parameters
    ----------
    context : array_like, float [C] or [N, C], optional
        One for all texts, or one for each.
    count : int
        N.
    """
    if context is None:
        return {}
    array = np.asarray(of_others("context", context))
    return {"context": np.repeat(array[None], count, axis=0) if array.ndim == 1 else array}


def as_prompts(
    model: LanguageModel, prompts: ArrayLike | Sequence[ArrayLike] | None, count: int | None
) -> list[NDArray[np.int64]]:
    """Check the prompts of a batch and put the model's start before each.

    Parameters
    ----------
    model : LanguageModel
    prompts : None, array_like of int [symbols], or a list of them
        One for all, or one for each.
    count : int, optional
        Number of texts; default: the number of prompts.

    Returns
    -------
    prompts : list of ndarray, int64
        As `as_prompt` returns them.

    Raises
    ------
    ValueError
        As `as_prompt`, and if the list is empty or its length is not `count`.
    TypeError
        As `as_prompt`, and if `count` is not an integer.
    """
    prompts = of_others("prompts", prompts)
    if isinstance(prompts, np.ndarray) and prompts.ndim == 2:
        prompts = list(prompts)
    number = None if count is None else as_size("count", count)
    if not isinstance(prompts, (list, tuple)) or (prompts and np.ndim(prompts[0]) == 0):
        one: ArrayLike | None = prompts  # type: ignore[assignment]  # a list of arrays does not reach this line
        return [as_prompt(model, "prompts", one)] * (number or 1)
    if not prompts:
        raise ValueError("prompts: expected ids or a list of arrays of ids, got an empty list")
    if number not in (None, len(prompts)):
        raise ValueError(f"prompts: expected {number} arrays of ids, one for each text, got {len(prompts)}")
    return [as_prompt(model, f"prompts[{i}]", prompt) for i, prompt in enumerate(prompts)]
