"""Taking a training apart into a `TrainingState`, and putting it together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from fastrnn.train.progress import Progress
from fastrnn.train.state import TrainingState, part_of

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.models import LanguageModel
    from fastrnn.train.average import Average
    from fastrnn.train.optimizer import Optimizer
    from fastrnn.train.schedules import ConstantSchedule

__all__ = ["restore", "state_of"]


class Training(Protocol):
    """What a `Trainer` has that its state is made of."""

    model: LanguageModel
    data: TrainingData
    optimizer: Optimizer
    schedule: ConstantSchedule | None
    average: Average | None
    _progress: Progress


def state_of(trainer: Training) -> TrainingState:
    """See `Trainer.state`."""
    values, arrays = trainer._progress.pack()
    optimizer = trainer.optimizer.state_dict()
    values |= {
        "chunk": trainer._progress.batches % len(trainer.data),
        "order": trainer.data.order,
        "optimizer_steps": optimizer.pop("steps"),
        "schedule": {} if trainer.schedule is None else trainer.schedule.state_dict(),
        "random": trainer.model.random_state(),
        "average": None,
    }
    arrays |= {f"optimizer.{name}": moment for name, moment in optimizer.items()}
    if trainer.average is not None:
        average = trainer.average.state()
        values["average"] = average.values
        arrays |= {f"average.{name}": array for name, array in average.arrays.items()}
    return TrainingState(values, arrays)


def restore(trainer: Training, state: TrainingState) -> None:
    """See `Trainer.restore`."""
    try:
        _restore(trainer, state.values, state.arrays)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"training state: damaged: {error!r}") from error


def _restore(trainer: Training, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    progress = Progress.unpack(values, arrays)
    _check_data(trainer, values, progress)
    average = _average_state(trainer, values, arrays)
    moments = part_of(arrays, "optimizer.")
    trainer.optimizer.load_state_dict({"steps": values["optimizer_steps"], **moments})
    if trainer.average is not None and average is not None:
        trainer.average.restore(average)
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(values["schedule"])
    trainer.model.set_random_state(values["random"])
    trainer._progress = progress


def _check_data(trainer: Training, values: Mapping[str, Any], progress: Progress) -> None:
    if values["chunk"] != progress.batches % len(trainer.data):
        raise ValueError("training state: was made with another text, batch_size or seq_length")
    if values.get("order") != trainer.data.order:
        raise ValueError("training state: was made with sentences in another order; give the same seed")


def _average_state(
    trainer: Training, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> TrainingState | None:
    """Give the average's part, None where there is none in the trainer either."""
    average = values.get("average")  # older files have no such key
    own = "none" if trainer.average is None else type(trainer.average).__name__
    saved = "none" if average is None else average["kind"]
    if own != saved:
        raise ValueError(f"average: the training has {own}, its state was made with {saved}")
    return None if average is None else TrainingState(dict(average), part_of(arrays, "average."))
