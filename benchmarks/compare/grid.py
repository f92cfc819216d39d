"""The grid's points, each with the machine's limits measured in the same rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.compare.job import Job
from benchmarks.compare.limits import Limits
from fastrnn.cli.benchmark.cases import make_problem
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.points import Point, grid_point


def points(job: Job, limits: Limits) -> Iterator[Point]:
    """Yield the point of each case of the job.

    Its limits are "fma", multiply-adds in registers; for one sequence "read", W_hh read repeatedly; with
    several threads "fma-1-thread" and "fastrnn-1-thread", the same on one CPU.
    """
    for case in job.cases:
        point = grid_point(case, job.peers, job.threads)
        add_limit(point, "fma", limits.multiply_add(case.flops))
        if case.shape.N == 1:
            add_limit(point, "read", limits.read(case.recurrent_bytes, case.shape.T * case.recurrent_bytes))
        if job.threads > 1:
            alone = PEERS["fastrnn"].prepare(replace(make_problem(case, job.threads), threads=1))
            point.add("fastrnn-1-thread", alone, None)
            add_limit(point, "fma-1-thread", limits.multiply_add(case.flops, threads=1))
        yield point


def add_limit(point: Point, name: str, limit: tuple) -> None:
    """Add a limit's task and its number of operations or bytes."""
    task, amount = limit
    point.add(name, task, None)
    point.facts.setdefault("amounts", {})[name] = amount
