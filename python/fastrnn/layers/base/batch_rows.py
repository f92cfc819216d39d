"""The rows of a batch that a pass computes, where several passes share the batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from fastrnn._checks import as_size

__all__ = ["BatchRows", "batch_rows", "current_rows"]


class BatchRows(NamedTuple):
    """Some consecutive rows of a batch.

    Attributes
    ----------
    first : int
        The index in the batch of the first of them.
    rows : int
        How many they are.
    total : int
        How many the batch has.
    """

    first: int
    rows: int
    total: int


_current: ContextVar[BatchRows | None] = ContextVar("batch_rows", default=None)


@contextmanager
def batch_rows(first: int, rows: int, total: int) -> Iterator[BatchRows]:
    """Say which rows of a batch the passes of a block compute.

    A pass in training with the rows ``first .. first + rows - 1`` then draws the random masks that these rows
    have in a pass with the whole batch, so that a batch can be computed in parts. Masks without an axis of
    rows, as those of weights, are the same for all parts. What is drawn for other rows (the characters of
    words, whose number depends on the part) depends on `first`, and differs from that of the whole batch.

    The block of an inner call replaces the outer one. A thread has its own: one that starts inside a block
    does not see it.

    Parameters
    ----------
    first, rows, total : int
        As in `BatchRows`.

    Raises
    ------
    ValueError
        If the batch does not have these rows.

    Examples
    --------
    The generator is set back before each part, so that all parts draw with the same keys.

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> from fastrnn.layers.base.batch_rows import batch_rows
    >>> rnn = fr.LSTM(3, 4, num_layers=2, dropout=0.5, seed=0)
    >>> x = np.random.default_rng(1).normal(size=(5, 6, 3)).astype("float32")
    >>> state = rnn.rng.bit_generator.state
    >>> y = rnn.forward(x)[0]
    >>> rnn.rng.bit_generator.state = state
    >>> with batch_rows(4, 2, 6):
    ...     part = rnn.forward(x[:, 4:])[0]
    >>> np.array_equal(part, y[:, 4:])
    True
    """
    total = as_size("total", total, least=1)
    first = as_size("first", first, least=0, most=total)
    rows = as_size("rows", rows, least=0, most=total - first)
    given = BatchRows(first, rows, total)
    token = _current.set(given)
    try:
        yield given
    finally:
        _current.reset(token)


def current_rows() -> BatchRows | None:
    """Return the rows of the innermost block of `batch_rows`.

    Returns None outside, and for the whole batch, which is the same.
    """
    given = _current.get()
    return None if given is None or given.rows == given.total else given
