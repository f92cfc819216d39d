"""The position of a training run: steps, batches, and the best validation loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from fastrnn.train.gradient_watch import GradientWatch
from fastrnn.train.records import Record
from fastrnn.train.training_state import pack_carried, unpack_carried

__all__ = ["TrainingProgress"]


@dataclass(frozen=True)
class TrainingProgress:
    """Position of a training run, in one object, so that a single assignment completes a step.

    Attributes
    ----------
    step, batches : int
        Steps taken, and batches read for them.
    carried : ndarray, tuple of ndarray or None
        Recurrent state at the start of the next batch; None for zero.
    unfinished : Record or None
        Record of a step whose validation is still due.
    best_loss, best_step : float, int
        Lowest validation loss of all evaluations, and the step it was reached at.
    lowest, waited : float, int
        Lowest loss of the scheduled evaluations, and the number of them since.
    watch : GradientWatch
        What is known of the size of the gradients.
    """

    step: int = 0
    batches: int = 0
    carried: Any = None
    unfinished: Record | None = None
    best_loss: float = math.inf
    best_step: int = 0
    lowest: float = math.inf
    waited: int = 0
    watch: GradientWatch = field(default_factory=GradientWatch)

    def stepped(self, record: Record, batches: int, carried: Any, watch: GradientWatch) -> TrainingProgress:
        """Return the progress after a step."""
        new = {"batches": batches, "carried": carried, "watch": watch}
        return replace(self, step=record.step, unfinished=record, **new)

    def evaluated(self, loss: float) -> TrainingProgress:
        """Return the progress after an evaluation: keep its loss if it is the best."""
        return replace(self, best_loss=loss, best_step=self.step) if loss < self.best_loss else self

    def finished(self, valid_loss: float | None) -> TrainingProgress:
        """Return the progress after a step is finished and, if one was due, its scheduled evaluation."""
        done = replace(self, unfinished=None)
        if valid_loss is None:
            return done
        if valid_loss < self.lowest:
            return replace(done, lowest=valid_loss, waited=0)
        return replace(done, waited=self.waited + 1)

    def pack(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return values that JSON can hold, and arrays."""
        carried, arrays = pack_carried(self.carried)
        values = {
            "step": self.step,
            "batches": self.batches,
            "best": [_finite(self.best_loss), self.best_step],
            "patience": [_finite(self.lowest), self.waited],
            "carried": carried,
            "unfinished": None if self.unfinished is None else self.unfinished.to_json(),
            "watch": self.watch.to_json(),
        }
        return values, arrays

    @classmethod
    def unpack(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TrainingProgress:
        """Return the progress that `pack` described."""
        step, unfinished = int(values["step"]), values["unfinished"]
        return cls(
            step,
            int(values.get("batches", step)),  # older files had one batch per step
            unpack_carried(values["carried"], arrays),
            None if unfinished is None else Record.from_json(unfinished),
            _number(values["best"][0]),
            int(values["best"][1]),
            _number(values["patience"][0]),
            int(values["patience"][1]),
            GradientWatch.from_json(values["watch"]) if "watch" in values else GradientWatch(),
        )


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def _number(value: float | None) -> float:
    return math.inf if value is None else float(value)
