"""Batches of independent sequences, one per row: sentences, lines, words, melodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._arrays import NO_TARGET, as_ids
from fastrnn._checks import Seed, as_size
from fastrnn._foreign import of_others
from fastrnn.data.batching import Batch
from fastrnn.data.shuffled_batches import ShuffledBatches

__all__ = ["SentenceBatches"]


class SentenceBatches(ShuffledBatches):
    """Sequences in batches, one per row; each row begins with a zero state and is padded to the longest.

    A row reads a start and then the sequence, and predicts the sequence and then its end: inputs
    ``start, x1, ..., xn`` and targets ``x1, ..., xn, eos``; without `eos`, inputs ``start, x1, ..., x(n-1)``
    and targets ``x1, ..., xn``. In the padding inputs are 0 and targets -1, which does not count.

    Each epoch has every sequence once, in an order that depends only on the seed and the number of the epoch.
    The object is immutable: a position in the data is the number of a batch, and the reader keeps it.

    Parameters
    ----------
    sequences : sequence of array_like, int [n]
        Ids of 0 or more, at least one in each.
    batch_size : int
        N, the number of rows; one batch of an epoch may have fewer.
    start : int, default -1
        The first input of a row: an id, or -1 for a vector of zeros.
    eos : int, optional
        The id that ends each sequence.
    seed : int or numpy.random.Generator, optional
        For the order. None: a different order for each object, so that training cannot be resumed.
    bucket : bool, default True
        Group sequences of similar lengths, which saves padding; see `length_buckets`. False: at random.

    Attributes
    ----------
    batch_size, start, eos, bucket
        As given.
    lengths : ndarray, int64 [sequences]
        Number of targets of each sequence: n, and one more with `eos`.
    tokens : int
        Number of targets of one epoch.
    order : int
        The seed of the order of all epochs.

    Raises
    ------
    ValueError
        If there is no sequence, one is empty or not one-dimensional, or a number is out of range.
    TypeError
        If a sequence does not hold integers, or a number is not an integer.

    Examples
    --------
    >>> from fastrnn.data.sentences import SentenceBatches
    >>> data = SentenceBatches([[5, 6, 7], [8], [6, 5]], batch_size=2, eos=0, seed=0)
    >>> for batch in data:
    ...     print(batch.inputs.T.tolist(), batch.targets.T.tolist(), batch.lengths.tolist())
    [[-1, 8, 0], [-1, 6, 5]] [[8, 0, -1], [6, 5, 0]] [2, 3]
    [[-1, 5, 6, 7]] [[5, 6, 7, 0]] [4]
    >>> len(data), data.tokens
    (2, 9)
    """

    def __init__(
        self,
        sequences: Sequence[ArrayLike],
        batch_size: int,
        *,
        start: int = -1,
        eos: int | None = None,
        seed: Seed = None,
        bucket: bool = True,
    ) -> None:
        super().__init__(batch_size, seed, bucket=bucket)
        self.start: int = as_size("start", start, least=-1)
        self.eos: int | None = None if eos is None else as_size("eos", eos, least=0)
        rows = [_sequence(index, sequence) for index, sequence in enumerate(sequences)]
        if not rows:
            raise ValueError("sequences: expected at least one, got none")
        self._sizes = np.array([len(row) for row in rows])
        self._firsts = np.cumsum(self._sizes) - self._sizes
        ids = np.concatenate(rows)
        self._ids = ids.astype(np.int32) if ids.max() < 2**31 else ids
        self.lengths: NDArray[np.int64] = self._sizes + (self.eos is not None)
        self._counts = self.lengths
        self.tokens: int = int(self.lengths.sum())

    def __repr__(self) -> str:
        return f"<SentenceBatches: {len(self._sizes)} sentences of {self.tokens} tokens, {len(self)} batches>"

    def within(self, steps: int) -> Iterator[Batch]:
        """Iterate over the first epoch in smaller batches where padding would go beyond a number of steps.

        Parameters
        ----------
        steps : int
            The most that a batch may have, its sequences times the longest one's; a sequence that is longer
            comes alone.
        """
        return map(self.batch_of, self.rows_within(steps))

    def rows_within(self, steps: int) -> Iterator[NDArray[np.int64]]:
        """Iterate over the numbers of the sequences of each batch that `within` makes.

        Parameters
        ----------
        steps : int
            As for `within`.
        """
        for rows in self._rows_of(0):
            most = max(1, steps // int(self.lengths[rows].max()))
            for first in range(0, len(rows), most):
                yield rows[first : first + most]

    def batch_of(self, rows: NDArray[np.int64]) -> Batch:
        """Return the batch of some sequences.

        Parameters
        ----------
        rows : ndarray, int [N]
            Their numbers.
        """
        return self._make_batch(rows)

    @property
    def extremes(self) -> tuple[int, int]:
        """The smallest and the greatest id, of the sequences and their end."""
        ends = [] if self.eos is None else [self.eos]
        return min([int(self._ids.min()), *ends]), max([int(self._ids.max()), *ends])

    def _make_batch(self, rows: NDArray[np.int64]) -> Batch:
        sizes, lengths = self._sizes[rows], self.lengths[rows]
        shape = (int(lengths.max()), len(rows))
        inputs, targets = np.zeros(shape, np.int64), np.full(shape, NO_TARGET, np.int64)
        inputs[0] = self.start
        for row, (first, size, length) in enumerate(zip(self._firsts[rows], sizes, lengths, strict=True)):
            ids = self._ids[first : first + size]
            inputs[1:length, row] = ids[: length - 1]
            targets[:size, row] = ids
        if self.eos is not None:
            targets[sizes, np.arange(len(rows))] = self.eos
        return Batch(inputs, targets, lengths, 0)


def _sequence(index: int, sequence: ArrayLike) -> NDArray[np.int64]:
    name = f"sequences[{index}]"
    if isinstance(sequence, str):
        raise TypeError(f"{name}: expected integers, got str; write vocabulary.encode_batch(sequences)")
    array = np.asarray(of_others(name, sequence))
    if not array.size:  # before the dtype check, as an empty list is float64
        raise ValueError(f"{name}: expected at least one id, got none")
    ids = as_ids(name, array, ("n",))
    if ids.min() < 0:
        raise ValueError(f"{name}: expected ids of 0 or more, got {ids.min()}")
    return ids
