"""A point: one problem in every precision by every library, verified, then timed in turn."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.compare.limits import Limits
from benchmarks.precision.peers import PEERS, PRECISIONS, TOLERANCES
from benchmarks.precision.ratios import BYTES, is_peer
from fastrnn.cli.benchmark.cases import Case, make_problem
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.task import Unsupported
from fastrnn.cli.benchmark.timing import FEWEST_ROUNDS, Clock, measure, summary
from fastrnn.cli.benchmark.verify import Disagreement, expected_answer, verify

__all__ = ["add_limits", "layer_points", "measured"]

#: A peer that takes so many times as long as the best of its precision decides nothing: it gets few rounds.
SLOW = 2.0


def layer_points(
    cases: Iterable[Case], libraries: Iterable[str], threads: int, limits: Limits
) -> Iterator[Point]:
    """Yield the point of each case: a layer in every precision, and the machine's limits in each."""
    libraries = set(libraries)
    for case in cases:
        problem = make_problem(case, threads)
        point = Point("layer", case.described(), threads, expected_answer(problem), {"flops": case.flops})
        for name, peer in PEERS.items():
            if peer.library in libraries:
                try:
                    point.add(name, peer.prepare(problem), TOLERANCES[peer.precision])
                except Unsupported as reason:
                    point.unsupported[name] = str(reason)
        add_limits(point, case, limits)
        yield point


def add_limits(point: Point, case: Case, limits: Limits) -> None:
    """Add multiply-adds in each precision, and for one sequence the reading of W_hh in each size."""
    amounts = point.facts.setdefault("amounts", {})
    for precision in PRECISIONS:
        if precision == "int8" and case.mode == "training":
            continue
        if limits.multiplies(precision):
            name = f"fma-{precision}"
            task, amounts[name] = limits.multiply_add(case.flops, precision=precision)
            point.add(name, task, None)
        if case.shape.N == 1:
            name, size = f"read-{precision}", case.recurrent_bytes * BYTES[precision] // BYTES["float32"]
            task, amounts[name] = limits.read(size, case.shape.T * size)
            point.add(name, task, None)


def measured(point: Point, rounds: int) -> dict[str, Any]:
    """Verify every task, then time all in turn.

    A peer whose answer is wrong is named and left out.

    Raises
    ------
    Disagreement
        If the answer of fastrnn is wrong.
    """
    differences = _verified(point)
    few = measure(point.tasks, Clock(min(rounds, FEWEST_ROUNDS), math.inf))
    slow = _slow({name: min(samples) for name, samples in few.items() if name in differences})
    rest = {name: task for name, task in point.tasks.items() if name not in slow}
    more = measure(rest, Clock(rounds - FEWEST_ROUNDS, math.inf)) if rounds > FEWEST_ROUNDS else {}
    times = {name: summary(samples + more.get(name, [])) for name, samples in few.items()}
    for name, difference in differences.items():
        times[name]["difference"] = difference
    return {
        "kind": point.kind,
        "case": point.case,
        "threads": point.threads,
        **point.facts,
        "peers": {name: time for name, time in times.items() if name in differences},
        "limits": {name: time for name, time in times.items() if name not in differences},
        "unsupported": point.unsupported,
    }


def _verified(point: Point) -> dict[str, float]:
    differences = {}
    what = " ".join(str(value) for value in point.case.values())
    for name, tolerance in point.tolerances.items():
        task = point.tasks[name]
        task.before()
        try:
            answer = task.answer(task.run())
            differences[name] = verify(f"{what}: {name}", answer, point.expected, tolerance)
        except Disagreement as error:
            if name.startswith("fastrnn-"):
                raise
            print(f"LEFT OUT: {error}", file=sys.stderr)
            del point.tasks[name]
            point.unsupported[name] = str(error)
    return differences


def _slow(seconds: dict[str, float]) -> set[str]:
    """Return the peers that are far from the best of their precision."""
    slow: set[str] = set()
    for precision in PRECISIONS:
        others = {name: least for name, least in seconds.items() if is_peer(name, precision)}
        slow |= {name for name, least in others.items() if least > SLOW * min(others.values())}
    return slow
