"""States of a batch, taken apart by rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from fastrnn.models import LanguageModel

__all__ = ["regroup", "select_rows"]


def select_rows(state: Any, rows: ArrayLike) -> Any:
    """Make a state whose sequences are those of other rows, in any order and any number.

    Parameters
    ----------
    state : ndarray [L, N, H], or a tuple of such, nested to any depth
        As a stream gives it.
    rows : array_like of int, shape [M]
        Each in ``0 .. N - 1``.

    Returns
    -------
    state : as `state`, with M for N

    Raises
    ------
    IndexError
        If there is no such row.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> stream = fr.LSTM(3, 4, seed=0).stream(batch_size=2)
    >>> y = stream.step(np.eye(2, 3, dtype=np.float32))
    >>> h, c = select_rows(stream.state, [1, 1, 0])
    >>> np.array_equal(h[0], y[[1, 1, 0]])
    True
    """
    if isinstance(state, tuple):
        return tuple(select_rows(part, rows) for part in state)
    return np.ascontiguousarray(state[:, np.asarray(rows, dtype=np.intp)])


def regroup(model: LanguageModel, stream: Any, rows: NDArray[np.intp]) -> Any:
    """Make the sequences of a stream those of other rows.

    Parameters
    ----------
    model : LanguageModel
    stream : LanguageModelStream
        Of `model`. It is used up.
    rows : ndarray, int, shape [M]
        As for `select_rows`.

    Returns
    -------
    stream : LanguageModelStream
        Of M sequences.
    """
    if len(rows) == stream.batch_size and np.array_equal(rows, np.arange(len(rows))):
        return stream
    state = select_rows(stream.state, rows)
    if len(rows) != stream.batch_size:
        stream = model.stream(len(rows))
    stream.state = state
    return stream
