"""The command ``fastrnn plot``: the curves of trainings, as a picture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_output, overwrite_option
from fastrnn.cli.standard_streams import show
from fastrnn.cli.training_log import read_log
from fastrnn.plots import plot_training
from fastrnn.plots.figure import matplotlib_module
from fastrnn.plots.training_curves import X_AXES

__all__ = ["command"]

_SUFFIXES = (".png", ".svg", ".pdf")


@click.command(name="plot")
@click.argument("logs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    default="curves.png",
    show_default=True,
    help="Picture to write: .png, .svg or .pdf.",
)
@overwrite_option
@click.option(
    "--x", type=click.Choice(list(X_AXES)), help="The x axis.  [default: steps, or epochs of a fit]"
)
@json_option
def command(logs: tuple[str, ...], out: str, overwrite: bool, x: str | None, as_json: bool) -> None:
    """Draw the losses and the learning rate in LOGS, together.

    A log is the NAME.jsonl of `fastrnn train`, or what `fastrnn fit --json` printed.
    """
    if Path(out).suffix.lower() not in _SUFFIXES:
        raise ValueError(f"--out: expected a name that ends in .png, .svg or .pdf, got {out!r}")
    check_output(out, logs, overwrite=overwrite)
    matplotlib_module("matplotlib")  # whether it is installed is said before anything is read
    records = dict(zip(_names(logs), map(read_log, logs), strict=True))
    for path, log in zip(logs, records.values(), strict=True):
        if x is not None and not all(X_AXES[x][0] in one for one in log):
            known = [name for name, (field, _) in X_AXES.items() if all(field in one for one in log)]
            raise ValueError(f"--x: {path} has no {x}; type --x {' or '.join(known)}")
    plot_training(records, out, x=x)
    if as_json:
        print_json(
            {
                "out": out,
                "logs": [_as_json(path, log) for path, log in zip(logs, records.values(), strict=True)],
            }
        )
        return
    amount = sum(map(len, records.values()))
    show(f"{len(logs)} {'log' if len(logs) == 1 else 'logs'} with {amount:,} records; saved {out}")


def _names(paths: tuple[str, ...]) -> list[str]:
    """Return what the legend calls each log: its name, or its path where two have one name."""
    stems = [Path(path).stem for path in paths]
    names = [path if Counter(stems)[stem] > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    if len(set(names)) < len(names):
        raise ValueError(f"LOGS: {Counter(names).most_common(1)[0][0]}: expected each log once")
    return names


def _as_json(path: str, log: list[dict[str, Any]]) -> dict[str, Any]:
    return {"path": path, "records": len(log), "loss": log[-1]["loss"]}
