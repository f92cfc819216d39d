"""Run a job in a process for each number of threads, and keep the results as they come."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.results import label
from benchmarks.compare.run import origin, save
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.process import run_in_process
from fastrnn.cli.benchmark.verify import Disagreement

__all__ = ["LIBRARIES", "keep"]

LIBRARIES = ("fastrnn", "pytorch", "onnxruntime")
Result = dict[str, Any]


def keep(
    job: Result, threads: Sequence[int], out: Path, module: str, document: Callable[[Result], str]
) -> int:
    """Measure, save after each point, print the document, and return the exit code."""
    result: Result = {}
    code = 0
    started = time.perf_counter()
    try:
        for result in measure(job, threads, module):
            save(result, out)
    except KeyboardInterrupt:
        code = 130
    except (Disagreement, RuntimeError) as error:
        print(f"STOPPED: {error}", file=sys.stderr)
        code = 1
    if result.get("points"):
        minutes = (time.perf_counter() - started) / 60
        print(f"{document(result)}\n\nsaved {os.path.relpath(out)}, after {minutes:.1f} minutes")
    return code


def measure(job: Result, threads: Sequence[int], module: str) -> Iterator[Result]:
    """Yield the result after each point."""
    result: Result = {
        **origin(f"fastrnn-{module.replace('_', '-')} 1", f"benchmarks.{module}"),
        "rounds": job["rounds"],
        "points": [],
    }
    for count in threads:
        messages = run_in_process("benchmarks.precision.worker", {**job, "threads": count})
        start = next(messages)
        for name, reason in start["missing"].items():
            print(f"NOT MEASURED: {PEERS[name].title}: {reason}", flush=True)
        result.setdefault("machine", start["machine"])  # later load averages include our own work
        result["missing"] = start["missing"]
        for point in messages:
            result["points"].append(point)
            print(describe(point), file=sys.stderr, flush=True)
            yield result


def describe(point: Result) -> str:
    """Return a point's times in one line."""
    times = ", ".join(f"{name} {time['median_us']:,.0f}" for name, time in point["peers"].items())
    return f"{point['threads']} threads, {label(point)}, us: {times}"
