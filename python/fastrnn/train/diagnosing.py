"""The diagnosis of a training step, measured before and after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastrnn.language.losses import select_rows
from fastrnn.layers.base.batch_rows import batch_rows
from fastrnn.train.diagnosis import Diagnosis
from fastrnn.train.distributed import shard_rows
from fastrnn.train.distributed.agreement import as_ranks
from fastrnn.train.state_measures import StateMeasures, measure_states
from fastrnn.train.update_ratios import update_ratios

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.language import LanguageModel
    from fastrnn.train.distributed import Ranks

__all__ = ["begin_diagnosis", "is_due"]


def is_due(step: int, every: int | None) -> bool:
    """Return whether a step is to be diagnosed: the first, and then every so many."""
    return every is not None and (step == 1 or step % every == 0)


def begin_diagnosis(
    model: LanguageModel,
    data: TrainingData,
    first: int,
    carried: Any,
    checkpoint_every: int | None = None,
    ranks: Ranks | None = None,
) -> Callable[[], Diagnosis]:
    """Measure the states of the next step, and return a function to call after the step.

    Parameters
    ----------
    model : LanguageModel
        Its gradients change, and are to be set to zero. Its parameters and its generator do not.
    data : TrainingData
    first : int
        Index of the step's first batch.
    carried : ndarray, tuple of ndarray or None
        The recurrent state at its start.
    checkpoint_every : int, optional
        As in the step itself.
    ranks : Ranks, optional
        Of several, the first measures its first shard for all. Collective.
    """
    ranks = as_ranks(ranks)
    rows = shard_rows(data.rows_of(first), ranks.shards)[0]

    def measure() -> StateMeasures:
        state = None if first % len(data) == 0 else select_rows(carried, rows)
        random = model.rng.bit_generator.state
        try:
            with batch_rows(0, rows.stop, data.rows_of(first)):
                return measure_states(model, data.part(first, rows), state, checkpoint_every)
        finally:
            model.rng.bit_generator.state = random

    measures = ranks.on_first(measure)
    before = {name: value.copy() for name, value in model.parameters.items() if name not in model.frozen}

    def finish() -> Diagnosis:
        after = {name: model.parameters[name] for name in before}
        return Diagnosis(update_ratios(before, after), *measures)

    return finish
