"""A text split into parallel streams and chunks, for truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._arrays import NO_TARGET
from fastrnn._checks import as_size
from fastrnn._foreign import of_others

__all__ = ["Batch", "ChunkedText", "TrainingData"]


class Batch(NamedTuple):
    """The inputs and targets of one training step.

    Attributes
    ----------
    inputs : ndarray, int64, shape [T, N]
        Of `ExampleBatches` also float [T, N, D].
    targets : ndarray, int64, shape [T, N]
        The id after each input; -1 does not count. Of `ExampleBatches` whatever its targets are.
    lengths : ndarray, int64, shape [N], or None
        Steps of each row, if not all have T.
    advance : int
        Steps from the start of this batch to the start of the next: T if the next one begins where this one
        ends, fewer if it overlaps this one, 0 if rows do not continue earlier ones.
    counted : int, optional
        Number of targets that count; None: those that are not -1.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    lengths: NDArray[np.int64] | None
    advance: int
    counted: int | None = None

    @property
    def tokens(self) -> int:
        """Number of targets that count."""
        if self.counted is not None:
            return self.counted
        return int(np.count_nonzero(self.targets != NO_TARGET))


class TrainingData(Protocol):
    """The data of a trainer: an endless sequence of batches, each fixed by its number.

    Attributes
    ----------
    tokens : int
        Number of targets of one epoch.
    largest : int
        Steps of the largest batch times its rows.
    """

    tokens: int

    @property
    def largest(self) -> int:
        """Steps of the largest batch times its rows."""

    @property
    def order(self) -> int | None:
        """The seed of the batches' order; None if the order is always the same."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch. The state before an epoch's first batch is zero."""

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0 over all epochs."""

    def rows_of(self, step: int) -> int:
        """Return the number of rows of a step's batch."""

    def part(self, step: int, rows: slice) -> Batch:
        """Return some rows of the batch of a step."""

    def tokens_of(self, step: int, rows: slice) -> int:
        """Return the number of targets of some rows of a batch, without reading them."""


