"""The command ``fastrnn predict``: what a model of ``fastrnn fit`` says of the rows of data files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import click
import numpy as np

import fastrnn.models
from fastrnn.cli.data_files import DataFile, Layout, data_options, name_rows, open_data
from fastrnn.cli.forecast import forecast_table, forecast_text
from fastrnn.cli.model_argument import model_argument, model_kind
from fastrnn.cli.model_options import changed_settings
from fastrnn.cli.model_tasks import Columns, ModelTask, read_inputs, read_targets, task_of_kind
from fastrnn.cli.numbers import FiniteRange
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_output, overwrite_option
from fastrnn.cli.precision import in_precision, precision_option
from fastrnn.cli.rank_errors import ending_all, together
from fastrnn.cli.ranked_command import RankedCommand, ranks_of
from fastrnn.cli.reading_progress import in_parts, progress_is_shown
from fastrnn.cli.same_call import check_same_call
from fastrnn.cli.sequence_cells import X_READINGS, as_cell, as_plain
from fastrnn.cli.standard_streams import show, write_data
from fastrnn.cli.text_input import check_standard_input, share_standard_input
from fastrnn.cli.threads import threads_option
from fastrnn.files.atomic_files import write_atomically
from fastrnn.models.base.model_file import source_of_file

__all__ = ["command"]


@click.command(name="predict", cls=RankedCommand)
@model_argument("fastrnn fit TASK FILE.csv --out NAME.safetensors")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--out", type=click.Path(dir_okay=False), help="File to write to.  [default: standard output]")
@overwrite_option
@click.option("--x", metavar="COLUMN", help="The column of the sequences.  [default: as in training]")
@click.option("--x-as", type=click.Choice(X_READINGS), help="How a cell is read.  [default: as in training]")
@click.option("--column", default="prediction", show_default=True, metavar="NAME", help="The column to add.")
@click.option("--proba", is_flag=True, help="Add probabilities too.")
@click.option("--score", "scored", is_flag=True, help="Also measure the predictions, on standard error.")
@click.option("--y", multiple=True, metavar="COLUMN", help="Targets of --score.  [default: as in training]")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting that counts in prediction, such as threshold=0.3.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="Without FILES: sequences to generate."
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Of a forecast."
)
@click.option(
    "--temperature",
    type=FiniteRange(min=0.0, min_open=True),
    metavar="X",
    help="Draw what is generated; lower values make it more predictable.  [default: 1 without FILES, else "
    "the likeliest]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of what is drawn."
)
@data_options
@precision_option
@threads_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    model: str,
    files: tuple[str, ...],
    out: str | None,
    overwrite: bool,
    x: str | None,
    x_as: str | None,
    column: str,
    proba: bool,
    scored: bool,
    y: tuple[str, ...],
    assignments: tuple[str, ...],
    count: int | None,
    steps: int,
    temperature: float | None,
    seed: int,
    format: str | None,  # as the option has it
    delimiter: str | None,
    no_header: bool,
    encoding: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Add the predictions of MODEL to the rows of FILES, as a column.

    - is standard input, with --format. What is written has the format of the files. MODEL is a file of
    `fastrnn fit`, or of a model's save. A model that generates needs no FILES. One that forecasts writes the
    next --steps of the series in FILES, or of that in training, with the band from 10 to 90 %. The processes
    of mpiexec share the rows.
    """
    ranks = ranks_of(context)
    check_same_call(context, ranks, [model, *files])
    check_standard_input(files)
    if as_json and out is not None:
        raise click.UsageError("--out: has no effect with --json; redirect standard output", context)
    share_standard_input(ranks, files)
    if out is not None:
        path, inputs = out, [model, *files]
        ranks.on_first(lambda: check_output(path, inputs, overwrite=overwrite))
        out = out if ranks.is_first else None  # what the others print is dropped
    with together(ranks):
        task = task_of_kind(model, model_kind(model))
        fitted = in_precision(model, getattr(fastrnn.models, task.kind).load(model), precision)
        fitted.set_params(**changed_settings(fitted, assignments))
    layout = Layout(format, delimiter, not no_header, encoding)
    if task.series:
        table = _forecast(model, fitted, files, layout, y, steps, seed)
        if as_json:
            print_json({"kind": task.kind, "rows": steps, "predictions": table})
        else:
            _write(out, forecast_text(table))
        return
    if not files:
        if task.needs_x:
            raise click.UsageError(
                f"FILES: expected at least one; type fastrnn predict {model} FILE.csv, or - and --format csv",
                context,
            )
        drawn = fitted.generate(count=count or 1, temperature=temperature or 1.0, random_state=seed)
        predictions = [as_plain(value) for value in drawn]
        if as_json:
            print_json({"kind": task.kind, "rows": len(predictions), "predictions": predictions})
        else:
            _write(out, "".join(f"{as_cell(value)}\n" for value in predictions))
        return
    if count is not None or (temperature is not None and task.needs_x):
        raise ValueError(f"--{'temperature' if count is None else 'count'}: has no effect here")
    if proba and not task.proba:
        raise ValueError(f"--proba: a {task.kind} has no probabilities of classes")
    with ExitStack() as files_open, ending_all(ranks, (Exception,)):
        with together(ranks):
            data = files_open.enter_context(open_data(files, layout))
            _check_alike(data)
            source = Columns.of_file(model, source_of_file(model))
            columns = _columns(source, data[0], x, y, x_as, task)
            named = {"X": columns.x, "y": columns.y[0] if columns.y else None}
            with name_rows(data, named):
                X, _ = read_inputs(data, columns)
        with name_rows(data, named):
            shown = ranks.size == 1 and progress_is_shown(as_json)
            if temperature is None:
                found = in_parts(fitted.predict, X, shown=shown, ranks=ranks)
            else:
                found = fitted.generate(X, temperature=temperature, random_state=seed)
            predictions = [as_plain(value) for value in found]
            probabilities = in_parts(fitted.predict_proba, X, shown=shown, ranks=ranks) if proba else None
            score = fitted.score(X, _targets(data, columns)) if scored else None
        names = [str(label) for label in fitted.classes_.tolist()] if proba else []
        if as_json:
            result: dict[str, Any] = {"kind": task.kind, "rows": len(predictions), "predictions": predictions}
            if probabilities is not None:
                result |= {"classes": names, "probabilities": [row.tolist() for row in probabilities]}
            if score is not None:
                result |= {"measure": task.measure, "score": float(score)}
            print_json(result)
            return
        _write(out, _with_predictions(data, columns, column, predictions, probabilities, names))
    if score is not None:
        show(f"{task.measure} {score:.4f}, {len(predictions):,} rows", err=True)


