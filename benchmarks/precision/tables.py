"""A result of ``precision_speed`` as tables: the goals, then every point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.compare.goals import percent, times
from benchmarks.compare.results import Point, thread_counts
from benchmarks.compare.tables import REACHED, markdown
from benchmarks.precision import ratios
from benchmarks.precision.goals import goals, wanted_gain, wanted_ratio, wanted_share
from fastrnn.cli.benchmark.cases import MODES, Shape
from fastrnn.cli.benchmark.peers import PEERS as LIBRARIES
from fastrnn.cli.benchmark.timing import geometric_mean

__all__ = ["document", "title"]

PRECISIONS_OF = {"forward": ("float32", "bfloat16", "int8"), "training": ("float32", "bfloat16")}


def title(name: str) -> str:
    """Return a peer's display name without its precision.

    Examples
    --------
    >>> title("pytorch-bfloat16-autocast")
    'PyTorch autocast'
    """
    library, _, *form = name.split("-")
    return " ".join([LIBRARIES[library].title, *form])


def document(result: dict[str, Any]) -> str:
    """Return goals and points for each number of threads and each mode; ``!`` is below the goal."""
    sections = []
    for threads in thread_counts(result):
        count = "one thread" if threads == 1 else f"{threads} threads"
        for mode in MODES:
            points = [p for p in result["points"] if p["threads"] == threads and p["case"]["mode"] == mode]
            if points:
                rows = [
                    (goal.what, goal.goal, goal.measured, REACHED[goal.reached])
                    for goal in goals(points, result["machine"], mode)
                ]
                sections += [
                    f"## {mode.capitalize()}, {count}",
                    markdown(("what", "goal", "least to most", ""), rows),
                    points_table(points, result["machine"], mode),
                ]
    return "\n\n".join(sections)


def points_table(points: list[Point], machine: dict[str, Any], mode: str) -> str:
    """Return a row for each point, and the geometric means."""
    precisions = PRECISIONS_OF[mode]
    header = ["cell", "T, N, D, H, layers", "float32, us", "best peer", "of limit"]
    for precision in precisions[1:]:
        header += [f"{precision}, us", "own float32", "best peer", "of limit"]
    return markdown(
        header, [*(row(point, machine, precisions) for point in points), means(points, precisions)]
    )


def row(point: Point, machine: dict[str, Any], precisions: tuple[str, ...]) -> list[str]:
    """Return the cells of a point's row."""
    sizes = ", ".join(str(point["case"][size]) for size in Shape._fields)
    cells = [point["case"]["cell"], sizes]
    for precision in precisions:
        own, best = ratios.own(point, precision), ratios.best_peer(point, precision)
        cells.append(f"{own['median_us']:,.0f}" if own else "-")
        if precision != "float32":
            wanted = wanted_gain(point, precision, machine)
            cells.append(marked(ratios.gain(point, precision), wanted, times))
        name = f" {title(best.name)}" if best else ""
        cells.append(marked(best and best.ratio, wanted_ratio(precision, machine), times) + name)
        cells.append(marked(ratios.share(point, precision), wanted_share(point, precision, machine), percent))
    return cells


def marked(value: float | None, wanted: float, write: Callable[[float], str]) -> str:
    """Format a value, with a mark if it misses the goal."""
    return "-" if value is None else f"{write(value)}{' !' if value < wanted else ''}"


def means(points: list[Point], precisions: tuple[str, ...]) -> list[str]:
    """Return the row of geometric means."""

    def mean(values: Iterator[float | None]) -> str:
        found = [value for value in values if value is not None]
        return times(geometric_mean(found)) if found else "-"

    cells = ["all", "geometric mean"]
    for precision in precisions:
        cells.append("")
        if precision != "float32":
            cells.append(mean(ratios.gain(point, precision) for point in points))
        cells += [mean(ratios.vs_peer(point, precision) for point in points), ""]
    return cells
