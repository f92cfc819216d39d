"""The gradients of a batch in ``fit``: in one pass, or shard by shard over the ranks of a training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.layers.base.batch_rows import batch_rows
from fastrnn.models.base.examples import Examples
from fastrnn.train.distributed import GradientSum, Ranks, shard_rows
from fastrnn.train.example_network import generators_of

__all__ = ["BatchGradients", "BatchLoss"]


class BatchLoss(NamedTuple):
    """The loss of a batch.

    Attributes
    ----------
    mean : float
        0 if nothing in the batch counts.
    weight : float
        How much the batch counts.
    stopped : bool
        Whether a rank has been told to stop.
    """

    mean: float
    weight: float
    stopped: bool = False


class _Shard(NamedTuple):
    """What a rank says of a shard: its summed loss, its weight, and the generators after its pass."""

    loss: float
    weight: float
    random: list[Any] | None


class BatchGradients:
    """Compute the gradients of one batch after the other.

    With one shard that is a pass over the whole batch. With several, each shard has a pass of its own, as if
    it were alone; all shards draw their random numbers from the same state of the generators, which is then
    the same on all ranks again.

    Parameters
    ----------
    network : Network
    examples : Examples
    ranks : Ranks
    """

    def __init__(self, network: Any, examples: Examples, ranks: Ranks) -> None:
        self._network, self._examples, self._ranks = network, examples, ranks
        self._generators = generators_of(network)
        self._sum = GradientSum(ranks, network) if ranks.shards > 1 else None

    def compute(self, rows: NDArray[np.int64], usual: float, *, stop: bool = False) -> BatchLoss:
        """Set the network's gradients to those of a batch, and return its loss. Collective.

        Parameters
        ----------
        rows : ndarray, int64 [M]
            The examples of the batch.
        usual : float
            The weight of a batch whose mean loss counts once.
        stop : bool
            Whether this rank has been told to stop.
        """
        if self._sum is None:
            return self._whole(rows, usual)
        before = self._random()
        own = self._own_shards(rows, usual, self._sum)
        parts = self._ranks.gather((own, stop))
        shards = [shard for part, _ in parts for shard in part]
        self._set_random(next((shard.random for shard in shards if shard.random is not None), before))
        weight = sum(shard.weight for shard in shards)
        self._sum.finish()
        loss = sum(shard.loss for shard in shards) / weight if weight else 0.0
        return BatchLoss(loss, weight, any(stopped for _, stopped in parts))

    def _whole(self, rows: NDArray[np.int64], usual: float) -> BatchLoss:
        batch = self._examples.batch(rows)
        if batch.weight == 0.0:
            return BatchLoss(0.0, 0.0)
        self._network.zero_grad()
        return BatchLoss(self._network.loss_and_gradients(batch, batch.weight / usual), batch.weight)

    def _own_shards(self, rows: NDArray[np.int64], usual: float, total: GradientSum) -> list[_Shard]:
        parts, before = shard_rows(len(rows), self._ranks.shards), self._random()
        result = []
        for number in self._ranks.own_shards:
            self._network.zero_grad()
            self._set_random(before)
            result.append(self._shard(rows, parts[number], usual))
            total.add(number)
        return result

    def _shard(self, rows: NDArray[np.int64], part: slice, usual: float) -> _Shard:
        """Compute the gradients of some rows; of none, or where nothing counts, they stay 0."""
        count = part.stop - part.start
        batch = self._examples.batch(rows[part]) if count else None
        if batch is None or batch.weight == 0.0:
            return _Shard(0.0, 0.0, None)
        with batch_rows(part.start, count, len(rows)):
            loss = self._network.loss_and_gradients(batch, batch.weight / usual)
        return _Shard(loss * batch.weight, batch.weight, self._random())

    def _random(self) -> list[Any]:
        return [generator.bit_generator.state for generator in self._generators]

    def _set_random(self, states: list[Any]) -> None:
        for generator, state in zip(self._generators, states, strict=True):
            generator.bit_generator.state = state
