"""A text cut into parallel streams and chunks, for truncated backpropagation through time."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ChunkedText"]


class ChunkedText:
    """One long text as N streams side by side, each read in chunks of T steps.

    Stream ``n`` is the ``n``-th of N equal, contiguous pieces of the text. Chunk ``k + 1`` goes on where
    chunk ``k`` ended in every stream, so the recurrent state at the end of a chunk is the state at the start
    of the next one. Targets are the inputs shifted by one. The last chunk of an epoch may be shorter than T;
    fewer than N symbols at the end of the text are left over.

    The object never changes: a place in the data is a chunk's number, which its reader keeps.

    Parameters
    ----------
    ids : array_like of int, shape [symbols]
        The text as ids.
    batch_size : int
        N, the number of streams.
    seq_length : int
        T, the number of steps of a chunk.

    Attributes
    ----------
    batch_size, seq_length : int
        As given.
    steps_per_stream : int
        Steps of one stream: ``(symbols - 1) // batch_size``.
    tokens : int
        Targets of one epoch: ``batch_size * steps_per_stream``.

    Raises
    ------
    ValueError
        If a size is not positive, ``ids`` is not one-dimensional, or the text is shorter than one sequence
        (``seq_length + 1`` symbols) or has less than one step for each stream.
    TypeError
        If ``ids`` or a size is not of an integer type.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.data import ChunkedText
    >>> data = ChunkedText(np.arange(11), batch_size=2, seq_length=3)
    >>> [inputs.T.tolist() for inputs, targets in data]
    [[[0, 1, 2], [5, 6, 7]], [[3, 4], [8, 9]]]
    >>> data.chunk(1)[1].T.tolist()
    [[4, 5], [9, 10]]
    """

    def __init__(self, ids: ArrayLike, batch_size: int, seq_length: int) -> None:
        self.batch_size = _positive("batch_size", batch_size)
        self.seq_length = _positive("seq_length", seq_length)
        symbols = as_text_ids("ids", ids)
        if len(symbols) < self.seq_length + 1:
            raise ValueError(
                f"text: {len(symbols)} symbols are shorter than one sequence ({self.seq_length} + 1); "
                "give more text or a smaller seq_length"
            )
        self.steps_per_stream = (len(symbols) - 1) // self.batch_size
        if self.steps_per_stream < 1:
            raise ValueError(
                f"text: {len(symbols)} symbols are too few for {self.batch_size} streams; "
                "give more text or a smaller batch_size"
            )
        self.tokens = self.batch_size * self.steps_per_stream
        streams = (self.batch_size, self.steps_per_stream)
        self._inputs = symbols[: self.tokens].reshape(streams)
        self._targets = symbols[1 : self.tokens + 1].reshape(streams)

    def __len__(self) -> int:
        """Chunks of one epoch."""
        return -(-self.steps_per_stream // self.seq_length)

    def chunk(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give one chunk of an epoch.

        Parameters
        ----------
        index : int
            In ``0 .. len(self) - 1``.

        Returns
        -------
        inputs, targets : ndarray, int64, shape [T, N]
            T is ``seq_length``, or less in the last chunk.

        Raises
        ------
        IndexError
            If there is no such chunk.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"chunk {index} of {len(self)}")
        part = slice(index * self.seq_length, (index + 1) * self.seq_length)
        return np.ascontiguousarray(self._inputs[:, part].T), np.ascontiguousarray(self._targets[:, part].T)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Go through one epoch."""
        return (self.chunk(index) for index in range(len(self)))


def as_text_ids(name: str, ids: ArrayLike) -> NDArray[np.int64]:
    """Check the ids of a text and give them as a one-dimensional int64 array."""
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected [symbols], got {list(array.shape)}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    return array.astype(np.int64)


def _positive(name: str, value: int) -> int:
    number = operator.index(value)
    if number < 1:
        raise ValueError(f"{name}: expected a positive integer, got {number}")
    return number
