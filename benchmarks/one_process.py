"""Measure fastrnn and its peers called in turn in one process, each with two threads.

After a call, the threads of most libraries spin for a while and take CPU time from the library that is called
next. So there is no pause between turns, ONNX Runtime's threads spin as is their default, and the order of a
round is drawn anew each time, so that nobody always follows the same library. With ``--alone`` the same is
measured, in the same rounds, with only one library in each process.

    python -m benchmarks.one_process --alone                            all points of the grid: hours
    python -m benchmarks.one_process --alone --cells lstm --modes forward --shapes 50,50,128,128,2
    python -m benchmarks.one_process --peers fastrnn pytorch --rounds 31

Every answer is compared with the NumPy reference's before it is timed. A ratio is the median over the rounds
of the ratio within a round; a sample lasts at least 2 ms. A stopped run keeps the points measured so far, and
prints their tables.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.compare.results import PEERS as CANDIDATES
from benchmarks.compare.run import RESULTS, shape
from benchmarks.compare.shapes import CELLS, MODES, SHAPES, cases
from benchmarks.turns import Asked, Message, bind_to_cpus, keep_results, new_result, serve_requests
from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.peers import PEERS, installed
from fastrnn.cli.benchmark.points import Point, grid_point
from fastrnn.cli.benchmark.timing import (
    FEWEST_ROUNDS,
    ROUNDS,
    first_run,
    geometric_mean,
    ratio,
    sample,
    summary,
)

FORMAT = "fastrnn-one-process 1"
MODULE = "benchmarks.one_process"
LIBRARIES = ("fastrnn", "pytorch", "jax", "onnxruntime")
THREADS = 2  # of each library
SECONDS = 2.0  # of each library at each point, after which five rounds are enough
ALONE_PAUSE = 2e-3  # seconds before a turn in a process of its own: the process before it goes to sleep
GOAL, GOAL_OF_MEANS = (
    0.95,
    0.10,
)  # of the best peer at each point; the mean's distance from that measured alone


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="+", type=shape, default=SHAPES, metavar="T,N,D,H[,layers]")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=LIBRARIES)
    parser.add_argument(
        "--threads", type=int, default=THREADS, help="of each library; also the number of CPUs"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each library")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each library at each point")
    parser.add_argument(
        "--alone", action="store_true", help="also measure each library in a separate process"
    )
    parser.add_argument("--worker", nargs="+", metavar="THREADS PEER", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "one-process.json")
    return parser.parse_args(arguments)


class Worker:
    """A process with one or several libraries: prepares a case, then takes a turn of each when asked."""

    def __init__(self, peers: Sequence[str], threads: int) -> None:
        self.peers, self.threads = peers, threads
        self.random = random.Random(0)
        self.point: Point | None = None
        self.once: dict[str, float] = {}
        PEERS["onnxruntime"] = PEERS["onnxruntime"]._replace(options={"spinning": True})
        installed(peers)  # imports them all before the first is measured
        gc.disable()

    def handle(self, what: str, **request: Any) -> Message:
        """Answer a request: "prepare" a case or take a "round"."""
        return self.prepare(**request) if what == "prepare" else self.round(**request)

    def prepare(self, cell: str, mode: str, sizes: list[int]) -> Message:
        """Make the tasks of a case, and verify their answers."""
        gc.collect()
        self.point = point = grid_point(Case(cell, mode, Shape(*sizes)), self.peers, self.threads)
        differences = point.verified()
        self.once = {name: first_run(task) for name, task in point.tasks.items()}
        return {"differences": differences, "unsupported": point.unsupported}

    def round(self, pause: float) -> Message:
        """Return the seconds per run of each library, called in an order drawn anew."""
        assert self.point is not None
        names = list(self.point.tasks)
        self.random.shuffle(names)
        return {name: sample(self.point.tasks[name], self.once[name], pause) for name in names}


def measure_case(case: Case, together: Asked, alone: Sequence[Asked], options: argparse.Namespace) -> Message:
    """Verify a case in every process, then time it, process by process, round by round."""
    request = {"cell": case.cell, "mode": case.mode, "sizes": list(case.shape)}
    prepared = [worker.ask("prepare", **request) for worker in (together, *alone)]
    taken: list[dict[str, list[float]]] = [{}, {}]
    start = time.perf_counter()
    for done in range(options.rounds):
        spent = time.perf_counter() - start
        if done >= FEWEST_ROUNDS and spent > options.seconds * len(options.peers) * (2 if alone else 1):
            break
        rounds = [(taken[0], together.ask("round", pause=0.0))]
        rounds += [(taken[1], worker.ask("round", pause=ALONE_PAUSE)) for worker in alone]
        for samples, found in rounds:
            for name, seconds in found.items():
                samples.setdefault(name, []).append(seconds)
    return {
        "case": case.described(),
        "differences": prepared[0]["differences"],
        "unsupported": prepared[0]["unsupported"],
        "together": {name: summary(samples) for name, samples in taken[0].items()},
        "alone": {name: summary(samples) for name, samples in taken[1].items()},
    }


def measure(options: argparse.Namespace) -> Iterator[Message]:
    """Yield the result after each case."""
    result = new_result(FORMAT, MODULE, dict.fromkeys(["fastrnn", *options.peers]))
    peers = result["peers"]
    result |= {
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "points": [],
    }
    with ExitStack() as stack:

        def process(*libraries: str) -> Asked:
            arguments = ["--worker", str(options.threads), *libraries]
            return stack.enter_context(Asked(MODULE, arguments, options.threads))

        together = process(*peers)
        alone = [process(peer) for peer in peers] if options.alone else []
        for case in cases(options.shapes, options.cells, options.modes):
            result["points"].append(measure_case(case, together, alone, options))
            yield result


# Tables.

WHERE = ("together", "alone")


def against_best(times: dict[str, Message]) -> tuple[float, str] | None:
    """Return the time of the best peer over fastrnn's, and its name; None without a peer."""
    ratios = [(ratio(times[name], times["fastrnn"]), name) for name in times if name in CANDIDATES]
    return min(ratios, default=None)


