"""Measure the ways to add gradients over the ranks: microseconds and bytes of each, in turn.

    mpiexec -n 2 python -m benchmarks.distributed_reduction            about a minute

"fastest" is MPI_Allreduce in float32, "ordered" the sum in the order of a fixed tree, "bfloat16" the latter
with numbers that are rounded on the wire. Every sum is verified first. A time is that of the slowest rank.
The fit says what a message and a byte cost, which `distributed_model` compares with steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from benchmarks.compare.run import RESULTS, origin, save
from benchmarks.compare.tables import markdown
from benchmarks.distributed.cost import REDUCTIONS, fit_costs
from benchmarks.distributed.models import SIZES, make_model
from fastrnn.cli.benchmark.machine import facts
from fastrnn.cli.benchmark.timing import ratio, summary
from fastrnn.train import distributed

MODULE = "benchmarks.distributed_reduction"
KB, MB = 1 << 10, 1 << 20
BYTES = (4 * KB, 16 * KB, 64 * KB, 256 * KB, MB, 4 * MB, 16 * MB, 64 * MB)
OPTIONS = {"ordered": {}, "fastest": {"reduction": "fastest"}, "bfloat16": {"wire": "bfloat16"}}
SAMPLE = 4 * MB  # bytes that a sample reduces at least: small sums are repeated
ROUNDS = 15


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=f"mpiexec -n 2 python -m {MODULE}", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--bytes", nargs="+", type=int, default=BYTES, help="sizes besides those of models")
    parser.add_argument("--models", nargs="*", choices=list(SIZES), default=["characters", "words"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=RESULTS / "distributed-reduction.json")
    return parser.parse_args(arguments)


class Reduction:
    """One way to add gradients of a size over the ranks."""

    def __init__(self, ranks: distributed.Ranks, parameters: int) -> None:
        self.ranks = ranks
        self.module = fr.Linear(parameters, 1, bias=False, seed=0)
        self.sum = distributed.GradientSum(ranks, self.module)

    def run(self) -> None:
        """Add once; zeros stay zeros."""
        self.sum.add(self.ranks.rank)
        self.sum.finish()

    def verify(self) -> None:
        """Check a sum that every way can compute exactly, and leave zeros."""
        flat = self.module.gradients.flat
        pattern = np.arange(len(flat)) % 15
        flat[:] = pattern * (1 + self.ranks.rank % 4)
        self.run()
        expected = pattern * sum(1 + rank % 4 for rank in range(self.ranks.size))
        if expected.max() <= 256 and not np.array_equal(flat, expected):  # 256: whole numbers of bfloat16
            raise RuntimeError(f"{self.ranks.reduction}, {self.ranks.wire}: the sum is wrong")
        flat[:] = 0


def measure(parameters: int, rounds: int) -> dict[str, Any]:
    """Return the times and bytes of each way for one size."""
    ways = {name: Reduction(distributed.start(**options), parameters) for name, options in OPTIONS.items()}
    for way in ways.values():
        way.verify()
    calls = max(1, SAMPLE // (4 * parameters))
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            samples[name].append(slowest(way.ranks, way.run, calls))
    size = next(iter(ways.values())).ranks.size
    sent = {name: way.sum.bytes_sent // (1 + rounds * (1 + calls)) for name, way in ways.items()}
    times = {name: summary(values) for name, values in samples.items()}
    return {"ranks": size, "parameters": parameters, "bytes_sent": sent, "times": times}


def slowest(ranks: distributed.Ranks, run: Callable[[], None], calls: int) -> float:
    """Return the seconds of a call on the rank that takes longest, after one untimed call."""
    ranks.gather(None)
    run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return max(ranks.gather((time.perf_counter() - start) / calls))


def sizes(options: argparse.Namespace) -> list[int]:
    """Return the numbers of parameters to measure."""
    models = [make_model(SIZES[name]).num_parameters for name in options.models]
    return sorted({*(number // 4 for number in options.bytes), *models})


def fitted(points: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return what a message and a byte cost in each way."""
    return {name: fit_costs(points, name)._asdict() for name in REDUCTIONS}


def document(result: dict[str, Any]) -> str:
    """Return a table of the sizes."""
    rows = [list(row(point)) for point in result["points"]]
    header = ["parameters", *(f"{name}, us" for name in REDUCTIONS), "ordered / fastest"]
    header += [f"{name}, bytes sent" for name in REDUCTIONS[1:]]
    return markdown(header, rows)


def row(point: dict[str, Any]) -> Iterator[str]:
    """Yield the cells of a size."""
    times = point["times"]
    yield f"{point['parameters']:,}"
    yield from (f"{times[name]['median_us']:,.0f}" for name in REDUCTIONS)
    yield f"{ratio(times['ordered'], times['fastest']):.2f}x"
    yield from (f"{point['bytes_sent'][name]:,}" for name in REDUCTIONS[1:])


def library() -> str:
    """Return the name and version of the MPI."""
    from mpi4py import MPI

    return MPI.Get_library_version().split("\n")[0].strip("\0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure on all ranks; save and print on the first."""
    options = parse(arguments)
    ranks = distributed.start()
    if ranks.size == 1:
        print(f"expected several processes; type: mpiexec -n 2 python -m {MODULE}", file=sys.stderr)
        return 2
    result = {**origin("fastrnn-distributed-reduction 1", MODULE), "machine": facts(), "mpi": library()}
    result |= {"ranks": ranks.size, "rounds": options.rounds, "points": []}
    for parameters in sizes(options):
        result["points"].append(measure(parameters, options.rounds))
        if ranks.is_first:
            save(result, options.out)
    if ranks.is_first:
        result["fit"] = fitted(result["points"])
        save(result, options.out)
        print(f"{document(result)}\n\nsaved {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
