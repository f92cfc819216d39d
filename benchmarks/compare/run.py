"""Measure: ``python -m benchmarks.compare.run`` from the root of the repository.

    python -m benchmarks.compare.run                                    # everything, one thread and two
    python -m benchmarks.compare.run --kinds grid --cells lstm --shapes 50,50,128,128,2 --threads 1
    python -m benchmarks.compare.run --kinds step ragged --peers fastrnn pytorch --rounds 31

Before timing, every answer is compared with the NumPy reference's in float64; one that differs ends the run
with the difference and exit code 1. Peers that are not installed are named. The result is one JSON file;
``python -m benchmarks.compare.report FILE`` makes tables and plots of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.job import KINDS, Job
from benchmarks.compare.shapes import CELLS, MODES, SHAPES, cases
from fastrnn.cli.benchmark.cases import Shape
from fastrnn.cli.benchmark.machine import usable_cpus
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.process import run_in_process
from fastrnn.cli.benchmark.timing import ROUNDS, Clock
from fastrnn.cli.benchmark.verify import Disagreement

FORMAT = "fastrnn-benchmark 1"
RESULTS = Path(__file__).resolve().parents[1] / "results"
SECONDS = 5.0  # of each peer at each point, after which five rounds are enough


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare.run", description="Measure fastrnn against its peers."
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument(
        "--shapes", nargs="+", type=shape, default=SHAPES, metavar="T,N,D,H[,layers]", help="of the grid"
    )
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="of the grid")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[1, 2], help="each in a separate process, bound to CPUs"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each peer")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each peer at each point")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/<date>.json")
    return parser.parse_args(arguments)


def shape(text: str) -> Shape:
    """Read a shape, such as 50,50,128,128,2."""
    value = Shape(*map(int, text.split(",")))
    if min(value) < 1:
        raise ValueError(f"expected whole numbers from 1 on, got {text!r}")
    return value


def commit() -> str:
    """Return the commit of the working tree, with "+" if there are changes."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        here = Path(__file__).parent
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def origin(format_: str, module: str) -> dict[str, Any]:
    """Return where a result comes from; `module` is the one that runs."""
    return {
        "format": format_,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": " ".join([f"python -m {module}", *sys.argv[1:]]),
        "commit": commit(),
    }


def describe(point: dict[str, Any]) -> str:
    """Return a point's result in one line."""
    what = " ".join(str(value) for value in point["case"].values())
    times = ", ".join(f"{name} {time['median_us']:,.1f}" for name, time in point["peers"].items())
    reasons = "".join(f"; {name}: {reason}" for name, reason in point["unsupported"].items())
    return f"{point['kind']} {what}: {times}{reasons}"


def save(result: dict[str, Any], path: Path) -> None:
    """Write the results so far, so that a stopped run keeps them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, allow_nan=False) + "\n")


def measure(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Run a process for each number of threads and combine their results."""
    result: dict[str, Any] = {
        **origin(FORMAT, "benchmarks.compare.run"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "limits": {},
        "points": [],
    }
    grid = tuple(cases(options.shapes, options.cells, options.modes))
    for threads in options.threads:
        clock = Clock(options.rounds, options.seconds)
        peers = ("fastrnn", *(name for name in options.peers if name != "fastrnn"))
        job = Job(tuple(options.kinds), grid, tuple(options.cells), peers, threads, clock)
        messages = run_in_process("benchmarks.compare.worker", job.to_json())
        start = next(messages)
        for name, reason in start["missing"].items():
            print(f"NOT MEASURED: {PEERS[name].title}: {reason}", flush=True)
        result.setdefault("machine", start["machine"])  # later load averages include our own work
        result.update(peers=start["peers"], missing=start["missing"])
        result["limits"][str(threads)] = start["limits"]
        print(f"threads: {threads}; median microseconds", flush=True)
        for point in messages:
            result["points"].append(point)
            print(describe(point), flush=True)
            save(result, path)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and save."""
    options = parse(arguments)
    if not all(1 <= threads <= len(usable_cpus()) for threads in options.threads):
        print(f"--threads: expected 1 .. {len(usable_cpus())}, got {options.threads}", file=sys.stderr)
        return 2
    path = options.out or RESULTS / time.strftime("%Y-%m-%d-%H%M.json")
    try:
        save(measure(options, path), path)
    except (Disagreement, RuntimeError) as error:
        print(f"STOPPED: {error}", file=sys.stderr)
        return 1
    print(f"saved {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
