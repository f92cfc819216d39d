"""Measure what several threads gain, or lose, on a machine that is busy with other processes.

For each shape, and beside 0, 1, 2 and 4 processes that do nothing but spin: the time of a call with two
threads over that with one thread under the same load, as means and as 99th percentiles, for fastrnn and
PyTorch. Each library and number of threads is a process of its own. They take turns (A B A B ...), and while
one works the others sleep. Everything, the spinning processes too, is bound to the same CPUs.

    python -m benchmarks.busy_machine                                   the table: about 20 minutes
    python -m benchmarks.busy_machine --grid --cells rnn gru lstm       also the shapes of the grid, all cells
    python -m benchmarks.busy_machine --shapes 80,4,60,90 --busy 0 1 --modes forward --peers fastrnn
    python -m benchmarks.busy_machine --threads 2 4 8 16 --busy 0       more threads than CPUs
    python -m benchmarks.busy_machine --shapes --train                  only `fastrnn train`, as a whole

Every answer is compared with the NumPy reference's before it is timed. A stopped run keeps the points
measured so far, and prints their tables.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks.compare.run import RESULTS, shape
from benchmarks.compare.shapes import CELLS, MODES, SHAPES
from benchmarks.load import spinning
from benchmarks.turns import Asked, Message, bind_to_cpus, keep_results, new_result, serve_requests
from fastrnn import _dispatch
from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.points import grid_point
from fastrnn.cli.benchmark.process import thread_environment
from fastrnn.cli.benchmark.task import Task

FORMAT = "fastrnn-busy-machine 1"
MODULE = "benchmarks.busy_machine"
TABLE_SHAPES = (
    Shape(T=25, N=1, D=48, H=160),
    Shape(T=100, N=1, D=256, H=512),
    Shape(T=80, N=4, D=60, H=90),
    Shape(T=60, N=16, D=300, H=320),
    Shape(T=30, N=100, D=64, H=200),
    Shape(T=20, N=64, D=512, H=512),
)
BUSY = (0, 1, 2, 4)  # spinning processes
ROUNDS = 10  # turns of each process
SECONDS = 0.3  # of a turn, and at least one call
WARM_UP = (
    0.05  # seconds of untimed calls at the start of a turn: a process that slept is favoured for a while
)
PAUSE = 0.01  # seconds between turns: lets the threads of the last process go to sleep
GOAL, GOAL_IDLE, IDLE_FROM = 1.10, 0.60, 4000  # times one thread; the second without load, from that N * H on

# A small model on Python's standard library, which no validation, sample or save interrupts.
TRAIN_STEPS = 300
TRAIN = (
    *("--hidden-size 128 --num-layers 1 --batch-size 16 --seq-length 32 --valid-fraction 0".split()),
    *(f"--sample-every 0 --eval-every {TRAIN_STEPS} --steps {TRAIN_STEPS}".split()),
)
TRAIN_ROUNDS = 5


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    parser.add_argument("--busy", nargs="+", type=int, default=BUSY, help="spinning processes")
    parser.add_argument("--shapes", nargs="*", type=shape, default=TABLE_SHAPES, metavar="T,N,D,H[,layers]")
    parser.add_argument("--grid", action="store_true", help="add the shapes of the grid")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["lstm"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=["fastrnn", "pytorch"])
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[2], help="each is compared with one thread"
    )
    parser.add_argument("--cpus", type=int, default=2, help="for everything")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each process")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a turn")
    parser.add_argument("--train", action="store_true", help="add rows of `fastrnn train`")
    parser.add_argument("--worker", nargs=2, metavar=("PEER", "THREADS"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "busy-machine.json")
    return parser.parse_args(arguments)


# The process of one library and number of threads.


class Worker:
    """Prepares a case, then times calls when asked."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer, self.threads = peer, threads
        self.task: Task | None = None

    def handle(self, what: str, **request: Any) -> Message:
        """Answer a request: "prepare" a case or take a "turn"."""
        return self.prepare(**request) if what == "prepare" else self.turn(**request)

    def prepare(self, cell: str, mode: str, sizes: list[int]) -> Message:
        """Make the task of a case, and verify its answer."""
        point = grid_point(Case(cell, mode, Shape(*sizes)), [self.peer], self.threads)
        if point.unsupported:
            return {"unsupported": point.unsupported[self.peer]}
        difference = point.verified()[self.peer]
        self.task = point.tasks[self.peer]
        self.task.before()
        return {"difference": difference}

    def turn(self, seconds: float) -> Message:
        """Time calls, each of them, for about that long."""
        assert self.task is not None
        timed_calls(self.task.run, WARM_UP)
        counters, cpu = thread_counters(), time.process_time()
        calls = timed_calls(self.task.run, seconds)
        cpu = time.process_time() - cpu
        after = thread_counters()
        return {
            "calls": calls,
            "cpu": cpu,
            "counters": {name: count - counters.get(name, 0) for name, count in after.items()},
        }


