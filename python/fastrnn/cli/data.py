"""The command ``fastrnn data``: small data sets to start with, as files."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_new, overwrite_option
from fastrnn.cli.standard_streams import show
from fastrnn.data.shipped import DATA_SETS, DataSet

__all__ = ["command", "next_commands"]


@click.command(name="data")
@click.argument("name", required=False)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default=".",
    metavar="FOLDER",
    show_default="this folder",
    help="Folder to write to; it is created if there is none.",
)
@overwrite_option
@json_option
def command(name: str | None, out: str, overwrite: bool, as_json: bool) -> None:
    """List the small data sets that come with fastrnn, or write the files of the one called NAME.

    What to type next with the files is printed.
    """
    if name is None:
        _list(DATA_SETS, as_json)
        return
    chosen = _chosen(DATA_SETS, name)
    paths = _write(chosen, out, overwrite)
    commands = next_commands(chosen, out)
    if as_json:
        print_json({**_as_json(chosen), "files": paths, "commands": commands})
        return
    show(f"{chosen.summary}; {chosen.origin}")
    show(f"saved {' and '.join(paths)}; next, type:")
    for line in commands:
        show(f"  {line}")


def next_commands(data_set: Any, folder: str) -> list[str]:
    """Return command lines to type after a data set was written: to train on it, and to use the model.

    Parameters
    ----------
    data_set : DataSet
    folder : str
        Where its files are.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from fastrnn.cli.data import next_commands
    >>> files = ("a.csv", "a-valid.csv")
    >>> line = "fastrnn fit classify a.csv --valid a-valid.csv --out a.safetensors"
    >>> next_commands(SimpleNamespace(task="classify", files=files, command=line), "set")[1]
    'fastrnn predict a.safetensors set/a-valid.csv --score --out a-predictions.csv'
    """
    words = shlex.split(data_set.command)
    model = words[words.index("--out") + 1]
    training = [_path(folder, word) if word in data_set.files else word for word in words]
    last = data_set.files[-1]
    held_out = _path(folder, last)
    predictions = f"{Path(model).stem}-predictions{Path(last).suffix}"
    uses = {
        "text": ["fastrnn", "sample", model, "--length", "300"],
        "generate": ["fastrnn", "predict", model, "--count", "10"],
        "forecast": ["fastrnn", "predict", model, held_out, "--steps", "12"],
    }
    scored = ["fastrnn", "predict", model, held_out, "--score", "--out", predictions]
    return [shlex.join(training), shlex.join(uses.get(data_set.task, scored))]


def _chosen(sets: Mapping[str, DataSet], name: str) -> DataSet:
    if name in sets:
        return sets[name]
    near = difflib.get_close_matches(name.lower(), sets, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise click.UsageError(f"NAME: expected one of {', '.join(sets)}, got {name!r}{hint}")


def _write(data_set: DataSet, folder: str, overwrite: bool) -> list[str]:
    """Write the files of a data set into a folder, which is made if need be, and return their paths."""
    paths = [_path(folder, name) for name in data_set.files]
    if not overwrite:
        check_new(paths)
    os.makedirs(folder, exist_ok=True)
    data_set.write(folder, overwrite=overwrite)
    return paths


def _path(folder: str, name: str) -> str:
    """Return the path of a file as it is typed: without the name of the folder that one is in."""
    return name if folder == os.curdir else os.path.join(folder, name)


def _list(sets: Mapping[str, DataSet], as_json: bool) -> None:
    if as_json:
        print_json({"data_sets": [{**_as_json(one), "files": list(one.files)} for one in sets.values()]})
        return
    width = max(map(len, sets))
    for one in sets.values():
        show(f"{one.name:{width}}  {one.summary}")
    show(f"To write the files of one into this folder: fastrnn data {next(iter(sets))}")


def _as_json(data_set: DataSet) -> dict[str, Any]:
    return {name: getattr(data_set, name) for name in ("name", "summary", "task", "origin")}