def _forecast(
    path: str,
    model: Any,
    files: tuple[str, ...],
    layout: Layout,
    y: tuple[str, ...],
    steps: int,
    seed: int,
) -> dict[str, list[float]]:
    """Return the next steps of a series and their bands."""
    source = Columns.of_file(path, source_of_file(path))
    columns = Columns(None, y or tuple(source.get("y", ())), "numbers", source.get("y_as") or "number")
    if not files:
        return forecast_table(model, [], columns, steps, seed)
    if not columns.y:
        raise ValueError("--y: name the column of the series")
    with open_data(files, layout) as data:
        return forecast_table(model, data, columns, steps, seed)


def _check_alike(data: Sequence[DataFile]) -> None:
    """Check that the rows of all files fit into one."""
    first = data[0]
    for file in data[1:]:
        if file.format != first.format or (first.format != "jsonl" and file.names != first.names):
            raise ValueError(
                f"{file.name}: expected the format and the columns of {first.name}, as one file is written: "
                f"{first.format}, {', '.join(first.names)}; got {file.format}, {', '.join(file.names)}"
            )


def _write(out: str | None, text: str) -> None:
    if out is None:
        write_data(text)
    else:
        write_atomically(out, text.encode())


def _columns(
    source: dict[str, Any],
    file: DataFile,
    x: str | None,
    y: Sequence[str],
    x_as: str | None,
    task: ModelTask,
) -> Columns:
    """Return the columns to read: those given, else those of training, else the only one there is."""
    name = x or source.get("x")
    if x is None and name not in file.names and len(file.names) == 1:
        name = file.names[0]
    if name is None:
        name = "form" if file.path.lower().endswith(".conllu") else "0" if file.format == "conll" else None
    if name is None:
        raise ValueError(
            f"--x: name the column of {file.name} to use, one of {', '.join(map(repr, file.names))}"
        )
    return Columns(
        name,
        tuple(y) or tuple(source.get("y", ())),
        x_as or source.get("x_as") or task.x_as,
        source.get("y_as") or task.y_as,
        source.get("rate"),
    )


def _targets(data: Sequence[DataFile], columns: Columns) -> list[Any]:
    if not columns.y:
        raise ValueError("--y: name the column of the targets to measure the predictions with")
    return read_targets(data, columns)


def _with_predictions(
    data: Sequence[DataFile],
    columns: Columns,
    column: str,
    predictions: list[Any],
    probabilities: Any,
    names: list[str],
) -> str:
    """Return the text of the files with columns of predictions, and of probabilities, added."""
    text, start = "", 0
    for number, file in enumerate(data):
        assert columns.x is not None
        end = start + len(file.column("--x", columns.x))
        own = None if probabilities is None else probabilities[start:end]
        added = _added(
            file, column, predictions[start:end], own, names, ";" if columns.y_as == "labels" else " "
        )
        if file.format == "conll" and text and not text.endswith("\n\n"):
            text += "\n"  # a blank line ends a sentence; at the end of a file it may be missing
        text += file.with_columns(added, header=not number)
        start = end
    return text


def _added(
    file: DataFile, column: str, predictions: list[Any], probabilities: Any, names: list[str], separator: str
) -> dict[str, list[Any]]:
    """Return the columns to add to a file."""
    if file.format == "conll":
        added: dict[str, list[Any]] = {column: [[as_cell(tag) for tag in row] for row in predictions]}
        if probabilities is not None:
            added[f"{column}:p"] = [[f"{p.max():.6f}" for p in row] for row in probabilities]
        return added
    if file.format == "jsonl":
        added = {column: predictions}
        if probabilities is not None:
            added[f"{column}:p"] = [_by_name(row, names) for row in probabilities]
        return added
    added = {column: [as_cell(value, separator) for value in predictions]}
    if isinstance(probabilities, np.ndarray):  # a row for each sequence, else one for each of its steps
        for k, name in enumerate(names):
            added[f"{column}:{name}"] = [f"{p:.6f}" for p in probabilities[:, k]]
    elif probabilities is not None:
        added[f"{column}:p"] = [" ".join(f"{p.max():.6f}" for p in row) for row in probabilities]
    return added


def _by_name(row: Any, names: list[str]) -> Any:
    if row.ndim == 2:
        return [_by_name(step, names) for step in row]
    return dict(zip(names, map(float, row), strict=True))
