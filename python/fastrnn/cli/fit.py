"""The command ``fastrnn fit``: train a model for sequences on the rows of data files."""

from __future__ import annotations

import sys
import time
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from fastrnn.cli.batch_size import check_shards
from fastrnn.cli.command_group import CommandGroup
from fastrnn.cli.config import Files, config_option, used_options, usual_options
from fastrnn.cli.data_files import Layout, data_options, name_rows, open_data
from fastrnn.cli.errors import BAD_INPUT, INTERRUPTED
from fastrnn.cli.examples import examples_of
from fastrnn.cli.model_options import setting_options
from fastrnn.cli.model_tasks import TASKS, ModelTask, find_columns, read_inputs, read_targets
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_output, overwrite_option
from fastrnn.cli.rank_errors import check_equal, ending_all, together
from fastrnn.cli.ranked_command import RankedCommand, ranks_of
from fastrnn.cli.ranks_options import RANKS_SECTION, program_facts, ranks_options, start_ranks
from fastrnn.cli.saved_config import config_path, describe_changes, write_config
from fastrnn.cli.sequence_cells import X_READINGS, Y_READINGS
from fastrnn.cli.standard_streams import show
from fastrnn.cli.stop_signals import StopSignals
from fastrnn.cli.text_input import check_standard_input, share_standard_input
from fastrnn.cli.threads import threads_option
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.files.output_lock import hold_output
from fastrnn.models.base.model_file import write_model
from fastrnn.train import TrainingDiverged

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["command"]

_SECTIONS = {
    "Files": "config out overwrite valid encoding",
    "Data": "x y x_as y_as format delimiter no_header",
    "Training": "epochs batch_size learning_rate schedule weight_decay clip_norm dropout early_stopping "
    "validation_fraction n_iter_no_change seed dtype precision",
    **RANKS_SECTION,
}
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)


class _Fit(CommandGroup):
    """A command for each task, with the settings of its model as options."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(TASKS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command_of(TASKS[cmd_name]) if cmd_name in TASKS else None


@click.group(name="fit", cls=_Fit, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Train a model for a TASK on data files and save it, for `fastrnn predict`.

    An example is a row of delimited text or of JSON lines, a sentence of CoNLL, or a line of text.
    """
    if context.invoked_subcommand is None:
        show(context.get_help(), err=True)
        context.exit(BAD_INPUT)


def _command_of(task: ModelTask) -> click.Command:
    @click.pass_context
    def callback(context: click.Context, /, **options: Any) -> None:
        _fit(context, task, **options)

    options: list[Any] = [
        click.argument("files", nargs=-1, required=True, type=_FILE, cls=Files),
        click.option("--out", required=True, type=click.Path(dir_okay=False), help="File to save to."),
        overwrite_option,
        config_option,
        click.option("--x", metavar="COLUMN", help="Column of the sequences.  [default: the first of two]"),
        click.option(
            "--y", multiple=True, metavar="COLUMN",
            help="Column of the targets.  [default: the second of two]",
        ),
        click.option(
            "--x-as", type=click.Choice(X_READINGS),
            help="How a cell is read: a text or label; words, numbers or ids with blanks between them; the "
            f"path of a WAV file. JSON lines may hold lists.  [default: {task.x_as}]",
        ),
        click.option(
            "--y-as", type=click.Choice(Y_READINGS),
            help=f"How a target is read; labels are several, with ; between them.  [default: {task.y_as}]",
        ),
        click.option(
            "--valid", multiple=True, type=_FILE, metavar="FILE",
            help="Data to measure after each epoch; with --early-stopping it decides when to stop.",
        ),
        data_options,
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
            help="Seed of all random numbers.",
        ),
        ranks_options,
        threads_option,
        json_option,
    ]  # fmt: skip
    for option in reversed(options):
        callback = option(callback)
    settings = setting_options(task.model)
    of_model = " ".join(
        each.name or "" for each in settings if each.name not in _SECTIONS["Training"].split()
    )
    result = click.command(
        name=task.name,
        cls=RankedCommand,
        sections={**_SECTIONS, "Model": of_model},
        epilog=examples_of(f"fit {task.name}"),
        help=f"Train a {task.kind} on FILES: {task.summary}. - is standard input.\n\nCtrl-C ends the "
        "training; the model of the epochs before is saved. The processes of mpiexec train one model "
        "together, from the same files; the first prints and writes.",
        short_help=f"{task.summary[0].upper()}{task.summary[1:]}.",
    )(callback)
    result.params += settings
    return result


