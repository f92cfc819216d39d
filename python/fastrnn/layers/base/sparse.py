"""Gradients with few nonzero rows, the dense parts between them, and the parts that a step changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastrnn._arrays import Array, Ids

__all__ = ["SparseRows", "TrainedPart", "dense_parts"]


class SparseRows(NamedTuple):
    """A matrix within a flat array of gradients, in which only some rows may be nonzero.

    Attributes
    ----------
    start : int
        Where the matrix begins.
    shape : (int, int)
    rows : ndarray, int64 [n]
        The rows that may be nonzero: sorted, without duplicates.
    """

    start: int
    shape: tuple[int, int]
    rows: Ids

    @property
    def stop(self) -> int:
        """Where the matrix ends."""
        return self.start + self.shape[0] * self.shape[1]

    def matrix(self, flat: Array) -> Array:
        """Return a view of the matrix in a flat array of that layout."""
        return flat[self.start : self.stop].reshape(self.shape)


class TrainedPart(NamedTuple):
    """A part of a module's flat arrays that a training step changes: whole parameters, or rows of one.

    Attributes
    ----------
    start, stop : int
    mark : int
        Equal for all parameters of a part; see `trained_parts`.
    sparse : SparseRows or None
        The rows, if the part is a matrix with a sparse gradient.
    """

    start: int
    stop: int
    mark: int = 0
    sparse: SparseRows | None = None

    def read(self, flat: Array) -> Array:
        """Return the part as one flat array: a view, or a copy of the rows."""
        if self.sparse is None:
            return flat[self.start : self.stop]
        rows: Array = self.sparse.matrix(flat)[self.sparse.rows].reshape(-1)
        return rows

    def write(self, flat: Array, values: Array) -> None:
        """Write back what `read` returned, after a change."""
        if self.sparse is not None:
            matrix = self.sparse.matrix(flat)
            matrix[self.sparse.rows] = values.reshape(-1, matrix.shape[1])


def dense_parts(flat: NDArray[Any], sparse: list[SparseRows]) -> Iterator[NDArray[Any]]:
    """Yield views of a flat array's parts between the sparse matrices.

    Examples
    --------
    >>> import numpy as np
    >>> parts = [SparseRows(2, (3, 2), np.array([0]))]
    >>> [part.tolist() for part in dense_parts(np.arange(10), parts)]
    [[0, 1], [8, 9]]
    """
    begin = 0
    for part in sparse:
        if part.start > begin:
            yield flat[begin : part.start]
        begin = part.stop
    if len(flat) > begin:
        yield flat[begin:]
