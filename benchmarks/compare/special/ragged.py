"""A ragged batch, with rows of different lengths, against the same batch with full rows.

Peers that support ragged rows: the NumPy reference, and PyTorch's packed sequences, packed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.compare.job import Job
from benchmarks.compare.limits import Limits
from fastrnn.cli.benchmark.cases import MODES, Case, Shape, make_problem
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.points import Point, add_peers
from fastrnn.cli.benchmark.verify import expected_answer

# Lengths are spread evenly over 1 .. T, in random order.
SHAPES = (
    Shape(T=100, N=32, D=128, H=128),
    Shape(T=60, N=32, D=256, H=512),
    Shape(T=200, N=32, D=256, H=256),
)


def points(job: Job, limits: Limits) -> Iterator[Point]:
    """Yield a point for each shape, mode and cell; "fastrnn-padded" computes every step of every row."""
    for shape in SHAPES:
        lengths = np.linspace(1, shape.T, shape.N).round().astype(np.int64)
        lengths = np.random.default_rng(0).permutation(lengths)
        for mode in MODES:
            for cell in job.cells:
                full = make_problem(Case(cell, mode, shape), job.threads)
                problem = replace(full, lengths=lengths)
                share = float(lengths.sum() / (shape.T * shape.N))
                facts = {"real_share": share, "flops": round(share * full.case.flops)}
                point = Point("ragged", full.case.described(), job.threads, expected_answer(problem), facts)
                add_peers(point, problem, (peer for peer in job.peers if peer != "pytorch-bf16"))
                point.add("fastrnn-padded", PEERS["fastrnn"].prepare(full), None)
                yield point
