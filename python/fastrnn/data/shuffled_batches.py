"""Batches of independent sequences in an order of each epoch: what all kinds of them share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import Seed, as_flag, as_generator, as_size
from fastrnn.data.batching import Batch
from fastrnn.data.buckets import length_buckets

__all__ = ["ShuffledBatches"]


class ShuffledBatches:
    """The base class of batches of sequences: each epoch has every sequence once.

    The order depends only on the seed and the number of the epoch. A subclass sets `lengths` and ``_counts``,
    the number of targets of each sequence, and makes the batch of some sequences in ``_make_batch``.

    Parameters
    ----------
    batch_size : int
        N; one batch of an epoch may have fewer.
    seed : int or numpy.random.Generator, optional
    bucket : bool
        Group sequences of similar lengths; see `length_buckets`.

    Attributes
    ----------
    batch_size, bucket
        As given.
    lengths : ndarray, int64 [sequences]
    order : int
        The seed of the order of all epochs.
    """

    lengths: NDArray[np.int64]
    _counts: NDArray[np.int64]

    def __init__(self, batch_size: int, seed: Seed, *, bucket: bool) -> None:
        self.batch_size: int = as_size("batch_size", batch_size)
        self.bucket: bool = as_flag("bucket", bucket)
        # One draw turns a seed of any kind into a number that can be saved.
        self.order: int = int(as_generator(seed).integers(2**63))
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (-1, [])

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of a training step, counted from 0 over all epochs.

        Parameters
        ----------
        step : int
            0 or more.

        Returns
        -------
        batch : Batch
            ``advance`` is 0, as no batch continues another.
        """
        return self._make_batch(self._sequences_of(step))

    def rows_of(self, step: int) -> int:
        """Return the number of sequences of a step's batch."""
        return len(self._sequences_of(step))

    def part(self, step: int, rows: slice) -> Batch:
        """Return some sequences of the batch of a training step, padded to the longest of them.

        Parameters
        ----------
        step : int
            As for `batch`.
        rows : slice
            Of the batch's rows; at least one.
        """
        return self._make_batch(self._sequences_of(step)[rows])

    def tokens_of(self, step: int, rows: slice) -> int:
        """Return the number of targets of some sequences of a step's batch."""
        return int(self._counts[self._sequences_of(step)[rows]].sum())

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the first epoch."""
        return (self.batch(step) for step in range(len(self)))

    @property
    def largest(self) -> int:
        """The steps of the largest batch of an epoch, its sequences times the longest one's."""
        return max(len(rows) * int(self.lengths[rows].max()) for rows in self._rows_of(0))

    def _sequences_of(self, step: int) -> NDArray[np.int64]:
        """Return the sequences of the batch of a step."""
        epoch, index = divmod(step, len(self))
        return self._rows_of(epoch)[index]

    def _make_batch(self, rows: NDArray[np.int64]) -> Batch:
        """Return the batch of some sequences."""
        raise NotImplementedError

    def _rows_of(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the sequences of each batch of an epoch; the last epoch is cached."""
        cached, rows = self._epoch
        if cached != epoch:
            random = np.random.default_rng([self.order, epoch])
            if self.bucket:
                rows = length_buckets(self.lengths, self.batch_size, seed=random)
            else:
                order = random.permutation(len(self.lengths))
                rows = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
            self._epoch = (epoch, rows)
        return rows
