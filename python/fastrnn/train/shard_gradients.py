"""The gradients of a training step in shards: what each rank computes of the batches, and the sum of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.language.losses import select_rows
from fastrnn.layers.base.batch_rows import batch_rows
from fastrnn.train.distributed import GradientSum, shard_rows
from fastrnn.train.distributed.agreement import check_agreement, check_shards
from fastrnn.train.example_network import generators_of
from fastrnn.train.gradients import StepGradients, check_counted, next_start, step_keywords

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.layers.base.module import Module
    from fastrnn.train.distributed import Ranks
    from fastrnn.train.gradients import StepOptions

__all__ = ["ShardedStep", "gather_rows", "own_rows"]


def own_rows(rows: int, ranks: Ranks) -> slice:
    """Return which rows of a batch a rank computes: those of its shards."""
    parts = shard_rows(rows, ranks.shards)[ranks.own_shards.start : ranks.own_shards.stop]
    return slice(parts[0].start, parts[-1].stop)


def gather_rows(state: Any, ranks: Ranks) -> Any:
    """Return the recurrent state of all rows of a batch; each rank has that of its own. Collective."""
    return state if ranks.size == 1 else _joined(ranks.gather(state))


class ShardedStep:
    """The gradients of training steps that several ranks, or one of them alone, compute in shards.

    Parameters
    ----------
    network : LanguageModel or ExampleNetwork
    module : Module
        The network itself, or that of the `ExampleNetwork`.
    data : TrainingData
    ranks : Ranks

    Raises
    ------
    ValueError, TypeError
        If the batches cannot be split into the shards, or ranks have other parameters or data.
    """

    def __init__(self, network: Any, module: Module, data: TrainingData, ranks: Ranks) -> None:
        check_shards(data, ranks)
        check_agreement(module, data, network.random_state(), ranks)
        self._network, self._data, self._ranks = network, data, ranks
        self._total, self._generators = GradientSum(ranks, module), generators_of(module)

    def gradients(self, first: int, carried: Any, options: StepOptions) -> StepGradients:
        """Compute the gradients of the mean loss over all tokens of one or more batches. Collective.

        A shard is weighted by its tokens relative to an average batch, as a whole batch is in
        `step_gradients`. The generators are where they were at the start of the step when a shard begins: all
        shards draw what the whole batches would, and in the end the generators of all ranks are equal.

        Parameters
        ----------
        first : int
            Index of the first batch.
        carried : ndarray, tuple of ndarray or None
            The recurrent state at its start, of this rank's rows.
        options : StepOptions

        Returns
        -------
        result : StepGradients
            Of the whole batches, but for `carried`, which is that of this rank's rows.
        """
        numbers = range(first, first + options.accumulate)
        parts = [shard_rows(self._data.rows_of(number), self._ranks.shards) for number in numbers]
        counts = [
            [self._data.tokens_of(number, rows) for rows in own]
            for number, own in zip(numbers, parts, strict=True)
        ]
        tokens = sum(map(sum, counts))
        check_counted(tokens, first)
        states: list[Any] = []
        losses: list[list[float]] = []
        drawn = [generator.bit_generator.state for generator in self._generators]
        begin = parts[0][self._ranks.own_shards.start].start
        for shard in self._ranks.own_shards:
            for generator, state in zip(self._generators, drawn, strict=True):
                generator.bit_generator.state = state
            rows = slice(parts[0][shard].start - begin, parts[0][shard].stop - begin)
            shard_losses, after = self._shard(
                shard, numbers, parts, counts, select_rows(carried, rows), tokens, options
            )
            losses.append(shard_losses)
            states.append(after)
            self._total.add(shard)
        self._total.finish()
        of_all = [shard_losses for own in self._ranks.gather(losses) for shard_losses in own]
        loss = 0.0
        for index, count in enumerate(counts):
            for shard, shard_losses in enumerate(of_all):
                loss += count[shard] / tokens * shard_losses[index]
        return StepGradients(loss, tokens, numbers.stop, _joined(states))

    def _shard(
        self,
        shard: int,
        numbers: range,
        parts: list[list[slice]],
        counts: list[list[int]],
        carried: Any,
        tokens: int,
        options: StepOptions,
    ) -> tuple[list[float], Any]:
        """Compute the gradients of one shard; return the mean loss of each batch, and the last state."""
        data, losses = self._data, []
        self._network.zero_grad()
        for index, number in enumerate(numbers):
            if number % len(data) == 0:
                carried = None
            count, rows = counts[index], parts[index]
            # A shard without targets draws its random numbers too, with a gradient of zero: of other rows.
            used = shard if count[shard] else next((i for i, one in enumerate(count) if one), None)
            if used is None:
                losses.append(0.0)
                continue
            batch = data.part(number, rows[used])
            alike = batch.lengths is None and batch.counted is None
            usual = tokens if alike else options.accumulate * data.tokens / len(data)
            own = rows[used]
            with batch_rows(own.start, own.stop - own.start, data.rows_of(number)):
                mean, after = self._network.loss_and_gradients(
                    batch.inputs,
                    batch.targets,
                    carried,
                    **step_keywords(batch, count[shard] / usual, options),
                )
            losses.append(float(mean))
            carried = next_start(self._network, batch, carried, after)
        return losses, carried


def _joined(states: Sequence[Any]) -> Any:
    """Return the recurrent state of a batch from those of its parts; None if these have none."""
    if states[0] is None or len(states) == 1:
        return states[0]
    if isinstance(states[0], tuple):
        return tuple(_joined(parts) for parts in zip(*states, strict=True))
    return np.concatenate(states, axis=1)
