"""A text cut into parallel streams and chunks, for truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._arrays import NO_TARGET
from fastrnn._checks import as_size

__all__ = ["Batch", "ChunkedText", "TrainingData"]


class Batch(NamedTuple):
    """What a model reads in one go, and what it is to predict.

    Attributes
    ----------
    inputs : ndarray, int64, shape [T, N]
    targets : ndarray, int64, shape [T, N]
        The id after each; -1 is not counted.
    lengths : ndarray, int64, shape [N], or None
        Steps of each row, where not all have T.
    advance : int
        How many steps of this batch lie before the first step of the next one: T where the next one begins
        at this one's end, less where it reads a part of it again, 0 where rows have nothing before them.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64] | None
    advance: int

    @property
    def tokens(self) -> int:
        """Number of targets that are counted."""
        return int(np.count_nonzero(self.targets != NO_TARGET))


class TrainingData(Protocol):
    """What a trainer reads: batches without an end, in an order that their number fixes.

    Attributes
    ----------
    tokens : int
        Targets of one epoch.
    """

    tokens: int

    @property
    def order(self) -> int | None:
        """What the order of batches follows from, beside their number; None where they have one order."""

    def __len__(self) -> int:
        """Batches of one epoch. The state before an epoch's first batch is zero."""

    def batch(self, step: int) -> Batch:
        """Give the batch of a step, counted from 0 through all epochs."""


class ChunkedText:
    """One long text as N streams side by side, each read in chunks of T steps.

    Stream ``n`` is the ``n``-th of N equal, contiguous pieces of the text. Chunk ``k + 1`` goes on where
    chunk ``k`` ended in every stream, so the recurrent state at the end of a chunk is the state at the start
    of the next one. Targets are the inputs shifted by one. The last chunk of an epoch may be shorter than T;
    fewer than N symbols at the end of the text are left over.

    With `backward_length` k2 a chunk also holds the ``k2 - T`` steps before it (fewer at the start of the
    text), with targets of -1, as their losses were counted before: gradients go back through k2 steps.

    The object never changes: a place in the data is a chunk's number, which its reader keeps.

    Parameters
    ----------
    ids : array_like of int, shape [symbols]
        The text as ids.
    batch_size : int
        N, the number of streams.
    seq_length : int
        T, the number of new steps of a chunk: k1 of truncated backpropagation through time.
    backward_length : int, optional
        k2, the number of steps that gradients go back through; default `seq_length`.

    Attributes
    ----------
    batch_size, seq_length, backward_length : int
        As given.
    steps_per_stream : int
        Steps of one stream: ``(symbols - 1) // batch_size``.
    tokens : int
        Targets of one epoch: ``batch_size * steps_per_stream``.

    Raises
    ------
    ValueError
        If a size is not positive, `backward_length` is less than `seq_length`, ``ids`` is not
        one-dimensional, or the text is shorter than one sequence (``seq_length + 1`` symbols) or has less
        than one step for each stream.
    TypeError
        If ``ids`` or a size is not of an integer type.

    References
    ----------
    Williams, Peng (1990), "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network
    Trajectories", for ``BPTT(h; h')``: here h is k2 and h' is k1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.data import ChunkedText
    >>> data = ChunkedText(np.arange(11), batch_size=2, seq_length=3)
    >>> [inputs.T.tolist() for inputs, targets in data]
    [[[0, 1, 2], [5, 6, 7]], [[3, 4], [8, 9]]]
    >>> data.chunk(1)[1].T.tolist()
    [[4, 5], [9, 10]]

    Gradients back through five steps, parameters moved every three:

    >>> data = ChunkedText(np.arange(11), batch_size=1, seq_length=3, backward_length=5)
    >>> [(inputs.T.tolist(), targets.T.tolist()) for inputs, targets in data][1]
    ([[1, 2, 3, 4, 5]], [[-1, -1, 4, 5, 6]])
    """

    order: int | None = None

    def __init__(
        self, ids: ArrayLike, batch_size: int, seq_length: int, *, backward_length: int | None = None
    ) -> None:
        self.batch_size = as_size("batch_size", batch_size)
        self.seq_length = as_size("seq_length", seq_length)
        self.backward_length = self.seq_length
        if backward_length is not None:
            self.backward_length = as_size("backward_length", backward_length)
        if self.backward_length < self.seq_length:
            raise ValueError(
                f"backward_length: expected seq_length={self.seq_length} or more, got {backward_length}"
            )
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
            T is ``seq_length``, less in the last chunk, and more by the steps that ``backward_length`` puts
            before them.

        Raises
        ------
        IndexError
            If there is no such chunk.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"chunk {index} of {len(self)}")
        first = self._first(index)
        part = slice(first, (index + 1) * self.seq_length)
        inputs, targets = (np.ascontiguousarray(ids[:, part].T) for ids in (self._inputs, self._targets))
        if first < index * self.seq_length:
            targets = targets.copy()  # of one stream, they are still the text itself
            targets[: index * self.seq_length - first] = NO_TARGET
        return inputs, targets

    def batch(self, step: int) -> Batch:
        """Give the chunk of a step of training, counted from 0 through all epochs.

        Parameters
        ----------
        step : int
            0 or more.

        Returns
        -------
        batch : Batch
            Without lengths, as all streams have T steps.
        """
        index = step % len(self)
        inputs, targets = self.chunk(index)
        return Batch(inputs, targets, None, min(self._first(index + 1) - self._first(index), len(inputs)))

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Go through one epoch."""
        return (self.chunk(index) for index in range(len(self)))

    def _first(self, index: int) -> int:
        """Step of a stream with which a chunk begins."""
        return max(0, (index + 1) * self.seq_length - self.backward_length)


def as_text_ids(name: str, ids: ArrayLike) -> NDArray[np.int64]:
    """Check the ids of a text and give them as a one-dimensional int64 array."""
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected [symbols], got {list(array.shape)}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    return array.astype(np.int64)
