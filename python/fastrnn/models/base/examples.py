"""The examples that a model is trained on, and their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastrnn.data import length_buckets, pad_batch

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = [
    "Batch",
    "Examples",
    "Network",
    "as_batch",
    "batches_of",
    "fraction_of",
    "steps_inside",
    "weighted_loss",
]


class Batch(Protocol):
    """What a network reads at once."""

    @property
    def weight(self) -> float:
        """How much the batch counts in a mean: its targets, or the sum of their weights."""


class Network(Protocol):
    """What the training loop needs of a model's network, besides being a `Module`.

    If it has a method ``start_epoch(epoch, epochs)``, that is called before each epoch, 0 the first.
    """

    rng: np.random.Generator

    def loss_and_gradients(self, batch: Any, scale: float = 1.0) -> float:
        """Return the mean loss of a batch in training, and add ``scale`` times its gradients."""

    def loss(self, batch: Any) -> float:
        """Return the mean loss of a batch, without dropout."""


class Examples:
    """Encoded examples, from which batches of any rows can be made.

    Parameters
    ----------
    lengths : array_like, int [N]
        Steps of each example: batches are made of similar lengths.
    make : callable
        Takes the row numbers of a batch, int64 [M], and returns the `Batch`.
    strata : ndarray, int64 [N], optional
        Of which each part of a split has its share: the class of each example.
    """

    batch: Callable[..., Any]
    strata: NDArray[np.int64] | None

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.int64],
        make: Callable[[NDArray[np.int64]], Any],
        strata: NDArray[np.int64] | None = None,
    ) -> None:
        self.lengths: NDArray[np.int64] = np.asarray(lengths, np.int64)
        self.batch, self.strata = make, strata

    def __len__(self) -> int:
        return len(self.lengths)

    def batches(self, batch_size: int) -> Iterator[tuple[NDArray[np.int64], Any]]:
        """Yield the row numbers and the batch of similar examples, each example once."""
        for rows in length_buckets(self.lengths, batch_size, shuffle=False):
            yield rows, self.batch(rows)

    def map_batches(
        self, function: Callable[[NDArray[np.int64], Any], Any], batch_size: int, ranks: Ranks
    ) -> list[Any]:
        """Return a function's results for all batches, in their order, on every rank; each calls it for some.

        Collective. What `function` returns, of row numbers and their batch, is sent to the other ranks.
        """
        buckets = length_buckets(self.lengths, batch_size, shuffle=False)
        # Neighbouring batches have similar lengths: taken in turn, every rank has short ones and long ones.
        own = [function(rows, self.batch(rows)) for rows in buckets[ranks.rank :: ranks.size]]
        parts = ranks.gather(own)
        return [parts[number % ranks.size][number // ranks.size] for number in range(len(buckets))]

    def subset(self, rows: NDArray[np.int64]) -> Examples:
        """Return some of the examples."""
        make, strata = self.batch, self.strata
        return Examples(
            self.lengths[rows], lambda own: make(rows[own]), None if strata is None else strata[rows]
        )


def weighted_loss(network: Any, batch: Batch) -> tuple[float, float]:
    """Return the sum of a batch's losses, without dropout, and its weight."""
    return (network.loss(batch) * batch.weight if batch.weight else 0.0), batch.weight


def fraction_of(parts: Sequence[tuple[float, float]]) -> float:
    """Return the sum of the first numbers of pairs divided by that of the second ones; NaN of 0 by 0."""
    part, whole = sum(first for first, _ in parts), sum(second for _, second in parts)
    return part / whole if whole else float("nan")


def as_batch(
    arrays: Sequence[NDArray[Any]], rows: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return some sequences as a padded batch, time first, and their lengths."""
    return pad_batch(arrays, rows, fill=0)


def batches_of(
    arrays: Sequence[NDArray[Any]], batch_size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]]:
    """Yield the row numbers, the padded batch and the lengths of similar sequences, each sequence once."""
    for rows in length_buckets([len(array) for array in arrays], batch_size, shuffle=False):
        yield rows, *as_batch(arrays, rows)


def steps_inside(steps: int, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which steps of a batch are real, bool [T, N]."""
    inside: NDArray[np.bool_] = np.arange(steps)[:, None] < lengths
    return inside
