"""One training run of ``fastrnn train``: its trainer and the files it writes."""

from __future__ import annotations

import json
import math
import socket
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from fastrnn.cli import training_parts
from fastrnn.cli.memory import check_training_memory, smaller, training_memory
from fastrnn.cli.output_files import OutputFiles
from fastrnn.cli.rank_errors import check_equal, ending_all, together
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
    TrainingState,
    Validation,
    save_checkpoint,
)
from fastrnn.train.distributed.agreement import as_ranks

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

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
    ranks : Ranks, optional
        The processes that train together; rank 0 writes the files.

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
        ranks: Ranks | None = None,
    ) -> None:
        self.settings, self.texts, self.files = settings, texts, files
        self.ranks: Ranks = as_ranks(ranks)
        self.saved_step: int | None = None
        self.best_model: Path = files.best if files.resumed is None else OutputFiles(files.resumed).best
        self._others_best = not files.continued  # a best model that is there is of another training
        self._logged_step = 0
        beside = self.ranks.gather(socket.gethostname()).count(socket.gethostname())
        with together(self.ranks):
            validation = self._make_parts(checkpoint, force, beside)
            compared = self._to_compare() if self.ranks.size > 1 else {}
        check_equal(self.ranks, compared)
        with ending_all(self.ranks, alike=(ValueError,)):
            self._make_trainer(validation)
            if checkpoint is not None:
                self._resume(checkpoint)
        resumed_at = None if checkpoint is None else self.trainer.step
        with together(self.ranks):
            self._log = TrainingLog(files.log, resumed_at, settings.to_json())
            self.board = self._make_board()

    def _make_parts(self, checkpoint: Checkpoint | None, force: bool, beside: int) -> Validation | None:
        """Make all that the trainer needs, without the other ranks; return the validation data.

        `beside`: how many ranks share the memory of this machine.
        """
        settings, texts = self.settings, self.texts
        if checkpoint is None:
            self.vocabulary: Vocabulary = training_parts.make_vocabulary(settings, texts)
            header_text({"vocabulary": self.vocabulary.to_json()})  # what no file can hold is found now
        else:
            self.vocabulary = checkpoint.vocabulary
        self.data: TrainingData = training_parts.make_data(settings, self.vocabulary, texts.train)
        validation = training_parts.make_validation(settings, self.vocabulary, texts.valid)
        options = training_parts.model_options(settings, self.vocabulary)
        shapes = LanguageModel.parameter_shapes(options)
        largest = -(-self.data.largest // self.ranks.shards)
        self.memory: int = training_memory(settings, shapes, largest)
        if checkpoint is not None:
            self.model = checkpoint.model
            if (
                self.ranks.size > 1 and checkpoint.training is not None
            ):  # the trainer compares the ranks' states
                self.model.set_random_state(checkpoint.training.values["random"])
        else:
            if not force:
                parameters = sum(map(math.prod, shapes.values()))
                sizes = largest, parameters, len(self.vocabulary)
                check_training_memory(settings, self.memory, *sizes, processes=beside)
            try:
                self.model = LanguageModel(**options, seed=settings.seed)
            except MemoryError as error:
                raise MemoryError(f"{error}; {smaller(settings)}") from None
        return validation

    def _to_compare(self) -> dict[str, str]:
        """Return what must be equal on all ranks once the texts have been read."""
        vocabulary = json.dumps(self.vocabulary.to_json()).encode()
        return {"texts": self.texts.digest, "vocabulary": sha256(vocabulary).hexdigest()}

    def _make_trainer(self, validation: Validation | None) -> None:
        settings = self.settings
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
            ranks=self.ranks,
        )

    def _make_board(self) -> TensorBoardLog | None:
        if self.settings.tensorboard is None or not self.ranks.is_first:
            return None
        return TensorBoardLog(self.settings.tensorboard, resumed_at=self.trainer.step or None)

    def save(self) -> None:
        """Save the training, and the best model if the last evaluation was the best. Collective.

        Raises
        ------
        OSError
            If a file cannot be written; on every rank.
        """
        with defer_interrupts():
            state = self.trainer.state()
            state.values["settings"] = self.settings.to_json()
            state.values["text"] = self.texts.digest
            self.ranks.on_first(lambda: self._write(state), (OSError,))

    def _write(self, state: TrainingState) -> None:
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
            save_checkpoint(self.files.last, self.model, self.vocabulary, state)
            self.saved_step = self.trainer.step
        record = self.trainer.last_record
        if record is not None and record.step > self._logged_step:  # an interrupt came before it was logged
            with suppress(OSError):
                self.log(record)

    def save_config(self) -> None:
        """Save the options for ``--config``, on rank 0."""
        if self.ranks.is_first:
            write_config(self.files.config, "fastrnn train", self.settings.to_options())

    def log(self, record: Record) -> None:
        """Append a record to the log and to the curves, on rank 0."""
        if not self.ranks.is_first:
            return
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
