"""Denormal input: x, and in training dy, so small that every number of the pass is denormal.

A CPU that computes with denormals takes ten times as long or more. Each peer is measured on such an input
and, as "<peer>-ordinary", on an ordinary one of the same shape. Biases are zero, as others would hide it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.compare.job import Job
from benchmarks.compare.limits import Limits
from fastrnn.cli.benchmark.cases import MODES, Case, Problem, Shape, make_problem
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.task import Unsupported
from fastrnn.cli.benchmark.verify import expected_answer

SHAPE = Shape(T=100, N=16, D=64, H=128)
SCALE = np.float32(1e-39)  # the smallest normal float32 is 1.2e-38
PEERS_ASKED = ("fastrnn", "pytorch", "jax", "onnxruntime")


def points(job: Job, limits: Limits) -> Iterator[Point]:
    """Yield a point for each mode and cell."""
    for mode in MODES:
        for cell in job.cells:
            ordinary = without_biases(make_problem(Case(cell, mode, SHAPE), job.threads))
            tiny = replace(ordinary, x=ordinary.x * SCALE, dy=ordinary.dy * SCALE)
            point = Point("denormal", tiny.case.described(), job.threads, expected_answer(tiny))
            for name in (peer for peer in job.peers if peer in PEERS_ASKED):
                try:
                    point.add(name, PEERS[name].prepare(tiny), PEERS[name].tolerance)
                    point.add(f"{name}-ordinary", PEERS[name].prepare(ordinary), None)
                except Unsupported as reason:
                    point.unsupported[name] = str(reason)
            yield point


def without_biases(problem: Problem) -> Problem:
    """Set all biases to zero."""
    parameters = {
        name: np.zeros_like(value) if name.startswith("bias") else value
        for name, value in problem.parameters.items()
    }
    return replace(problem, parameters=parameters)