class ChunkedText:
    """One long text as N parallel streams, each read in chunks of T steps.

    Stream ``n`` is the ``n``-th of N equal, contiguous pieces of the text. In every stream chunk ``k + 1``
    starts where chunk ``k`` ended, so the recurrent state at the end of a chunk is the state at the start of
    the next. Targets are the inputs shifted by one. The last chunk of an epoch may be shorter than T. Fewer
    than N symbols at the end of the text are not used.

    With `backward_length` k2 a chunk also holds the ``k2 - T`` steps before it (fewer at the start of the
    text), with targets of -1, as their losses have already been counted: gradients go back through k2 steps.

    The object is immutable: a position in the data is the number of a chunk, and the reader keeps it.

    Parameters
    ----------
    ids : array_like of int, shape [symbols]
        The text as ids. An array of integers that nobody can write to is used where it is, whatever their
        size, such as those of a `PreparedText` or a ``np.memmap`` of mode "r": a chunk then reads its own
        steps only. Others are copied.
    batch_size : int
        N, the number of streams.
    seq_length : int
        T, the number of new steps in a chunk: k1 of truncated backpropagation through time.
    backward_length : int, optional
        k2, the number of steps that gradients go back through; default: `seq_length`.

    Attributes
    ----------
    batch_size, seq_length, backward_length : int
        As given.
    steps_per_stream : int
        Number of steps of a stream: ``(symbols - 1) // batch_size``.
    tokens : int
        Number of targets of one epoch: ``batch_size * steps_per_stream``.

    Raises
    ------
    ValueError
        If a size is not positive, `backward_length` is less than `seq_length`, `ids` is not one-dimensional,
        or the text is shorter than one sequence (``seq_length + 1`` symbols) or than one step per stream.
    TypeError
        If `ids` or a size does not have an integer type.

    References
    ----------
    Williams, Peng (1990), "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network
    Trajectories": ``BPTT(h; h')``, where h is k2 and h' is k1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.data import ChunkedText
    >>> data = ChunkedText(np.arange(11), batch_size=2, seq_length=3)
    >>> [inputs.T.tolist() for inputs, targets in data]
    [[[0, 1, 2], [5, 6, 7]], [[3, 4], [8, 9]]]
    >>> data.chunk(1)[1].T.tolist()
    [[4, 5], [9, 10]]

    Gradients through five steps, a parameter update every three:

    >>> data = ChunkedText(np.arange(11), batch_size=1, seq_length=3, backward_length=5)
    >>> [(inputs.T.tolist(), targets.T.tolist()) for inputs, targets in data][1]
    ([[1, 2, 3, 4, 5]], [[-1, -1, 4, 5, 6]])
    """

    order: int | None = None

    def __init__(
        self, ids: ArrayLike, batch_size: int, seq_length: int, *, backward_length: int | None = None
    ) -> None:
        self.batch_size: int = as_size("batch_size", batch_size)
        self.seq_length: int = as_size("seq_length", seq_length)
        self.backward_length: int = self.seq_length
        if backward_length is not None:
            self.backward_length = as_size("backward_length", backward_length)
        if self.backward_length < self.seq_length:
            raise ValueError(
                f"backward_length: expected seq_length={self.seq_length} or more, got {backward_length}"
            )
        symbols = as_stored_ids("ids", ids)
        if not _is_constant(symbols):
            symbols = symbols.astype(np.int64)
        if len(symbols) < self.seq_length + 1:
            raise ValueError(
                f"text: expected at least seq_length + 1 = {self.seq_length + 1} symbols, "
                f"got {len(symbols)}; use a longer text or a smaller seq_length"
            )
        self.steps_per_stream: int = (len(symbols) - 1) // self.batch_size
        if self.steps_per_stream < 1:
            raise ValueError(
                f"text: expected at least batch_size + 1 = {self.batch_size + 1} symbols, "
                f"got {len(symbols)}; use a longer text or a smaller batch_size"
            )
        self.tokens: int = self.batch_size * self.steps_per_stream
        streams = (self.batch_size, self.steps_per_stream)
        self._inputs = symbols[: self.tokens].reshape(streams)
        self._targets = symbols[1 : self.tokens + 1].reshape(streams)

    def __repr__(self) -> str:
        rows = f"{self.batch_size} rows of {self.steps_per_stream} tokens"
        return f"<ChunkedText: {rows}, {len(self)} chunks of {self.seq_length}>"

    def __len__(self) -> int:
        """Return the number of chunks of an epoch."""
        return -(-self.steps_per_stream // self.seq_length)

    @property
    def largest(self) -> int:
        """Steps of the largest chunk times the number of streams."""
        return self.batch_size * min(self.backward_length, self.steps_per_stream)

    def chunk(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return one chunk of an epoch.

        Parameters
        ----------
        index : int
            In ``0 .. len(self) - 1``.

        Returns
        -------
        inputs, targets : ndarray, int64, shape [T, N]
            T is ``seq_length``, less in the last chunk, plus the earlier steps that ``backward_length`` adds.

        Raises
        ------
        IndexError
            If the index is out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"chunk {index} of {len(self)}")
        return self._chunk(index, slice(None))

    def _chunk(self, index: int, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first = self._first(index)
        part = slice(first, (index + 1) * self.seq_length)
        inputs, targets = (
            np.ascontiguousarray(ids[rows, part].T, np.int64) for ids in (self._inputs, self._targets)
        )
        if first < index * self.seq_length:
            targets = targets.copy()  # with one stream they may still be a view of the text
            targets[: index * self.seq_length - first] = NO_TARGET
        return inputs, targets

    def batch(self, step: int) -> Batch:
        """Return the chunk of a training step, counted from 0 over all epochs.

        Parameters
        ----------
        step : int
            0 or more.

        Returns
        -------
        batch : Batch
            Without lengths, as all streams have T steps.
        """
        return self.part(step, slice(None))

    def rows_of(self, step: int) -> int:
        """Return the number of streams, for every step."""
        return self.batch_size

    def part(self, step: int, rows: slice) -> Batch:
        """Return the chunk of a training step of some streams; only these are read.

        Parameters
        ----------
        step : int
            As for `batch`.
        rows : slice
            Of the streams ``0 .. N - 1``.
        """
        index = step % len(self)
        inputs, targets = self._chunk(index, rows)
        return Batch(inputs, targets, None, min(self._first(index + 1) - self._first(index), len(inputs)))

    def tokens_of(self, step: int, rows: slice) -> int:
        """Return the number of targets of some streams in a step's chunk."""
        begin = step % len(self) * self.seq_length
        new = min(self.seq_length, self.steps_per_stream - begin)
        return new * len(range(*rows.indices(self.batch_size)))

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Iterate over one epoch."""
        return (self.chunk(index) for index in range(len(self)))

    def _first(self, index: int) -> int:
        """Return the step of a stream at which a chunk begins."""
        return max(0, (index + 1) * self.seq_length - self.backward_length)


def as_text_ids(name: str, ids: ArrayLike) -> NDArray[np.int64]:
    """Check the ids of a text and return them as a one-dimensional int64 array of their own."""
    return as_stored_ids(name, ids).astype(np.int64)


def as_stored_ids(name: str, ids: ArrayLike) -> NDArray[Any]:
    """Check the ids of a text and return them as a one-dimensional array, of integers of any size."""
    if isinstance(ids, str):
        raise TypeError(f"{name}: expected integers, got str; write vocabulary.encode(text)")
    array: NDArray[Any] = np.asarray(of_others(name, ids))
    if array.ndim != 1:
        raise ValueError(f"{name}: expected [symbols], got {list(array.shape)}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    return array if array.size else array.astype(np.int64)


def _is_constant(array: NDArray[Any]) -> bool:
    """Return whether nobody can write to an array: neither to it nor to what it is a view of."""
    base: Any = array
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    return not isinstance(base, np.ndarray)
