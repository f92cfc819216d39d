"""The training loop: of a language model on texts, or of any network on examples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from fastrnn._checks import as_size
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.train.average import Average, ModelT
from fastrnn.train.clipping import as_limit
from fastrnn.train.data_match import check_kind_of_data, check_saves_itself, checked_optimizer
from fastrnn.train.diagnosing import begin_diagnosis, is_due
from fastrnn.train.diagnosis import Diagnosis
from fastrnn.train.distributed.agreement import as_ranks, check_options
from fastrnn.train.evaluation import Evaluation, validate
from fastrnn.train.example_network import ExampleNetwork, Loss, generators_of, network_of
from fastrnn.train.gradient_watch import GradientWatch
from fastrnn.train.gradients import StepGradients, StepOptions, step_gradients
from fastrnn.train.optimizer import Optimizer
from fastrnn.train.progress import TrainingProgress
from fastrnn.train.records import Record, Validation, check_finite
from fastrnn.train.resume import restore_trainer, trainer_state
from fastrnn.train.schedules import ConstantSchedule
from fastrnn.train.shard_gradients import ShardedStep
from fastrnn.train.trainer_file import load_trainer, save_trainer
from fastrnn.train.training_state import TrainingState
from fastrnn.train.update import checked_scale

if TYPE_CHECKING:
    import os

    from fastrnn.data.batching import TrainingData
    from fastrnn.train.distributed import Ranks

__all__ = ["Trainer"]


class Trainer(Generic[ModelT]):
    """Train a model step by step: a language model on texts, any other network on examples with a loss.

    A step reads one batch and updates the parameters once. A chunk of a text starts from the final state of
    the previous chunk (zero at the start of an epoch), a sentence and an example from zero. A step is atomic:
    an interrupt, or a loss or gradient that is not finite, leaves the parameters, their average, the state
    and the position in the data unchanged.

    Parameters
    ----------
    model : LanguageModel, or any Module with a call, ``forward`` and ``backward``
        A layer, a `Composite`, a `Sequential` or a class of one's own.
    data : ChunkedText, SentenceBatches or ExampleBatches
        The training data: a text or sentences of a language model, examples of another network.
    optimizer : Optimizer, optional
        Of this model, or of parts of it. Default: ``Adam(model, 2e-3)``.
    loss : callable, optional
        For `ExampleBatches`: a function of `fastrnn.losses`, or one of your own that returns the mean loss
        and its gradient. It is called as ``loss(y, targets)``, time-major, with ``lengths=`` where sequences
        of a batch differ in length and each step has a target. For its options use ``functools.partial``.
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
        Of a language model, see its `loss_and_gradients`; not used in validation.
    checkpoint_every : int, optional
        Of a language model, see its `loss_and_gradients`: less memory for long sequences, the same bits.
    ranks : Ranks, optional
        The processes that train together, of `fastrnn.train.distributed.start`: each calls `run`, `evaluate`,
        `state`, `save` and `restore` as often as the others. Each reads its rows of the batches, the step is
        that of the whole batches, and rank 0 writes files.
    diagnose_every : int, optional
        Of a language model: diagnose the first step and then every so many: a `Diagnosis` in the record, and
        a `TrainingWarning` when gradients vanish or explode, once of each kind. The training has the same
        bits. A diagnosis costs about as much as a step.

    Raises
    ------
    ValueError
        If an option or an id of the validation data is out of range, the optimizer or the average belongs to
        another model, or sentences do not start or end as the model's texts do; or if `ranks` do not have
        the same model and data, or more shards than the batches of a text have rows.
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

    Any other network, here on sequences of numbers with a target for each step, their running sum:

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 8, 1)).astype(np.float32)
    >>> data = fr.data.ExampleBatches(x, x.cumsum(1), batch_size=20, seed=0)
    >>> model = fr.Composite(rnn=fr.GRU(1, 16, seed=0), fc=fr.Linear(16, 1, seed=1))
    >>> trainer = Trainer(model, data, loss=fr.losses.mean_squared_error, clip_norm=1.0)
    >>> losses = [record.loss for record in trainer.run(100)]
    >>> losses[-1] < 0.2 * losses[0]
    True
    """

    def __init__(
        self,
        model: ModelT,
        data: TrainingData,
        optimizer: Optimizer | None = None,
        *,
        loss: Loss | None = None,
        schedule: ConstantSchedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        validation: Validation | None = None,
        average: Average[ModelT] | None = None,
        accumulate: int = 1,
        label_smoothing: float = 0.0,
        checkpoint_every: int | None = None,
        diagnose_every: int | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self._network = network_of(model, data, loss)
        self.ranks: Ranks = as_ranks(ranks)
        self.model = model
        self.data = data
        self.optimizer: Optimizer = checked_optimizer(model, optimizer)
        self.schedule = schedule
        self.clip_norm: float | None = None if clip_norm is None else as_limit("clip_norm", clip_norm)
        self.clip_value: float | None = None if clip_value is None else as_limit("clip_value", clip_value)
        for name, given, kind in (("validation", validation, Validation), ("average", average, Average)):
            if given is not None and not isinstance(given, kind):
                raise TypeError(f"{name}: expected a {kind.__name__} or None, got {type(given).__name__}")
        options = (label_smoothing, checkpoint_every, diagnose_every)
        check_kind_of_data(self._network, data, None if validation is None else validation.data, options)
        if validation is not None and not isinstance(self._network, ExampleNetwork):
            validation.check_ids(self._network.vocabulary_size)
        self.validation = validation
        self.average = average
        self._diagnose_every = None if diagnose_every is None else as_size("diagnose_every", diagnose_every)
        self._options = StepOptions(accumulate, label_smoothing, checkpoint_every).checked()
        if average is not None and average.model is not model:
            raise ValueError(
                "average: expected the average of this trainer's model, got that of another model"
            )
        self._sharded: ShardedStep | None = None
        if self.ranks.shards > 1:
            self._sharded = ShardedStep(self._network, model, data, self.ranks)
            check_options(self)
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
    def evaluated(self) -> ModelT:
        """The model that is validated and saved as the best: the averaged or the trained one."""
        averaged: Any = None if self.average is None else self.average.averaged
        model: ModelT = self.model if averaged is None else averaged
        return model

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
        result = validate(self._network_of(self.evaluated), self.validation, self.ranks)
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
            If the state does not fit this trainer's model, optimizer, average or data; nothing has changed.
        """
        restore_trainer(self, state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters and everything else that `load` needs to a safetensors file, atomically.

        ``trainer.model.save(path)`` writes the network alone, with its architecture. A language model is
        saved with its vocabulary instead: ``save_checkpoint(path, model, vocabulary, trainer.state())``.

        Parameters
        ----------
        path : path

        Raises
        ------
        TypeError
            If the model is a language model.
        OSError
            If the file cannot be written; an existing file stays as it was.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import fastrnn as fr
        >>> data = fr.data.ExampleBatches(np.ones((9, 5, 1), np.float32), np.zeros((9, 5, 1)), 4, seed=0)
        >>> def make_trainer():
        ...     model = fr.Composite(rnn=fr.GRU(1, 8, seed=0), fc=fr.Linear(8, 1, seed=1))
        ...     return Trainer(model, data, loss=fr.losses.mean_squared_error)
        >>> one, two = make_trainer(), make_trainer()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "training.safetensors")
        ...     records = list(one.run(6))
        ...     one.save(path)
        ...     two.load(path)
        >>> two.step, np.array_equal(one.model.parameters.flat, two.model.parameters.flat)
        (6, True)
        """
        check_saves_itself(self._network)
        state = self.state()
        self.ranks.on_first(lambda: save_trainer(path, self, state))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Continue from a file that `save` wrote: with the same network, optimizer and data as there.

        Parameters
        ----------
        path : path

        Raises
        ------
        CheckpointError
            If the file is damaged, holds something else or does not fit this trainer; nothing has changed.
        OSError
            If the file cannot be read.
        """
        check_saves_itself(self._network)
        load_trainer(path, self)

    def _network_of(self, model: ModelT) -> Any:
        """Return a model as `validate` reads it."""
        return self._network.of(model) if isinstance(self._network, ExampleNetwork) else model

    def _make_step(self) -> None:
        """Take one step, without its validation. If an exception is raised, nothing has changed."""
        before = self._progress
        random = [(generator, generator.bit_generator.state) for generator in generators_of(self.model)]
        step = before.step + 1
        try:
            diagnosed = self._begin_diagnosis(before)
            started = time.perf_counter()
            done = self._step_gradients(before)
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
                for generator, own in random:
                    generator.bit_generator.state = own
            raise

    def _step_gradients(self, before: TrainingProgress) -> StepGradients:
        position = before.batches, before.carried, self._options
        if self._sharded is not None:
            return self._sharded.gradients(*position)
        return step_gradients(self._network, self.data, *position)

    def _begin_diagnosis(self, before: TrainingProgress) -> Callable[[], Diagnosis | None]:
        """Measure what is to be measured before a step, and return what completes the diagnosis after it."""
        if not is_due(before.step + 1, self._diagnose_every):
            return lambda: None
        position = before.batches, before.carried
        every = self._options.checkpoint_every
        return begin_diagnosis(self._network, self.data, *position, every, self.ranks)

    def _watched(self, before: TrainingProgress, record: Record) -> tuple[Record, GradientWatch]:
        """Return the record with what there is to warn of, and the watch over the gradients after it."""
        if self._diagnose_every is None:
            return record, before.watch
        limits = self.clip_norm, self.clip_value
        clipped = any(limit is not None and limit < np.inf for limit in limits)
        watch, warnings = before.watch.observed(record, self._network.rnn, self.clip_norm, clipped=clipped)
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
