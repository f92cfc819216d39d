"""Conversion of a `Trainer` to a `TrainingState`, and its restoration from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastrnn.language.losses import select_rows
from fastrnn.train.progress import TrainingProgress
from fastrnn.train.shard_gradients import gather_rows, own_rows
from fastrnn.train.training_state import TrainingState, arrays_under, check_values

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.layers.base.module import Module
    from fastrnn.train.average import Average
    from fastrnn.train.distributed import Ranks
    from fastrnn.train.optimizer import Optimizer
    from fastrnn.train.schedules import ConstantSchedule

__all__ = ["Training", "restore_trainer", "trainer_state"]


class Training(Protocol):
    """The attributes of a `Trainer` that make up its state."""

    data: TrainingData
    optimizer: Optimizer
    schedule: ConstantSchedule | None
    ranks: Ranks
    _network: Any
    _progress: TrainingProgress

    @property
    def model(self) -> Module:
        """The trained model."""

    @property
    def average(self) -> Average[Any] | None:
        """The average of its parameters."""


def trainer_state(trainer: Training) -> TrainingState:
    """See `Trainer.state`."""
    progress = trainer._progress
    values, arrays = replace(progress, carried=gather_rows(progress.carried, trainer.ranks)).pack()
    optimizer = trainer.optimizer.state_dict()
    values |= {
        "chunk": trainer._progress.batches % len(trainer.data),
        "order": trainer.data.order,
        "optimizer_steps": optimizer.pop("steps"),
        "schedule": {} if trainer.schedule is None else trainer.schedule.state_dict(),
        "random": trainer._network.random_state(),
        "average": None,
    }
    if trainer.model.frozen:
        values["frozen"] = list(trainer.model.frozen)
    arrays |= {f"optimizer.{name}": moment for name, moment in optimizer.items()}
    if trainer.average is not None:
        average = trainer.average.state()
        values["average"] = average.values
        arrays |= {f"average.{name}": array for name, array in average.arrays.items()}
    return TrainingState(values, arrays)


def restore_trainer(trainer: Training, state: TrainingState) -> None:
    """See `Trainer.restore`."""
    before = trainer_state(trainer)
    try:
        values = check_values(state.values, complete=True)
        _restore(trainer, values, state.arrays)
    except BaseException as error:
        _restore(trainer, before.values, before.arrays)
        if isinstance(error, (KeyError, TypeError)):
            raise ValueError(f"training state: damaged: {error}") from error
        raise


def _restore(trainer: Training, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    progress = TrainingProgress.unpack(values, arrays)
    _check_data(trainer, values, progress)
    _check_carried(trainer, progress)
    average = _average_state(trainer, values, arrays)
    frozen = _frozen(trainer, values)
    moments = arrays_under(arrays, "optimizer.")
    trainer.optimizer.load_state_dict({"steps": values["optimizer_steps"], **moments})
    if trainer.average is not None and average is not None:
        trainer.average.restore(average)
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(values["schedule"])
    trainer._network.set_random_state(values["random"])
    trainer.model.unfreeze()
    if frozen:
        trainer.model.freeze(*frozen)
    rows = own_rows(trainer.data.rows_of(progress.batches), trainer.ranks)
    trainer._progress = replace(progress, carried=select_rows(progress.carried, rows))


def _check_data(trainer: Training, values: Mapping[str, Any], progress: TrainingProgress) -> None:
    if values["chunk"] != progress.batches % len(trainer.data):
        raise ValueError("training state: belongs to another text, batch_size or seq_length")
    if values.get("order") != trainer.data.order:
        raise ValueError("training state: belongs to sentences in another order; pass the same seed")


def _frozen(trainer: Training, values: Mapping[str, Any]) -> list[str]:
    """Return the names of the frozen parameters; a state without any lacks the key."""
    frozen = values.get("frozen", [])
    if not isinstance(frozen, list) or not set(frozen) <= set(trainer.model.parameters):
        raise ValueError(f"training state: frozen: expected names of parameters, got {frozen!r}")
    return frozen


def _check_carried(trainer: Training, progress: TrainingProgress) -> None:
    """Check the recurrent state by one step of the model, whose own check it is."""
    if progress.carried is None:
        return
    if not hasattr(trainer._network, "advance"):
        raise ValueError("training state: carried: expected none, as examples start from zero")
    rows = trainer.data.rows_of(progress.batches)
    try:
        trainer._network.advance(np.zeros((1, rows), np.int64), progress.carried)
    except (ValueError, TypeError) as error:
        raise ValueError(f"training state: carried: {error}") from error


def _average_state(
    trainer: Training, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> TrainingState | None:
    """Return the state of the average, or None if neither the trainer nor the state has one."""
    average = values.get("average")  # older files lack this key
    own = "none" if trainer.average is None else type(trainer.average).__name__
    saved = "none" if average is None else average["kind"]
    if own != saved:
        raise ValueError(f"average: the trainer has {own}, the training state has {saved}")
    return None if average is None else TrainingState(dict(average), arrays_under(arrays, "average."))
