"""What ``fastrnn train`` prints: lines for people and a JSON object for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastrnn.cli.command_line import launcher
from fastrnn.cli.memory import describe_bytes
from fastrnn.cli.prepared_texts import EncodedText, count_id
from fastrnn.cli.saved_config import describe_changes
from fastrnn.cli.settings import TrainingSettings
from fastrnn.cli.training_run import TrainingRun
from fastrnn.decode import sample, samples
from fastrnn.train import Record, TrainingWarning

__all__ = ["Summary", "describe_evaluation", "describe_start", "sample_lines", "summarize"]

_SAMPLE_TEXTS, _SAMPLE_LENGTH, _SAMPLE_TEMPERATURE = 5, 300, 0.8
_REASONS = {"steps": "done", "patience": "stopped early", "interrupt": "interrupted"}


def describe_start(run: TrainingRun) -> str:
    """Return lines that describe the text, the model and the training to come."""
    settings = run.settings
    return "\n".join(
        [
            f"text: {run.texts.source}: {_amounts(run)}",
            f"model: {settings.cell}, {settings.num_layers} x {settings.hidden_size}, "
            f"{run.model.num_parameters:,} parameters, {_precision(run)}"
            f"about {describe_bytes(run.memory)} of memory to train"
            f"{' each process' if run.ranks.size > 1 else ''}",
            f"training: steps {run.trainer.step} to {run.total_steps}, "
            f"{settings.batch_size} x {_steps(settings)} each{_processes(run)}, "
            f"{math.ceil(run.trainer.steps_per_epoch)} steps per epoch; "
            f"saved to {run.files.last}",
            _options(run),
        ]
    )


def _precision(run: TrainingRun) -> str:
    """Return the precision of the products, and which part stays float32; nothing if all do."""
    model = run.model
    if model.precision == "float32":
        return ""
    others = {"recurrent layers": model.rnn, "output": model.output}
    kept = [name for name, part in others.items() if part.precision != model.precision]
    return f"{model.precision} products{f' ({kept[0]}: float32)' if kept else ''}, "


def _options(run: TrainingRun) -> str:
    return describe_changes(run.files.config, run.settings.to_options(), TrainingSettings().to_options())


def _steps(settings: TrainingSettings) -> str:
    return "one sentence" if settings.sentences else f"{settings.seq_length} tokens"


def _processes(run: TrainingRun) -> str:
    ranks = run.ranks
    return (
        ""
        if ranks.shards == 1
        else f" in {ranks.shards} shards on {ranks.size} process{'es' * (ranks.size > 1)}"
    )


def _amounts(run: TrainingRun) -> str:
    """Return the amount of text and, for words, the unknown fraction of the validation text."""
    train, valid, size = run.texts.train, run.texts.valid, len(run.vocabulary)
    if run.settings.level == "char":
        return f"{len(train):,} symbols to train on, {len(valid):,} to validate on, {size} distinct"
    held_out = "none"
    if isinstance(valid, EncodedText) and len(valid):
        words = len(valid) - count_id(valid.ids, run.vocabulary.eos_id)
        unknown = count_id(valid.ids, run.vocabulary.unknown_id)
        held_out = f"{words:,} ({unknown / max(words, 1):.1%} unknown)"
    elif isinstance(valid, str) and valid:
        covered = run.vocabulary.coverage(valid)
        held_out = f"{covered.tokens:,} ({1 - covered.fraction:.1%} unknown)"
    return f"{run.data.tokens:,} words to train on, {held_out} to validate on, {size:,} distinct"


def describe_evaluation(record: Record) -> str:
    """Return one line for a record with a validation loss."""
    return (
        f"step {record.step}  epoch {record.epoch:.2f}  "
        f"loss {record.loss:.4f}  valid {record.valid_loss:.4f}  "
        f"learning rate {record.learning_rate:.3g}  {record.tokens_per_second:,.0f} tokens/s"
    )


def sample_lines(run: TrainingRun) -> str:
    """Return a sample that the model generates; a few whole texts if each line is a text."""
    options: dict[str, Any] = {"temperature": _SAMPLE_TEMPERATURE, "seed": run.settings.seed}
    if run.settings.sentences:
        texts = samples(run.model, run.vocabulary, _SAMPLE_TEXTS, max_length=_SAMPLE_LENGTH, **options)
    else:
        options["until_eos"] = False  # a sample of a stream has several lines
        texts = [sample(run.model, run.vocabulary, length=_SAMPLE_LENGTH, **options)]
    return "\n".join([f"---- sample at step {run.trainer.step}", *texts, "----"])


@dataclass(frozen=True)
class Summary:
    """Result of a training run; also the object that ``--json`` prints."""

    model: str
    best_model: str | None
    log: str
    stopped: str
    step: int
    parameters: int
    precision: str
    loss: float | None
    best_valid_loss: float | None
    best_step: int | None
    seconds: float
    warnings: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return asdict(self)

    def to_text(self) -> str:
        """Return lines for people."""
        reason = _REASONS[self.stopped]
        lines = [f"{reason} at step {self.step} after {self.seconds:.1f} s; saved {self.model}"]
        if self.best_valid_loss is not None:
            lowest = f"lowest validation loss {self.best_valid_loss:.4f} at step {self.best_step}"
            lines.append(f"{lowest}: {self.best_model}")
        if self.stopped == "interrupt":
            lines.append(f"resume with: {launcher()}fastrnn train --resume {self.model}")
        return "\n".join(lines)


def summarize(
    run: TrainingRun, record: Record | None, stopped: str, seconds: float, warnings: Sequence[TrainingWarning]
) -> Summary:
    """Return the summary of a finished training run, from its last record and the reason it stopped."""
    known = math.isfinite(run.trainer.best_loss)
    return Summary(
        model=str(run.files.last),
        best_model=str(run.best_model) if known else None,
        log=str(run.files.log),
        stopped=stopped,
        step=run.trainer.step,
        parameters=run.model.num_parameters,
        precision=run.model.precision,
        loss=None if record is None else record.loss,
        best_valid_loss=run.trainer.best_loss if known else None,
        best_step=run.trainer.best_step if known else None,
        seconds=round(seconds, 3),
        warnings=[warning.to_json() for warning in warnings],
    )