def timed_calls(run: Callable[[], Any], seconds: float) -> list[float]:
    """Return the seconds of each call; there are as many as fit, and at least one."""
    calls: list[float] = []
    clock = time.perf_counter
    start = now = clock()
    while not calls or now - start < seconds:
        before = now
        run()
        now = clock()
        calls.append(now - before)
    return calls


def thread_counters() -> dict[str, int]:
    """Return the counters of fastrnn's team of threads; none if this version has no such function."""
    counters: dict[str, int] = getattr(_dispatch.kernels, "thread_counters", dict)()
    return counters


# A measurement.


def measure_case(case: Case, workers: dict[str, Asked], options: argparse.Namespace) -> list[Message]:
    """Verify a case, then time it under each load."""
    differences: dict[str, float] = {}
    unsupported: dict[str, str] = {}
    for name, worker in workers.items():
        told = worker.ask("prepare", cell=case.cell, mode=case.mode, sizes=list(case.shape))
        if "unsupported" in told:
            unsupported[name] = told["unsupported"]
        else:
            differences[name] = told["difference"]
    points = []
    for busy in options.busy:
        turns: dict[str, list[Message]] = {name: [] for name in differences}
        with spinning(busy):
            for _ in range(options.rounds):
                for name, taken in turns.items():
                    time.sleep(PAUSE)
                    taken.append(workers[name].ask("turn", seconds=options.seconds))
        times = {name: figures(taken) | {"difference": differences[name]} for name, taken in turns.items()}
        points.append({"case": case.described(), "busy": busy, "times": times, "unsupported": unsupported})
    return points


def figures(turns: list[Message]) -> Message:
    """Return the figures of all turns of a process; times in microseconds."""
    calls = 1e6 * np.array([call for turn in turns for call in turn["calls"]])
    counters: dict[str, int] = {}
    for turn in turns:
        for name, count in turn["counters"].items():
            counters[name] = counters.get(name, 0) + count
    return {
        "calls": len(calls),
        "mean_us": round(float(calls.mean()), 2),
        "median_us": round(float(np.median(calls)), 2),
        "p99_us": round(float(np.percentile(calls, 99)), 2),
        "longest_us": round(float(calls.max()), 2),
        "cpu_us": round(1e6 * sum(turn["cpu"] for turn in turns) / len(calls), 2),
        "means_us": [round(1e6 * statistics.fmean(turn["calls"]), 2) for turn in turns],
        "counters": counters,
    }


def measure_training(busy: int, threads: Sequence[int]) -> Message:
    """Time `fastrnn train` as a whole, numbers of threads in turn."""
    seconds: dict[str, list[float]] = {key("fastrnn", count): [] for count in threads}
    with spinning(busy), tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model")
        command = [sys.executable, "-m", "fastrnn", "train", "--out", model, "--overwrite", *TRAIN]
        for _ in range(TRAIN_ROUNDS):
            for count in threads:
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=thread_environment(count))
                seconds[key("fastrnn", count)].append(time.perf_counter() - start)
    times = {
        name: {
            "mean_us": round(1e6 * statistics.fmean(taken)),
            "median_us": round(1e6 * statistics.median(taken)),
            "p99_us": round(1e6 * float(np.percentile(taken, 99))),
            "means_us": [round(1e6 * one) for one in taken],
        }
        for name, taken in seconds.items()
    }
    return {"case": {"train": " ".join(TRAIN)}, "busy": busy, "times": times, "unsupported": {}}


def key(peer: str, threads: int) -> str:
    """Return the name of a library with a number of threads."""
    return f"{peer}-{threads}"


def measure(options: argparse.Namespace) -> Iterator[Message]:
    """Yield the result after each case."""
    result = new_result(FORMAT, MODULE, options.peers)
    peers = result["peers"]
    result |= {
        "threads": options.threads,
        "cpus": options.cpus,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "points": [],
    }
    counts = [1, *(count for count in options.threads if count != 1)]
    shapes = dict.fromkeys([*options.shapes, *(SHAPES if options.grid else ())])
    with ExitStack() as stack:
        workers = {}
        for peer in peers if shapes else ():
            for count in counts:
                asked = Asked(MODULE, ["--worker", peer, str(count)], count)
                workers[key(peer, count)] = stack.enter_context(asked)
        for cell in options.cells:
            for mode in options.modes:
                for sizes in shapes:
                    result["points"] += measure_case(Case(cell, mode, sizes), workers, options)
                    yield result
    for busy in options.busy if options.train else ():
        result["points"].append(measure_training(busy, counts))
        yield result


