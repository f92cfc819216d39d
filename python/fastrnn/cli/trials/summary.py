"""What ``fastrnn sweep`` prints: a line for each trial, a table, and an object for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastrnn.cli.toml_files import as_toml, toml_lines
from fastrnn.cli.trials.results import best_first
from fastrnn.cli.trials.trial import Measure, Result

__all__ = ["describe_options", "describe_result", "result_table", "to_json"]


def describe_options(options: Mapping[str, Any]) -> str:
    """Return the options of a trial in one line."""
    return ", ".join(toml_lines(options))


def describe_result(result: Result, total: int, measure: Measure) -> str:
    """Return one line for a trial that has ended."""
    if result.failure is not None:
        what = f"failed: {result.failure}"
    elif result.interrupted:
        what = "stopped"
    else:
        what = f"{measure.name} {result.score:.4f} in {result.seconds:.1f} s"
    return f"trial {result.trial} of {total}: {what}  ({describe_options(result.options)})"


def result_table(results: Sequence[Result], tried: Sequence[str], measure: Measure) -> str:
    """Return a table of results with the best first, one column for each option that was tried."""
    rows = [["trial", measure.name, "parameters", "seconds", *tried]]
    for one in best_first(results, measure):
        score = "failed" if one.score is None else f"{one.score:.4f}"
        size = "" if one.parameters is None else f"{one.parameters:,}"
        values = (as_toml(one.options[name]).strip('"') for name in tried)
        rows.append([str(one.trial), score, size, f"{one.seconds:.1f}", *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


def to_json(results: Sequence[Result], total: int, measure: Measure) -> dict[str, Any]:
    """Return the object that ``--json`` prints, with the best result first."""
    ordered = best_first(results, measure)
    scored = [one for one in ordered if one.score is not None]
    return {
        "measure": measure.name,
        "lowest_is_best": measure.is_loss,
        "trials": total,
        "failed": len(ordered) - len(scored),
        "best": scored[0].to_json() if scored else None,
        "results": [one.to_json() for one in ordered],
    }
