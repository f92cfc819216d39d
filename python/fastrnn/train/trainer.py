"""The training loop of a language model."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastrnn.train.clipping import clip_gradient_norm, clip_gradient_value, gradient_norm
from fastrnn.train.evaluation import Evaluation, evaluate
from fastrnn.train.interrupts import interrupts_held
from fastrnn.train.optimizer import Optimizer
from fastrnn.train.optimizers import Adam
from fastrnn.train.records import Record, TrainingDiverged, Validation
from fastrnn.train.schedules import ConstantSchedule
from fastrnn.train.state import TrainingState, pack_carried, pack_generator, unpack_carried

if TYPE_CHECKING:
    from fastrnn.data import ChunkedText
    from fastrnn.models import LanguageModel

__all__ = ["Trainer", "train"]


class Trainer:
    """Trains a language model by truncated backpropagation through time, step by step.

    A step reads one chunk of the text, with the state that the chunk before it left (zero at the start of an
    epoch), and moves the parameters once. It is made wholly or not at all: an interrupt or a loss that is no
    finite number leaves parameters, state and place in the text as they were before.

    Parameters
    ----------
    model : LanguageModel
    data : ChunkedText
        The training text.
    optimizer : Optimizer, optional
        Default: ``Adam(model, 2e-3)``.
    schedule : ConstantSchedule or another schedule, optional
        Default: the optimizer's own learning rate at every step.
    clip_norm : float, optional
        Bound on the gradient's global norm.
    clip_value : float, optional
        Bound on every single gradient, applied before ``clip_norm``.
    validation : Validation, optional

    Attributes
    ----------
    step : int
        Steps made so far.
    best_loss, best_step : float, int
        Lowest validation loss so far and its step; infinite and 0 before the first evaluation.
    stopped_early : bool
        Whether ``validation.patience`` ran out.

    Examples
    --------
    >>> import fastrnn as fr
    >>> text = "to be or not to be, " * 20
    >>> vocabulary = fr.Vocabulary.from_text(text)
    >>> model = fr.LanguageModel(len(vocabulary), hidden_size=16, num_layers=1, seed=0)
    >>> data = fr.ChunkedText(vocabulary.encode(text), batch_size=4, seq_length=20)
    >>> losses = [record.loss for record in Trainer(model, data).run(60)]
    >>> losses[-1] < losses[0]
    True
    """

    def __init__(
        self,
        model: LanguageModel,
        data: ChunkedText,
        optimizer: Optimizer | None = None,
        *,
        schedule: ConstantSchedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        validation: Validation | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.optimizer = optimizer or Adam(model, 2e-3)
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.validation = validation
        self.step = 0
        self.best_loss, self.best_step = math.inf, 0
        self.stopped_early = False
        self._lowest, self._waited = math.inf, 0
        self._carried: Any = None
        self._unfinished: Record | None = None

    @property
    def unfinished(self) -> bool:
        """Whether an interrupt came between a step and its validation; `run` then begins with that."""
        return self._unfinished is not None

    def run(self, steps: int) -> Iterator[Record]:
        """Train until ``steps`` steps have been made in all, or patience runs out.

        Yields
        ------
        record : Record
            One a step.

        Raises
        ------
        TrainingDiverged
            If the loss or the gradient's norm is NaN or infinite.
        """
        while True:
            if self._unfinished is None:
                if self.step >= steps or self.stopped_early:
                    return
                self._make_step()
            yield self._finish()

    def evaluate(self) -> Evaluation:
        """Evaluate on the validation text now, and remember the loss where it is the best so far.

        Raises
        ------
        ValueError
            If the trainer has no validation text.
        TrainingDiverged
            If the loss is NaN or infinite.
        """
        if self.validation is None:
            raise ValueError("validation: the trainer was given none")
        result = evaluate(self.model, self.validation.ids, batch_size=self.validation.batch_size)
        if not math.isfinite(result.loss):
            raise _diverged("validation loss", result.loss, self.step)
        if result.loss < self.best_loss:
            self.best_loss, self.best_step = result.loss, self.step
        return result

    def state(self) -> TrainingState:
        """Give all that a new trainer needs, beside the model's parameters, to go on with the same bits."""
        optimizer = self.optimizer.state_dict()
        carried, arrays = pack_carried(self._carried)
        moments = {f"optimizer.{name}": value for name, value in optimizer.items() if name != "steps"}
        values = {
            "step": self.step,
            "chunk": self.step % len(self.data),
            "optimizer_steps": optimizer["steps"],
            "schedule": {} if self.schedule is None else self.schedule.state_dict(),
            "best": [None if math.isinf(self.best_loss) else self.best_loss, self.best_step],
            "patience": [None if math.isinf(self._lowest) else self._lowest, self._waited],
            "random": pack_generator(self.model.rng),
            "carried": carried,
            "unfinished": None if self._unfinished is None else asdict(self._unfinished),
        }
        return TrainingState(values, {**moments, **arrays})

    def restore(self, state: TrainingState) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ValueError
            If the state does not fit this trainer's model, optimizer or data.
        """
        try:
            self._restore(state.values, state.arrays)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"training state: damaged: {error!r}") from error

    def _restore(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        if values["chunk"] != values["step"] % len(self.data):
            raise ValueError("training state: was made with another text, batch_size or seq_length")
        moments = {name[10:]: array for name, array in arrays.items() if name.startswith("optimizer.")}
        self.optimizer.load_state_dict({"steps": values["optimizer_steps"], **moments})
        if self.schedule is not None:
            self.schedule.load_state_dict(values["schedule"])
        self.step = int(values["step"])
        self.best_loss, self.best_step = _number(values["best"][0]), int(values["best"][1])
        self._lowest, self._waited = _number(values["patience"][0]), int(values["patience"][1])
        self.model.rng.bit_generator.state = values["random"]
        self._carried = unpack_carried(values["carried"], arrays)
        self._unfinished = None if values["unfinished"] is None else Record(**values["unfinished"])
        self.stopped_early = self._out_of_patience()

    def _make_step(self) -> None:
        """Make a step up to its validation: all of it, or nothing where an exception is raised."""
        started = time.perf_counter()
        chunk = self.step % len(self.data)
        inputs, targets = self.data.chunk(chunk)
        random, steps = self.model.rng.bit_generator.state, self.step
        try:
            self.model.zero_gradients()
            carried = None if chunk == 0 else self._carried
            loss, carried = self.model.loss_and_gradients(inputs, targets, carried)
            norm = self._clip()
            self._check(loss, norm)
            rate = self._learning_rate()
            with interrupts_held():
                self.optimizer.step(rate)
                self.step += 1
                self._carried = carried
                speed = targets.size / (time.perf_counter() - started)
                epoch = self.step / len(self.data)
                self._unfinished = Record(self.step, epoch, float(loss), norm, speed, rate)
        except BaseException:
            # An interrupt that was held comes after the step: what was drawn for it has been used.
            if self.step == steps:
                self.model.rng.bit_generator.state = random
            raise

    def _finish(self) -> Record:
        """Validate where it is due, and hand out the record of the step."""
        record = self._unfinished
        assert record is not None  # by the order of calls in `run`
        if self.validation is not None and self.step % self.validation.every == 0:
            record = replace(record, valid_loss=self.evaluate().loss)
        with interrupts_held():
            if record.valid_loss is not None:
                self._observe(record.valid_loss)
            self._unfinished = None
        return record

    def _clip(self) -> float:
        norm = gradient_norm(self.model)
        if self.clip_value is not None:
            clip_gradient_value(self.model, self.clip_value)
        if self.clip_norm is not None:
            clip_gradient_norm(self.model, self.clip_norm)
        return norm

    def _check(self, loss: float, norm: float) -> None:
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise _diverged(name, value, self.step + 1)

    def _learning_rate(self) -> float:
        if self.schedule is None:
            return self.optimizer.learning_rate
        return self.schedule.rate(self.step + 1)

    def _observe(self, valid_loss: float) -> None:
        if valid_loss < self._lowest:
            self._lowest, self._waited = valid_loss, 0
        else:
            self._waited += 1
        if self.schedule is not None:
            self.schedule.observe(valid_loss)
        self.stopped_early = self._out_of_patience()

    def _out_of_patience(self) -> bool:
        patience = None if self.validation is None else self.validation.patience
        return patience is not None and self._waited >= patience


def train(
    model: LanguageModel,
    data: ChunkedText,
    steps: int,
    optimizer: Optimizer | None = None,
    *,
    clip_norm: float | None = 5.0,
    validation: Validation | None = None,
) -> Iterator[Record]:
    """Train a model for some steps and yield a record of each. `Trainer` has more to set, and can be resumed.

    Parameters
    ----------
    model : LanguageModel
        Its parameters are changed.
    data : ChunkedText
        The training text.
    steps : int
    optimizer : Optimizer, optional
        Default: ``Adam(model, 2e-3)``.
    clip_norm : float, optional
        Bound on the gradient's global norm; None for none.
    validation : Validation, optional

    Yields
    ------
    record : Record

    Raises
    ------
    TrainingDiverged
        If the loss or the gradient's norm is NaN or infinite.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(3, hidden_size=8, num_layers=1, seed=0)
    >>> data = fr.ChunkedText([0, 1, 2] * 50, batch_size=2, seq_length=10)
    >>> [record.step for record in train(model, data, 3)]
    [1, 2, 3]
    """
    yield from Trainer(model, data, optimizer, clip_norm=clip_norm, validation=validation).run(steps)


def _diverged(what: str, value: float, step: int) -> TrainingDiverged:
    return TrainingDiverged(
        f"step {step}: the {what} is {value}; training stopped before the parameters were touched. "
        "Try a lower learning rate, a warm-up or a smaller bound on the gradient norm"
    )


def _number(value: float | None) -> float:
    return math.inf if value is None else float(value)
