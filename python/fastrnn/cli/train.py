"""The command ``fastrnn train``: train or resume a language model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from fastrnn.cli.batch_size import check_shards
from fastrnn.cli.config import Files, config_option
from fastrnn.cli.given_options import given_by, given_settings
from fastrnn.cli.output import json_option
from fastrnn.cli.output_files import OutputFiles, overwrite_option
from fastrnn.cli.prepared_texts import open_prepared, prepared_options
from fastrnn.cli.rank_errors import check_equal, together
from fastrnn.cli.ranked_command import RankedCommand, ranks_of
from fastrnn.cli.ranks_options import RANKS_SECTION, program_facts, start_ranks
from fastrnn.cli.resumed_settings import resumed_settings
from fastrnn.cli.session import Session
from fastrnn.cli.settings import TEXT_FILE, TrainingSettings, settings_options
from fastrnn.cli.text_input import share_standard_input
from fastrnn.cli.threads import threads_option
from fastrnn.cli.training_run import TrainingRun
from fastrnn.cli.training_texts import read_texts
from fastrnn.files.output_lock import hold_output
from fastrnn.train import Checkpoint, CheckpointError, load_checkpoint

__all__ = ["command"]

_DEFAULT_OUT = "fastrnn-model.safetensors"
_BLOCK = 1 << 20  # bytes of a file read at once


_SECTIONS = {
    "Files": "config out resume overwrite valid valid_fraction encoding tensorboard",
    "Text": "level max_types min_count tokenizer sentences longest_line length_model max_length",
    "Model": "cell hidden_size num_layers embedding_size tied layer_norm cutoffs precision",
    "Training": "steps epochs patience batch_size seq_length backward_length accumulate optimizer momentum "
    "clip clip_value seed force",
    "Learning rate": "learning_rate schedule warmup decay_every decay_factor decay_start min_learning_rate",
    "Against overfitting": "dropout locked_dropout embedding_dropout weight_drop weight_decay "
    "label_smoothing average average_decay",
    **RANKS_SECTION,
    "Reports": "eval_every sample_every diagnose_every",
}


@click.command(name="train", cls=RankedCommand, sections=_SECTIONS)
@click.argument("files", nargs=-1, type=TEXT_FILE, cls=Files)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    help=f"File to save to.  [default: {_DEFAULT_OUT}, or the resumed file]",
)
@click.option(
    "--resume",
    type=click.Path(exists=True, dir_okay=False),
    help="Checkpoint whose training to resume.",
)
@overwrite_option
@config_option
@settings_options
@click.option("--force", is_flag=True, help="Train even if the memory seems too small.")
@threads_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    files: tuple[str, ...],
    out: str | None,
    resume: str | None,
    overwrite: bool,
    config: str | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a language model on FILES, or by default on the Python standard library's source.

    FILES are texts, or one file that fastrnn prepare made of some; - is standard input. The command saves
    the last model with everything that --resume needs (OUT.safetensors), the model with the lowest validation
    loss (OUT.best.safetensors), a log with one JSON object per step and per warning (OUT.jsonl), and its
    options, for --config (OUT.config.toml). Ctrl-C, SIGTERM and SIGHUP stop and save.

    With --resume, options given now replace the saved ones where they can; --steps counts from the start of
    the training. The texts are read again where the log beside the resumed file confirms that the training
    began with them; otherwise give them again.

    Several processes train one model together: mpiexec -n 4 fastrnn train book.txt. All of them read the
    same files; the first prints and writes. A signal to mpiexec, or to one of them, stops all at one step.
    """
    ranks = ranks_of(context)
    target = OutputFiles(out or resume or _DEFAULT_OUT, resume)
    with together(ranks):
        found = _identity(resume)
        checkpoint = None if resume is None else load_checkpoint(resume)
        settings = _settings(context, files, options, checkpoint)
        check_shards(settings.batch_size, settings.shards, ranks.size, resumed=resume is not None)
        compared = _to_compare(settings, target) if ranks.size > 1 else {}
    check_equal(ranks, compared)
    ranks = start_ranks(settings.shards, settings.reduction, settings.wire)
    settings = replace(settings, shards=ranks.shards)
    ranks.on_first(lambda: _check_files(settings, target, overwrite, found))
    share_standard_input(ranks, [*settings.files, settings.valid])
    with together(ranks), _naming(resume):
        texts = read_texts(settings)
    with _naming(resume):
        run = TrainingRun(settings, texts, target, checkpoint, force=force, ranks=ranks)
    if resume is not None and run.trainer.step >= run.total_steps and not run.trainer.unfinished:
        raise ValueError(
            f"{resume}: already at step {run.trainer.step} of {run.total_steps}; "
            "give more --steps or --epochs, counted from the start"
        )
    context.exit(Session(run, as_json).execute())


def _settings(
    context: click.Context, files: tuple[str, ...], options: dict[str, Any], checkpoint: Checkpoint | None
) -> TrainingSettings:
    """Return the settings as given, or those of a checkpoint with what is given now."""
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if given_by(context, one, "COMMANDLINE") and given_by(context, other, "DEFAULT_MAP"):
            options[other] = None  # the command line replaces the length in --config
    if options["steps"] is not None and options["epochs"] is not None:
        raise click.UsageError("--steps and --epochs: give only one of them", context)
    if checkpoint is None:
        options = prepared_options(files, options, given_settings(context, options))
        return TrainingSettings(files=files, **options)
    resume = context.params["resume"]
    with _naming(resume):
        return resumed_settings(resume, checkpoint, given_settings(context, ["files", *options]))


@contextmanager
def _naming(resume: str | None) -> Iterator[None]:
    """Name the resumed file in errors of what it holds."""
    try:
        yield
    except (CheckpointError, KeyError) as error:
        if resume is None:
            raise
        raise CheckpointError(f"{resume}: {error}") from error


def _to_compare(settings: TrainingSettings, files: OutputFiles) -> dict[str, Any]:
    """Return what must be equal on all ranks before the texts are read."""
    options = {f"--{name.replace('_', '-')}": value for name, value in settings.to_json().items()}
    files_read = options.pop("--files")
    return {
        **program_facts(settings.precision),
        "FILES": " ".join(files_read),
        **options,
        "--out": files.last,
        "the file to --resume": None if files.resumed is None else _digest(files.resumed),
    }


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        found = hashlib.sha256()
        while block := file.read(_BLOCK):
            found.update(block)
        return found.hexdigest()


def _identity(path: str | None) -> tuple[int, int] | None:
    """Return what changes when a file is replaced."""
    if path is None:
        return None
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns


def _check_files(
    settings: TrainingSettings, files: OutputFiles, overwrite: bool, found: tuple[int, int] | None
) -> None:
    """Lock the files to write; the one to resume is still as `found` when it was read."""
    texts = (*settings.files, *([] if settings.valid is None else [settings.valid]))
    files.check(texts, settings.tensorboard)
    prepared = open_prepared(settings.files)
    if prepared is not None:
        with prepared:
            prepared.verify()
    for path in (files.last, files.best, files.log):  # another --out may share one of them
        click.get_current_context().with_resource(hold_output(path))  # until the command ends
    if not overwrite:
        files.check_new()
    if _identity(files.resumed) != found:
        raise ValueError(f"{files.resumed}: another training has saved to it just now; type the line again")
