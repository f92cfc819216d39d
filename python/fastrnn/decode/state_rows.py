"""Select rows of a batch's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from fastrnn.language import LanguageModel

__all__ = ["select_rows", "select_stream_rows"]


def select_rows(state: Any, rows: ArrayLike) -> Any:
    """Return a state made of the given rows of another, in any order and number.

    Parameters
    ----------
    state : ndarray [L, N, H], or a tuple of such, nested to any depth
        The ``state`` of a stream.
    rows : array_like of int, shape [M]
        Each in ``0 .. N - 1``.

    Returns
    -------
    state : as `state`, with M for N

    Raises
    ------
    IndexError
        If a row is out of range.

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


def select_stream_rows(model: LanguageModel, stream: Any, rows: NDArray[np.intp]) -> Any:
    """Return a stream whose sequences are the given rows of another.

    Parameters
    ----------
    model : LanguageModel
    stream : LanguageModelStream
        A stream of `model`. Do not use it afterwards.
    rows : ndarray, int, shape [M]
        As for `select_rows`.

    Returns
    -------
    stream : LanguageModelStream
        With M sequences.
    """
    if len(rows) == stream.batch_size and np.array_equal(rows, np.arange(len(rows))):
        return stream
    state, context = select_rows(stream.state, rows), getattr(stream, "context", None)
    if context is not None:
        stream = model.stream(len(rows), context=context[rows])
    elif len(rows) != stream.batch_size:
        stream = model.stream(len(rows))
    stream.state = state
    return stream
