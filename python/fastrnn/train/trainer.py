"""The training loop of a language model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastrnn._checks import as_size
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.train.average import Average
from fastrnn.train.clipping import as_limit
from fastrnn.train.data_match import check_data
from fastrnn.train.diagnosing import begin_diagnosis, is_due
from fastrnn.train.diagnosis import Diagnosis
from fastrnn.train.evaluation import Evaluation, validate
from fastrnn.train.gradient_watch import GradientWatch
from fastrnn.train.gradients import StepOptions, step_gradients
from fastrnn.train.optimizer import Optimizer
from fastrnn.train.optimizers import Adam
from fastrnn.train.progress import TrainingProgress
from fastrnn.train.records import Record, Validation, check_finite
from fastrnn.train.resume import restore_trainer, trainer_state
from fastrnn.train.schedules import ConstantSchedule
from fastrnn.train.training_state import TrainingState
from fastrnn.train.update import checked_scale

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.language import LanguageModel

__all__ = ["Trainer"]


class Trainer:
    """Train a language model step by step: on one long text by truncated backpropagation, or on sentences.

    A step reads one batch and updates the parameters once. A chunk of a text starts from the final state of
    the previous chunk (zero at the start of an epoch), a sentence from zero. A step is atomic: an interrupt,
    or a loss or gradient that is not finite, leaves the parameters, their average, the state and the position
    in the text unchanged.

    Parameters
    ----------
    model : LanguageModel
    data : ChunkedText or SentenceBatches
        The training data.
    optimizer : Optimizer, optional
        Of this model, or of parts of it. Default: ``Adam(model, 2e-3)``.
    schedule : ConstantSchedule or another schedule, optional
        Default: the optimizer's learning rate at every step.
    clip_norm : float, optional
        Limit on the global norm of the gradients that the optimizer reads.
    clip_value : float, optional
        Limit on the magnitude of each gradient element, applied before ``clip_norm``.
    validation : Validation, optional
    average : ExponentialAverage or NonMonotonicAverage, optional
        Average of this model's parameters; once it has started, validation uses it.
    accumulate : int, default 1
        Batches per step. The loss is the mean over the tokens of all of them, and the gradient is that of
        this mean. Needs less memory than one batch of that size; for sentences the step is the same.
    label_smoothing : float, default 0.0
        See `LanguageModel.loss_and_gradients`; not used in validation.
    checkpoint_every : int, optional
        See `LanguageModel.loss_and_gradients`: less memory for long sequences, the same bits.
    diagnose_every : int, optional
        Diagnose the first step and then every so many: a `Diagnosis` in the record, and a `TrainingWarning`
        when gradients vanish or explode, once of each kind. The training has the same bits. A diagnosis costs
        about as much as a step.

    Raises
    ------
    ValueError
        If an option or an id of the validation data is out of range, the optimizer or the average belongs to
        another model, or sentences do not start or end as the model's texts do.
    TypeError
        If an argument is of another kind.

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
        data: TrainingData,
        optimizer: Optimizer | None = None,
        *,
        schedule: ConstantSchedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        validation: Validation | None = None,
        average: Average | None = None,
        accumulate: int = 1,
        label_smoothing: float = 0.0,
        checkpoint_every: int | None = None,
        diagnose_every: int | None = None,
    ) -> None:
        check_data("data", model, data)
        if validation is not None:
            check_data("validation", model, validation.data)
        self.model = model
        self.data = data
        self.optimizer = _checked_optimizer(model, optimizer)
        self.schedule = schedule
        self.clip_norm = None if clip_norm is None else as_limit("clip_norm", clip_norm)
        self.clip_value = None if clip_value is None else as_limit("clip_value", clip_value)
        for name, given, kind in (("validation", validation, Validation), ("average", average, Average)):
            if given is not None and not isinstance(given, kind):
                raise TypeError(f"{name}: expected a {kind.__name__} or None, got {type(given).__name__}")
        if validation is not None:
            validation.check_ids(model.vocabulary_size)
        self.validation = validation
        self.average = average
        self._diagnose_every = None if diagnose_every is None else as_size("diagnose_every", diagnose_every)
        self._options = StepOptions(accumulate, label_smoothing, checkpoint_every).checked()
        if average is not None and average.model is not model:
            raise ValueError(
                "average: expected the average of this trainer's model, got that of another model"
            )
        self._progress = TrainingProgress()
        self._last_record: Record | None = None

    def __repr__(self) -> str:
        return f"<Trainer of {self.model!r}: {self.step} steps, {self.optimizer!r}>"

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self._progress.step

    @property
    def last_record(self) -> Record | None:
        """The record of the last step that `run` finished; an interrupt may keep it from being yielded."""
        return self._last_record

    @property
    def steps_per_epoch(self) -> float:
        """Steps per epoch; not an integer if the number of batches is not a multiple of `accumulate`."""
        return len(self.data) / self._options.accumulate

    @property
    def best_loss(self) -> float:
        """Lowest validation loss so far; infinite before the first evaluation."""
        return self._progress.best_loss

    @property
    def best_step(self) -> int:
        """Step of the lowest validation loss."""
        return self._progress.best_step

    @property
    def stopped_early(self) -> bool:
        """Whether ``validation.patience`` ran out."""
        patience = None if self.validation is None else self.validation.patience
        return patience is not None and self._progress.waited >= patience

    @property
    def unfinished(self) -> bool:
        """Whether an interrupt came between a step and its validation, with which `run` then starts."""
        return self._progress.unfinished is not None

    @property
    def evaluated(self) -> LanguageModel:
        """The model that is validated and saved as the best: the averaged or the trained one."""
        return self.model if self.average is None else self.average.averaged

    def run(self, steps: int) -> Iterator[Record]:
        """Train until ``steps`` steps have been taken in total, or patience runs out.

        Yields
        ------
        record : Record
            One per step.

        Raises
        ------
        TrainingDiverged
            If the loss or the gradient's norm is NaN or infinite: the step changed nothing. If the validation
            loss is: the step before it has been made.
        ValueError
            If all parameters that the optimizer trains are frozen.
        """
        last = as_size("steps", steps, least=0)
        if all(len(module.frozen) == len(module.parameters) for module in self.optimizer.modules):
            raise ValueError("model: all parameters of the optimizer are frozen; type model.unfreeze()")
        while True:
            if not self.unfinished:
                if self.step >= last or self.stopped_early:
                    return
                self._make_step()
            yield self._finish()

    def evaluate(self) -> Evaluation:
        """Evaluate on the validation data now, and keep the loss if it is the best so far.

        Raises
        ------
        ValueError
            If the trainer has no validation data.
        TrainingDiverged
            If the loss is NaN or infinite.
        """
        if self.validation is None:
            raise ValueError("validation: the trainer was given none")
        result = validate(self.evaluated, self.validation)
        kept = f"the parameters are those after step {self.step}"
        check_finite("validation loss", result.loss, self.step, kept=kept)
        self._progress = self._progress.evaluated(result.loss)
        return result

    def state(self) -> TrainingState:
        """Return everything but the parameters that a new trainer needs to continue with the same bits."""
        return trainer_state(self)

    def restore(self, state: TrainingState) -> None:
        """Continue from a state that `state` returned.

        Raises
        ------
        ValueError
            If the state does not fit this trainer's model, optimizer, average or data.
        """
        restore_trainer(self, state)

    def _make_step(self) -> None:
        """Take one step, without its validation. If an exception is raised, nothing has changed."""
        before, random = self._progress, self.model.rng.bit_generator.state
        step = before.step + 1
        try:
            diagnosed = self._begin_diagnosis(before)
            started = time.perf_counter()
            done = step_gradients(self.model, self.data, before.batches, before.carried, self._options)
            norm, scale = checked_scale(self.optimizer, done.loss, step, self.clip_norm, self.clip_value)
            rate = self.optimizer.learning_rate if self.schedule is None else self.schedule.rate(step)
            with defer_interrupts():
                self.optimizer.step(rate, gradient_scale=scale)
                if self.average is not None:
                    self.average.update()
                speed = done.tokens / (time.perf_counter() - started)
                epoch = done.batches / len(self.data)
                record = Record(step, epoch, done.loss, norm, speed, rate, diagnosis=diagnosed())
                record, watch = self._watched(before, record)
                self._progress = before.stepped(record, done.batches, done.carried, watch)
        except BaseException:
            # After a deferred interrupt the step is complete: its random numbers stay used.
            if self._progress is before:
                self.model.rng.bit_generator.state = random
            raise

    def _begin_diagnosis(self, before: TrainingProgress) -> Callable[[], Diagnosis | None]:
        """Measure what is to be measured before a step, and return what completes the diagnosis after it."""
        if not is_due(before.step + 1, self._diagnose_every):
            return lambda: None
        position = before.batches, before.carried
        return begin_diagnosis(self.model, self.data, *position, self._options.checkpoint_every)

    def _watched(self, before: TrainingProgress, record: Record) -> tuple[Record, GradientWatch]:
        """Return the record with what there is to warn of, and the watch over the gradients after it."""
        if self._diagnose_every is None:
            return record, before.watch
        limits = self.clip_norm, self.clip_value
        clipped = any(limit is not None and limit < np.inf for limit in limits)
        watch, warnings = before.watch.observed(record, self.model.rnn, self.clip_norm, clipped=clipped)
        return replace(record, warnings=warnings) if warnings else record, watch

    def _finish(self) -> Record:
        """Validate if due, and return the record of the step."""
        record = self._progress.unfinished
        assert record is not None  # by the order of calls in `run`
        if self.validation is not None and self.step % self.validation.every == 0:
            record = replace(record, valid_loss=self.evaluate().loss)
        with defer_interrupts():
            if record.valid_loss is not None:
                for listener in (self.schedule, self.average):
                    if listener is not None:
                        listener.observe(record.valid_loss)
            self._progress = self._progress.finished(record.valid_loss)
            self._last_record = record
        return record


def _checked_optimizer(model: LanguageModel, optimizer: Optimizer | None) -> Optimizer:
    """Return the optimizer, or the default, after a check that it trains the model."""
    if optimizer is None:
        return Adam(model, 2e-3)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected an Optimizer or None, got {type(optimizer).__name__}")
    own = model.parameters.flat
    for module in optimizer.modules:
        if not np.may_share_memory(own, module.parameters.flat):  # exact: neither has gaps
            raise ValueError(
                f"optimizer: expected one of this trainer's model, got one of another "
                f"{type(module).__name__}; type {type(optimizer).__name__}(model, ...)"
            )
    return optimizer
