"""One training run of ``fastrnn train``: its trainer and the files it writes."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

from fastrnn.cli import training_parts
from fastrnn.cli.memory import check_training_memory, smaller, training_memory
from fastrnn.cli.output_files import OutputFiles
from fastrnn.cli.saved_config import write_config
from fastrnn.cli.settings import TrainingSettings
from fastrnn.cli.training_log import TrainingLog
from fastrnn.cli.training_texts import TrainingTexts
from fastrnn.data.batching import TrainingData
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.files.tensor_file import header_text
from fastrnn.language import LanguageModel
from fastrnn.train import (
    Checkpoint,
    Record,
    TensorBoardLog,
    Trainer,
    save_checkpoint,
)

__all__ = ["TrainingRun"]


class TrainingRun:
    """A trainer with its vocabulary, settings and files, new or resumed from a checkpoint.

    Parameters
    ----------
    settings : TrainingSettings
    texts : TrainingTexts
    files : OutputFiles
    checkpoint : Checkpoint, optional
        The checkpoint to resume from.
    force : bool, default False
        Do not compare the memory that a new training needs with what there is.

    Attributes
    ----------
    memory : int
        Estimate of the memory that training needs, in bytes.
    best_model : Path
        The file that the best model is in, once there is one: until a resumed training with other files
        finds a better one, it is that of the training before.

    Raises
    ------
    ValueError
        If the text is too short, or is not the text that the checkpoint was trained on.
    MemoryError
        If training needs more memory than there is.
    """

    settings: TrainingSettings
    texts: TrainingTexts
    files: OutputFiles
    board: TensorBoardLog | None
    model: LanguageModel

    def __init__(
        self,
        settings: TrainingSettings,
        texts: TrainingTexts,
        files: OutputFiles,
        checkpoint: Checkpoint | None = None,
        *,
        force: bool = False,
    ) -> None:
        self.settings, self.texts, self.files = settings, texts, files
        if checkpoint is None:
            self.vocabulary: Vocabulary = training_parts.make_vocabulary(settings, texts)
            header_text({"vocabulary": self.vocabulary.to_json()})  # what no file can hold is found now
        else:
            self.vocabulary = checkpoint.vocabulary
        self.data: TrainingData = training_parts.make_data(settings, self.vocabulary, texts.train)
        validation = training_parts.make_validation(settings, self.vocabulary, texts.valid)
        options = training_parts.model_options(settings, self.vocabulary)
        shapes = LanguageModel.parameter_shapes(options)
        self.memory: int = training_memory(settings, shapes, self.data.largest)
        if checkpoint is not None:
            self.model = checkpoint.model
        else:
            if not force:
                parameters = sum(map(math.prod, shapes.values()))
                check_training_memory(
                    settings, self.memory, self.data.largest, parameters, len(self.vocabulary)
                )
            try:
                self.model = LanguageModel(**options, seed=settings.seed)
            except MemoryError as error:
                raise MemoryError(f"{error}; {smaller(settings)}") from None
        steps_per_epoch = len(self.data) / settings.accumulate
        self.total_steps: int = settings.total_steps(steps_per_epoch)
        self.trainer: Trainer[LanguageModel] = Trainer(
            self.model,
            self.data,
            training_parts.make_optimizer(settings, self.model),
            schedule=training_parts.make_schedule(settings, self.total_steps, math.ceil(steps_per_epoch)),
            clip_norm=settings.clip or None,
            clip_value=settings.clip_value,
            validation=validation,
            average=training_parts.make_average(settings, self.model),
            accumulate=settings.accumulate,
            label_smoothing=settings.label_smoothing,
            diagnose_every=settings.diagnosis_steps,
        )
        self.saved_step: int | None = None
        self.best_model: Path = files.best if files.resumed is None else OutputFiles(files.resumed).best
        self._others_best = not files.continued  # a best model that is there is of another training
        self._logged_step = 0
        if checkpoint is not None:
            self._resume(checkpoint)
        self._log = TrainingLog(
            files.log, None if checkpoint is None else self.trainer.step, settings.to_json()
        )
        self.board = None
        if settings.tensorboard is not None:
            self.board = TensorBoardLog(settings.tensorboard, resumed_at=self.trainer.step or None)

    def save_last(self) -> None:
        """Save the model with everything needed to resume."""
        state = self.trainer.state()
        state.values["settings"] = self.settings.to_json()
        state.values["text"] = self.texts.digest
        save_checkpoint(self.files.last, self.model, self.vocabulary, state)
        self.saved_step = self.trainer.step

    def save(self) -> None:
        """Save the training, and the best model if the last evaluation was the best."""
        with defer_interrupts():
            # The best model first: if the process is killed in between, resuming from the older training
            # saves it again.
            try:
                if self.trainer.best_step == self.trainer.step and math.isfinite(self.trainer.best_loss):
                    save_checkpoint(self.files.best, self.trainer.evaluated, self.vocabulary)
                    self.best_model = self.files.best
                elif self._others_best:
                    self.files.best.unlink(missing_ok=True)
                self._others_best = False
            finally:
                self.save_last()
            record = self.trainer.last_record
            if (
                record is not None and record.step > self._logged_step
            ):  # an interrupt came before it was logged
                with suppress(OSError):
                    self.log(record)

    def save_config(self) -> None:
        """Save the options for ``--config``."""
        write_config(self.files.config, "fastrnn train", self.settings.to_options())

    def log(self, record: Record) -> None:
        """Append a record to the log and to the curves."""
        self._log.write(record)
        self._logged_step = record.step
        if self.board is not None:
            self.board.write(record)

    def _resume(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.training
        assert state is not None  # checked by `resumed_settings`
        if state.values["text"] != self.texts.digest:
            raise ValueError(f"{self.texts.source}: not the text that the training started with")
        if (
            state.values["settings"]["schedule"] != self.settings.schedule
            and self.trainer.schedule is not None
        ):
            state.values["schedule"] = self.trainer.schedule.state_dict()
        self.trainer.restore(state)
        self.saved_step = self.trainer.step