def _fit(
    context: click.Context,
    task: ModelTask,
    /,
    *,
    files: tuple[str, ...],
    out: str,
    overwrite: bool,
    config: str | None,  # read before, as other options
    x: str | None,
    y: tuple[str, ...],
    x_as: str | None,
    y_as: str | None,
    valid: tuple[str, ...],
    format: str | None,  # as the option has it
    delimiter: str | None,
    no_header: bool,
    encoding: str,
    seed: int,
    shards: int | None,
    reduction: str,
    wire: str,
    as_json: bool,
    **settings: Any,
) -> None:
    with together(ranks_of(context)):
        check_standard_input([*files, *valid])
        count = ranks_of(context).size
        check_shards(shards or count, shards, count)  # the last batch of an epoch has any number of rows
    given = program_facts(settings["precision"]) | {"--out": out} | used_options(context)
    check_equal(ranks_of(context), given)
    ranks = start_ranks(shards, reduction, wire)
    context.params["shards"] = None if ranks.shards == 1 else ranks.shards  # what --config trains with again
    options = used_options(context)
    ranks.on_first(lambda: _check_outputs(context, out, [*files, *valid], overwrite))
    share_standard_input(ranks, [*files, *valid])
    model = task.model(random_state=seed, verbose=sys.stderr.isatty(), **settings)
    with ExitStack() as opened:
        with together(ranks):
            layout = Layout(format, delimiter, not no_header, encoding)
            data = opened.enter_context(open_data([*files, *valid], layout))
            training, held_out = data[: len(files)], data[len(files) :]
            columns = find_columns(task, training[0], x, y, x_as, y_as)
            X: Any
            y_training: Any
            validation: Any = None
            X, rate = read_inputs(training, columns)
            columns = columns._replace(rate=rate)
            y_training = read_targets(training, columns)
            if valid:
                validation = read_inputs(held_out, columns)[0], read_targets(held_out, columns)
            rows = len(y_training)
            if task.series:
                X, y_training, validation = _as_series(X, y_training, validation)
        if model.verbose:  # like the epochs that follow: on standard error, if that is a terminal
            show(describe_changes(config_path(out), options, usual_options(context.command)), err=True)
        started = time.perf_counter()
        with name_rows(training, {"X": columns.x, "y": columns.y[0]}, held_out):
            stopped = _train(context, model, X, y_training, validation, ranks)
        seconds = time.perf_counter() - started

    def write() -> None:
        write_model(out, model, columns.to_plain())
        write_config(config_path(out), context.command_path, options)

    with defer_interrupts():
        ranks.on_first(write, (OSError,))
    _report(task, model, out, rows, seconds, stopped=stopped, as_json=as_json)
    if stopped:
        context.exit(INTERRUPTED)


def _check_outputs(context: click.Context, out: str, inputs: list[str], overwrite: bool) -> None:
    for path in (out, str(config_path(out))):
        check_output(path, inputs, overwrite=overwrite)
    context.with_resource(hold_output(out))  # until the command ends


def _as_series(X: Any, y: Any, validation: Any) -> tuple[Any, Any, Any]:
    """Return what a forecaster is fitted with: the series, and nothing that is known beforehand."""
    if X is not None:
        raise ValueError("--x: expected none, as a series has no inputs here; name its columns with --y")
    own = None if validation is None else (np.array(validation[1], np.float64), None)
    return np.array(y, np.float64), None, own


def _train(context: click.Context, model: Any, X: Any, y: Any, validation: Any, ranks: Ranks) -> bool:
    """Train; return whether Ctrl-C ended it early, on whichever rank."""
    with StopSignals(ranks, at_once=True) as signals, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with ending_all(ranks, alike=(ValueError, TypeError, TrainingDiverged)):  # of the same data
                try:
                    model.fit(X, y, validation=validation, ranks=ranks)
                except KeyboardInterrupt:
                    if not hasattr(model, "network_"):  # else it came after the last epoch: nothing is lost
                        raise
        except TrainingDiverged as error:
            raise click.ClickException(f"{error}; try a lower --learning-rate") from None
    for warning in caught:
        show(f"{context.command_path}: warning: {warning.message}", err=True)
    return ranks.any(signals.received)


def _report(
    task: ModelTask, model: Any, out: str, rows: int, seconds: float, *, stopped: bool, as_json: bool
) -> None:
    history = {name: values for name, values in model.history_.items() if values}
    parameters = int(model.network_.parameters.flat.size)
    if as_json:
        print_json(
            {
                "out": out, "kind": task.kind, "rows": rows, "parameters": parameters,
                "epochs": model.n_iter_, "seconds": seconds, "interrupted": stopped, "history": history,
            }
        )  # fmt: skip
        return
    words = [f"loss {history['loss'][-1]:.4f}"]
    if "validation_score" in history:
        words.append(f"validation loss {history['validation_loss'][-1]:.4f}")
        if not task.by_loss:
            words.append(f"{task.measure} {history['validation_score'][-1]:.4f}")
    epochs = f"{model.n_iter_} of {model.epochs}" if model.n_iter_ < model.epochs else f"{model.n_iter_}"
    unit = "epoch" if epochs == "1" else "epochs"
    show(
        f"{rows:,} examples, {parameters:,} parameters, {epochs} {unit}, {seconds:.0f} s: {', '.join(words)}"
    )
    show(f"saved {out}, and its options in {config_path(out)}")
