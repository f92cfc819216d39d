"""The command ``fastrnn train``: train or resume a language model."""

from __future__ import annotations

from typing import Any

import click

from fastrnn.cli.config import Files, config_option
from fastrnn.cli.output import json_option
from fastrnn.cli.output_files import OutputFiles, overwrite_option
from fastrnn.cli.resumed_settings import resumed_settings
from fastrnn.cli.sections import SectionedCommand
from fastrnn.cli.session import Session
from fastrnn.cli.settings import TEXT_FILE, TrainingSettings, given_by, given_settings, settings_options
from fastrnn.cli.threads import threads_option
from fastrnn.cli.training_run import TrainingRun
from fastrnn.cli.training_texts import read_texts
from fastrnn.files.output_lock import hold_output
from fastrnn.train import CheckpointError, load_checkpoint

__all__ = ["command"]

_DEFAULT_OUT = "fastrnn-model.safetensors"


_SECTIONS = {
    "Files": "config out resume overwrite valid valid_fraction encoding tensorboard",
    "Text": "level max_types min_count tokenizer sentences longest_line length_model max_length",
    "Model": "cell hidden_size num_layers embedding_size tied layer_norm cutoffs precision",
    "Training": "steps epochs patience batch_size seq_length backward_length accumulate optimizer momentum "
    "clip clip_value seed force",
    "Learning rate": "learning_rate schedule warmup decay_every decay_factor decay_start min_learning_rate",
    "Against overfitting": "dropout locked_dropout embedding_dropout weight_drop weight_decay "
    "label_smoothing average average_decay",
    "Reports": "eval_every sample_every diagnose_every",
}


@click.command(name="train", cls=SectionedCommand, sections=_SECTIONS)
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

    FILES are texts; - is standard input. The command saves the last model with everything that --resume
    needs (OUT.safetensors), the model with the lowest validation loss (OUT.best.safetensors), a log with one
    JSON object per step and per warning (OUT.jsonl), and its options, for --config (OUT.config.toml). Ctrl-C,
    SIGTERM and SIGHUP stop and save.

    With --resume, options given now replace the saved ones where they can; --steps counts from the start of
    the training. The texts are read again where the log beside the resumed file confirms that the training
    began with them; otherwise give them again.
    """
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if given_by(context, one, "COMMANDLINE") and given_by(context, other, "DEFAULT_MAP"):
            options[other] = None  # the command line replaces the length in --config
    if options["steps"] is not None and options["epochs"] is not None:
        raise click.UsageError("--steps and --epochs: give only one of them", context)
    if resume is None:
        settings, target = TrainingSettings(files=files, **options), OutputFiles(out or _DEFAULT_OUT)
        _check_files(settings, target, overwrite)
        run = TrainingRun(settings, read_texts(settings), target, force=force)
    else:
        given = given_settings(context, ["files", *options])
        run = _resumed_run(resume, given, OutputFiles(out or resume, resume), overwrite)
    context.exit(Session(run, as_json).execute())


def _resumed_run(resume: str, given: dict[str, Any], files: OutputFiles, overwrite: bool) -> TrainingRun:
    checkpoint = load_checkpoint(resume)
    try:
        settings = resumed_settings(resume, checkpoint, given)
        _check_files(settings, files, overwrite)
        run = TrainingRun(settings, read_texts(settings), files, checkpoint)
    except (CheckpointError, KeyError) as error:
        raise CheckpointError(f"{resume}: {error}") from error
    if run.trainer.step >= run.total_steps and not run.trainer.unfinished:
        raise ValueError(
            f"{resume}: already at step {run.trainer.step} of {run.total_steps}; "
            "give more --steps or --epochs, counted from the start"
        )
    return run


def _check_files(settings: TrainingSettings, files: OutputFiles, overwrite: bool) -> None:
    texts = (*settings.files, *([] if settings.valid is None else [settings.valid]))
    files.check(texts, settings.tensorboard)
    click.get_current_context().with_resource(hold_output(files.last))  # until the command ends
    if not overwrite:
        files.check_new()