def tables(result: Message) -> Iterator[str]:
    """Yield the lines of a table for each mode."""
    for mode in dict.fromkeys(point["case"]["mode"] for point in result["points"]):
        points = [point for point in result["points"] if point["case"]["mode"] == mode]
        yield f"\n{mode}: the best peer's time over fastrnn's, {result['threads']} threads each\n"
        yield "| cell | T, N, D, H, layers | in one process | alone | fastrnn's own time over alone |"
        yield "| --- | --- | --- | --- | --- |"
        for point in points:
            case, (together, alone) = point["case"], (against_best(point[where]) for where in WHERE)
            sizes = ", ".join(str(case[size]) for size in Shape._fields)
            own = "-"
            if point["alone"]:
                own = f"{ratio(point['together']['fastrnn'], point['alone']['fastrnn']):.2f}"
            missed = " !" if together and together[0] < GOAL else ""
            yield f"| {case['cell']} | {sizes} | {entry(together)}{missed} | {entry(alone)} | {own} |"
        yield from means(points)


def entry(found: tuple[float, str] | None) -> str:
    """Return a ratio and the peer for a table."""
    return f"{found[0]:.2f}x {PEERS[found[1]].title}" if found else "-"


def describe(point: Message) -> str:
    """Return a point's ratio in one line."""
    return f"{' '.join(map(str, point['case'].values()))}: {entry(against_best(point['together']))}"


def means(points: Sequence[Message]) -> Iterator[str]:
    """Yield the rows of the geometric means, of each cell and of all."""
    named = {cell: [point for point in points if point["case"]["cell"] == cell] for cell in CELLS}
    for name, chosen in {**named, "all": points}.items():
        values = {
            where: [found[0] for point in chosen if (found := against_best(point[where]))] for where in WHERE
        }
        if not values["together"]:
            continue
        together, alone = (geometric_mean(values[where]) for where in WHERE)
        far = values["alone"] and abs(together / alone - 1) > GOAL_OF_MEANS
        beside = f"{alone:.2f}x" if values["alone"] else "-"
        yield f"| {name} | geometric mean | {together:.2f}x{' !' if far else ''} | {beside} | - |"


def verdict(result: Message) -> str:
    """Return how many points miss the goal."""
    found = [best[0] for point in result["points"] if (best := against_best(point["together"]))]
    missed = [value for value in found if value < GOAL]
    worst = f", the worst at {min(missed):.2f}x" if missed else ""
    return f"\n{len(missed)} of {len(found)} points below {GOAL} of the best peer (!){worst}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, save and print."""
    options = parse(arguments)
    if options.worker:
        threads, *peers = options.worker
        return serve_requests(Worker(peers, int(threads)).handle)
    bind_to_cpus(options.threads)
    result, code = keep_results(measure(options), options.out, describe)
    if result:
        for line in (*tables(result), verdict(result)):
            print(line)
        print(f"\nsaved {os.path.relpath(options.out)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
