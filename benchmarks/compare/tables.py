"""A result as Markdown: goals, then every point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.compare import results
from benchmarks.compare.goals import goals, times
from benchmarks.compare.results import Point, Result, select
from benchmarks.compare.shapes import CELLS, MODES
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.timing import geometric_mean

BUSY = 0.5  # load average
REACHED = {True: "reached", False: "not reached", None: "-"}


def document(result: Result) -> str:
    """Return all sections as one document."""
    sections = [facts(result)]
    for threads in results.thread_counts(result):
        title = "one thread" if threads == 1 else f"{threads} threads"
        sections += [f"## Goals, {title}", goals_table(result, threads)]
        sections += [f"## Geometric means over the grid, {title}", means_table(result, threads)]
        for mode in MODES:
            sections += section(
                f"## {mode.capitalize()}, {title}", grid_table(select(result, "grid", threads, mode=mode))
            )
        for kind, (heading, table) in SPECIAL.items():
            sections += section(f"## {heading}, {title}", table(select(result, kind, threads)))
    heading = "## Answers: largest difference from the reference in float64, relative to each array's maximum"
    sections += section(heading, accuracy_table(result))
    return "\n\n".join(sections) + "\n"


def section(heading: str, table: str) -> list[str]:
    """Return a heading and its table, or nothing if there is no table."""
    return [heading, table] if table else []


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; empty without rows."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}", *lines])


def title(name: str) -> str:
    """Return a peer's display name."""
    return PEERS[name].title if name in PEERS else name


def facts(result: Result) -> str:
    """Return what was measured, where, and which peers were missing."""
    lines = [f"# Measured {result['started']}, commit {result['commit']}", ""]
    lines += [f"- command: `{result['command']}`"]
    lines += [f"- {name}: {value}" for name, value in result["machine"].items()]
    for threads, limits in result["limits"].items():
        levels = ", ".join(
            f"{name} {level['bytes_per_second'] / 1e9:.0f} GB/s ({level['bytes'] / 1024:,.0f} KiB)"
            for name, level in limits["levels"].items()
        )
        lines += [f"- read bandwidth, {threads} thread(s), {limits['source']}: {levels}"]
    lines += [f"- **not measured: {title(name)}**: {reason}" for name, reason in result["missing"].items()]
    load = result["machine"].get("load_average", 0.0)
    if load > BUSY:
        lines += [f"- **the machine was busy**: load average {load} before the run; the figures are rough"]
    lines += [
        f"- a figure: the median of {result['rounds']} rounds, fewer if they take {result['seconds']:g} s,",
        "  the peers in turn; microseconds, ± half the interquartile range; in brackets the time over",
        "  fastrnn's, the median of the ratios within a round",
    ]
    return "\n".join(lines)


def goals_table(result: Result, threads: int) -> str:
    """Return the table of goals, reached or not."""
    rows = [(goal.what, goal.goal, goal.measured, REACHED[goal.reached]) for goal in goals(result, threads)]
    return markdown(("what", "goal", "measured", ""), rows)


def means_table(result: Result, threads: int) -> str:
    """Return the geometric means of the ratios to the best peer and to each peer."""
    names = [name for name in result["peers"] if name != "fastrnn"]
    rows = []
    for mode in MODES:
        for cell in CELLS:
            points = select(result, "grid", threads, mode=mode, cell=cell)
            if points:
                rows.append([f"{mode} {cell}", mean(results.vs_best(point) for point in points)])
                rows[-1] += [mean(results.vs(point, name) for point in points) for name in names]
    return markdown(["", "best peer", *map(title, names)], rows)


def accuracy_table(result: Result) -> str:
    """Return the largest difference of each peer's answers from the reference in float64."""
    found: dict[str, float] = {}
    for point in result["points"]:
        for name, time in point["peers"].items():
            found[name] = max(found.get(name, 0.0), time["difference"])
    return markdown(("", "largest difference"), [(title(name), f"{found[name]:.1e}") for name in found])


def mean(values: Iterable[float | None]) -> str:
    """Format a geometric mean."""
    found = [value for value in values if value is not None]
    return times(geometric_mean(found)) if found else "-"


def grid_table(points: list[Point]) -> str:
    """Return the grid's points: times, ratios, and fractions of the limits."""
    names = peers_of(points)
    rows = []
    for point in points:
        share = f"{results.fma_share(point):.0%}" if "fma" in point["limits"] else "-"
        read = f"{results.read_share(point):.0%}" if "read" in point["limits"] else ""
        best = results.vs_best(point)
        rows.append([results.label(point), *cells(point, names), times(best) if best else "-", share, read])
    return markdown(["cell mode T,N,D,H,layers", *map(title, names), "best", "of FMA", "of read"], rows)


def peers_of(points: Iterable[Point]) -> list[str]:
    """Return the names of all peers in any of the points, in order."""
    names: dict[str, None] = {}
    for point in points:
        names.update(dict.fromkeys(point["peers"]))
    return list(names)


def cells(point: Point, names: Sequence[str]) -> list[str]:
    """Return each peer's time and ratio, or why there is none."""
    texts = []
    for name in names:
        value = results.vs(point, name) if "fastrnn" in point["peers"] else None
        if name not in point["peers"]:
            texts.append(point["unsupported"].get(name, "-"))
        else:
            own = figure(point["peers"][name])
            texts.append(own if name == "fastrnn" or value is None else f"{own} ({times(value)})")
    return texts


def figure(time: dict[str, Any]) -> str:
    """Format a time with its spread."""
    spread = (time["high_us"] - time["low_us"]) / 2 / max(time["median_us"], 1e-3)
    return f"{time['median_us']:,.1f} ±{spread:.0%}"


def plain_table(points: list[Point], extra: str = "", value: Any = None) -> str:
    """Return times and ratios of points of any kind, with one more figure."""
    names = peers_of(points)
    rows = [
        [results.label(point), *cells(point, names), *([value(point)] if extra else [])] for point in points
    ]
    return markdown(["", *map(title, names), *([extra] if extra else [])], rows)


def slow_downs(point: Point) -> str:
    """Return how much denormal input slows each peer."""
    found = {name: results.slow_down(point, name) for name in point["peers"]}
    return ", ".join(f"{title(name)} {times(value)}" for name, value in found.items() if value)


def smallest_share(point: Point) -> str:
    """Return the time of the step with every size at 1, and its fraction."""
    own = results.ratio(point["limits"]["smallest"], point["peers"]["fastrnn"])
    return f"{point['limits']['smallest']['median_us']:.1f} ({own:.1%})"


SPECIAL = {
    "step": ("One step from Python", lambda points: plain_table(points, "1 -> 1 layer", smallest_share)),
    "ragged": (
        "Ragged batch",
        lambda points: plain_table(points, "cost over real share", lambda p: times(results.ragged_cost(p))),
    ),
    "denormal": ("Denormal input", lambda points: plain_table(points, "over ordinary input", slow_downs)),
    "character": (
        "Character model, whole training step",
        lambda points: plain_table(points, "all sizes 1", smallest_share),
    ),
    "isa": ("One instruction set against another", plain_table),
}
