"""The main loop of ``fastrnn train``: progress, logging, saving, and how it stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import click

from fastrnn.cli import report
from fastrnn.cli.errors import INTERRUPTED, describe_os_error
from fastrnn.cli.output import print_json
from fastrnn.cli.progress_bar import ProgressBar
from fastrnn.cli.rank_errors import ending_all
from fastrnn.cli.stop_signals import StopSignals
from fastrnn.cli.training_run import TrainingRun
from fastrnn.train import Record, TrainingDiverged, TrainingWarning

__all__ = ["Session"]

# The first sample comes after this time, and not only after --sample-every steps: those may take minutes.
_SECONDS_TO_FIRST_SAMPLE = 5.0


class Session:
    """One run of the main loop; several ranks run it in step, and stop at the same step.

    Parameters
    ----------
    run : TrainingRun
    as_json : bool
        Print one JSON object at the end, and all other output to standard error.
    """

    def __init__(self, run: TrainingRun, as_json: bool) -> None:
        self._run, self._as_json = run, as_json
        self._record: Record | None = None
        self._stopped = "steps"
        self._sampled = False
        self._began = time.monotonic()
        self._warned: set[str] = set()
        self._warnings: list[TrainingWarning] = []
        self._signals = StopSignals(run.ranks)
        self._unsaved: OSError | None = None
        self._progress = ProgressBar(run.trainer.step, run.total_steps, to_stderr=as_json)

    def execute(self) -> int:
        """Train to the end or until Ctrl-C, and return the exit code.

        Progress that cannot be printed, as to a closed pipe or a terminal that is gone, is dropped.

        Raises
        ------
        click.ClickException
            If the loss or the gradient is not finite.
        OSError
            If the last save fails.
        """
        self._began = time.monotonic()
        try:
            with self._signals, ending_all(self._run.ranks, alike=(TrainingDiverged,)):
                self._train_and_save()
        except TrainingDiverged as error:
            raise click.ClickException(f"{error}; {self._saved_message()}") from error
        finally:
            self._progress.close()
            if self._run.board is not None:
                self._run.board.close()
        if self._unsaved is not None:
            raise self._unsaved
        seconds = time.monotonic() - self._began
        summary = report.summarize(self._run, self._record, self._stopped, seconds, self._warnings)
        if self._as_json:
            print_json(summary.to_json())
        else:
            self._progress.say(summary.to_text())
        return INTERRUPTED if self._stopped == "interrupt" else 0

    def _train_and_save(self) -> None:
        try:
            self._progress.say(report.describe_start(self._run))
            self._try(self._run.save_config)
            self._loop()
            self._save_last()
        except KeyboardInterrupt:
            self._stopped = "interrupt"
            self._save_last()
        except TrainingDiverged:  # the saved files are better
            raise
        except BaseException:  # such as no memory for a sample, or a library's panic: the training is intact
            if self._run.ranks.size == 1:  # of several, the others are elsewhere
                with suppress(OSError):
                    self._run.save()
            raise

    def _save_last(self) -> None:
        try:
            self._run.save()
        except OSError as error:  # on every rank
            self._unsaved = error

    def _loop(self) -> None:
        trainer, settings = self._run.trainer, self._run.settings
        for record in trainer.run(self._run.total_steps):
            self._record = record
            self._progress.show(record)
            self._try(partial(self._run.log, record))
            for warning in record.warnings:
                self._warnings.append(warning)
                self._progress.warn(f"step {record.step}: {warning}")
            self._signals.check()
            if record.valid_loss is not None:
                self._progress.say(report.describe_evaluation(record))
            if record.step % settings.eval_every == 0:
                self._try(self._run.save)
            if self._sample_is_due(record.step):
                self._show_sample()
        if settings.sample_every and not self._sampled and self._record is not None:
            self._show_sample()
        if trainer.stopped_early:
            self._stopped = "patience"
        if trainer.validation is not None and trainer.step % trainer.validation.every:
            trainer.evaluate()

    def _sample_is_due(self, step: int) -> bool:
        every = self._run.settings.sample_every
        if not every:
            return False
        waited = time.monotonic() - self._began
        return step % every == 0 or (not self._sampled and waited >= _SECONDS_TO_FIRST_SAMPLE)

    def _show_sample(self) -> None:
        self._sampled = True
        if self._run.ranks.is_first:
            self._progress.say(report.sample_lines(self._run))

    def _try(self, action: Callable[[], None]) -> None:
        """Run an action, and turn an OSError, such as a full disk, into a warning."""
        try:
            action()
        except OSError as error:
            text = f"not saved: {describe_os_error(error)}; training continues"
            if text not in self._warned:
                self._warned.add(text)
                self._progress.warn(text)

    def _saved_message(self) -> str:
        saved = self._run.saved_step
        if saved is None:
            return "nothing has been saved yet"
        return f"{self._run.files.last} holds the training at step {saved}"
