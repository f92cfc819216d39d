"""The measuring process: ``precision_speed`` and ``precision_steps`` start one for each number of threads."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.compare.limits import Limits
from benchmarks.precision.points import layer_points, measured
from fastrnn.cli.benchmark import machine
from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.peers import installed
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.process import serve


def work(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Report the machine and the libraries, then measure point by point."""
    libraries, missing = installed(job["libraries"])
    yield {"machine": machine.facts(), "libraries": libraries, "missing": missing}
    for point in points(job, libraries):
        yield measured(point, job["rounds"])


def points(job: dict[str, Any], libraries: list[str]) -> Iterable[Point]:
    """Return the points of a job: layers, or whole training steps."""
    threads = job["threads"]
    if "sizes" in job:
        steps = importlib.import_module("benchmarks.precision.steps")
        chosen: Iterable[Point] = steps.step_points(job["sizes"], libraries, threads)
        return chosen
    cases = [Case(cell, mode, Shape(*shape)) for cell, mode, shape in job["cases"]]
    return layer_points(cases, libraries, threads, Limits(threads))


if __name__ == "__main__":
    sys.exit(serve(work))
