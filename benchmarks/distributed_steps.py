"""Measure training steps of two processes against one, with one global batch: times, waiting and bytes.

    python -m benchmarks.distributed_steps                          about 10 minutes
    python -m benchmarks.distributed_steps --models small --rounds 3 --out small.json

A step is from the batch to the updated parameters: forward, backward, the sum over the ranks, clipping, Adam.
The contenders take turns, each turn in new processes that are bound to CPUs of their own. Then one process of
one thread trains with other numbers of rows, for `distributed_model`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.compare.run import RESULTS, origin, save
from benchmarks.compare.tables import markdown
from benchmarks.distributed.models import SIZES, make_model
from benchmarks.distributed.turn import take_turn
from fastrnn.cli.benchmark.machine import facts
from fastrnn.cli.benchmark.timing import ratio, summary

MODULE = "benchmarks.distributed_steps"
ROUNDS = 7
SECONDS = 1.0  # of a turn, after the start and three steps
ROWS = (1, 2, 4, 8, 16, 32, 64)  # of one process


class Contender(NamedTuple):
    """Processes, threads of each, and options of the reduction."""

    ranks: int
    threads: int
    options: dict[str, str]


MANY = "2 x 1"
CONTENDERS = {
    "1 x 1": Contender(1, 1, {}),
    "1 x 2": Contender(1, 2, {}),
    MANY: Contender(2, 1, {}),
    "2 x 1 fastest": Contender(2, 1, {"reduction": "fastest"}),
    "2 x 1 bfloat16": Contender(2, 1, {"wire": "bfloat16"}),
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--rows", nargs="*", type=int, default=ROWS, help="of one process of one thread")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a turn")
    parser.add_argument("--out", type=Path, default=RESULTS / "distributed-steps.json")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the result after each model."""
    result = {**origin("fastrnn-distributed-steps 1", MODULE), "machine": facts()}
    result |= {"rounds": options.rounds, "seconds": options.seconds, "points": []}
    for name in options.models:
        size = SIZES[name]
        jobs = {key: (*who, size) for key, who in CONTENDERS.items()}
        jobs |= {f"{rows} rows": (1, 1, {}, size._replace(N=rows)) for rows in options.rows}
        point = {"model": name, **size._asdict(), "parameters": make_model(size).num_parameters}
        result["points"].append(point | {"contenders": rounds(jobs, options)})
        yield result


def rounds(jobs: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Measure in turn; return what each job took."""
    turns: dict[str, list[dict[str, Any]]] = {key: [] for key in jobs}
    for number in range(options.rounds):
        for key, (ranks, threads, reduction, size) in jobs.items():
            job = {"threads": threads, "options": reduction, "size": size, "seconds": options.seconds}
            turns[key].append(take_turn(ranks, job))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return {key: summarised(found) for key, found in turns.items()}


def summarised(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of a contender's turns."""
    times = {key: summary([turn[key] for turn in turns]) for key in ("step", "communication", "waiting")}
    return times | {"bytes_sent": turns[0]["bytes_sent"]}


def document(result: dict[str, Any]) -> str:
    """Return a table of the models."""
    first, *others = CONTENDERS
    header = ["model", "parameters", f"{first}, ms", *(f"{key}, ms" for key in others)]
    header += [f"sum, % of {MANY}", "sum and waiting", "bytes sent a step"]
    return markdown(header, [list(row(point)) for point in result["points"]])


def row(point: dict[str, Any]) -> Iterator[str]:
    """Yield the cells of a model: times, with the ratio to one process of one thread, and the sum's share."""
    found = point["contenders"]
    first, *others = (found[key]["step"] for key in CONTENDERS)
    yield from (point["model"], f"{point['parameters']:,}", milliseconds(first))
    yield from (f"{milliseconds(step)} ({ratio(first, step):.2f}x)" for step in others)
    many = found[MANY]
    for kind in ("communication", "waiting"):
        yield f"{100 * ratio(many[kind], many['step']):.0f} %"
    yield f"{many['bytes_sent']:,}"


def milliseconds(step: dict[str, Any]) -> str:
    """Return a median with three digits."""
    time = step["median_us"] / 1e3
    return f"{time:.2f}" if time < 10 else f"{time:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, save after each model, and print."""
    options = parse(arguments)
    result: dict[str, Any] = {}
    try:
        for result in measure(options):
            save(result, options.out)
    except RuntimeError as error:
        print(f"STOPPED: {error}", file=sys.stderr)
        return 1
    print(f"{document(result)}\n\nsaved {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