# Tables.


def ratio(point: Message, peer: str, threads: int, figure: str) -> float | None:
    """Return a figure with that many threads over that with one; None if it was not measured."""
    one, several = (point["times"].get(key(peer, count)) for count in (1, threads))
    return several[figure] / one[figure] if one and several else None


def label(point: Message) -> str:
    """Return the row of a point: its shape, if it has one."""
    case = point["case"]
    return ", ".join(str(case[size]) for size in Shape._fields) if "T" in case else "all"


def kind(point: Message) -> str:
    """Return what a table is about: the cell and the mode, or the program."""
    case = point["case"]
    return (
        f"{case['cell']} {case['mode']}, {{}} of a call" if "cell" in case else "`fastrnn train`, {} of a run"
    )


def tables(result: Message) -> Iterator[str]:
    """Yield the lines of a table for each kind of point, number of threads and figure."""
    for what in dict.fromkeys(map(kind, result["points"])):
        points = [point for point in result["points"] if kind(point) == what]
        for threads in (count for count in result["threads"] if count != 1):
            for figure, title in (("mean_us", "mean time"), ("p99_us", "99th percentile")):
                yield f"\n{what.format(title)} on {threads} threads over that on one\n"
                yield from table(points, result["peers"], threads, figure)


def table(points: list[Message], peers: Sequence[str], threads: int, figure: str) -> Iterator[str]:
    """Yield the lines of a table: a row for each shape, a column for each load; "!" misses the goal."""
    loads = dict.fromkeys(point["busy"] for point in points)
    shown = [peer for peer in peers if any(key(peer, threads) in point["times"] for point in points)]
    names = " / ".join(PEERS[peer].title for peer in shown)
    columns = " | ".join(f"{busy} busy" if busy else "idle" for busy in loads)
    yield f"| T, N, D, H, layers ({names}) | {columns} |"
    yield f"| --- |{' --- |' * len(loads)}"
    for row in dict.fromkeys(map(label, points)):
        cells = []
        for busy in loads:
            point = next((p for p in points if (label(p), p["busy"]) == (row, busy)), None)
            cells.append(" / ".join(entry(point, peer, threads, figure) for peer in shown))
        yield f"| {row} | {' | '.join(cells)} |"


def entry(point: Message | None, peer: str, threads: int, figure: str) -> str:
    """Return a ratio for a table."""
    value = ratio(point, peer, threads, figure) if point else None
    if point is None or value is None:
        return "-"
    missed = peer == "fastrnn" and figure == "mean_us" and value > goal(point)
    return f"{value:.2f}{' !' if missed else ''}"


def goal(point: Message) -> float:
    """Return the most that several threads may take, in times one thread."""
    case = point["case"]
    large = "T" in case and case["N"] * case["H"] >= IDLE_FROM
    return GOAL_IDLE if large and point["busy"] == 0 else GOAL


def verdicts(result: Message) -> Iterator[str]:
    """Yield how many points miss their goal."""
    for threads in (count for count in result["threads"] if count != 1):
        found = [
            (value, point)
            for point in result["points"]
            if (value := ratio(point, "fastrnn", threads, "mean_us")) is not None
        ]
        missed = [value for value, point in found if value > goal(point)]
        worst = f", the worst at {max(missed):.2f}" if missed else ""
        yield f"\n{threads} threads: {len(missed)} of {len(found)} mean times miss the goal (!){worst}"


def describe(point: Message) -> str:
    """Return what has been measured."""
    return f"measured: {' '.join(map(str, point['case'].values()))}"


def show(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        print(line, flush=True)


def end(*_: object) -> NoReturn:
    """End as after Ctrl-C, so that the processes that were started are ended too."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, save and print."""
    options = parse(arguments)
    if options.worker:
        peer, threads = options.worker
        return serve_requests(Worker(peer, int(threads)).handle)
    bind_to_cpus(options.cpus)
    signal.signal(signal.SIGTERM, end)
    result, code = keep_results(measure(options), options.out, describe)
    if result:
        show(tables(result))
        show(verdicts(result))
        print(f"\nsaved {os.path.relpath(options.out)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
