"""The diagnosis of a training step, measured before and after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastrnn.train.diagnosis import Diagnosis
from fastrnn.train.state_measures import measure_states
from fastrnn.train.update_ratios import update_ratios

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.language import LanguageModel

__all__ = ["begin_diagnosis", "is_due"]


def is_due(step: int, every: int | None) -> bool:
    """Return whether a step is to be diagnosed: the first, and then every so many."""
    return every is not None and (step == 1 or step % every == 0)


def begin_diagnosis(
    model: LanguageModel, data: TrainingData, first: int, carried: Any, checkpoint_every: int | None = None
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
    """
    random = model.rng.bit_generator.state
    try:
        state = None if first % len(data) == 0 else carried
        measures = measure_states(model, data.batch(first), state, checkpoint_every)
    finally:
        model.rng.bit_generator.state = random
    before = {name: value.copy() for name, value in model.parameters.items() if name not in model.frozen}

    def finish() -> Diagnosis:
        after = {name: model.parameters[name] for name in before}
        return Diagnosis(update_ratios(before, after), *measures)

    return finish
