"""The time of one step through the C library, beside RTNeural's Eigen backend and a stream from Python.

    python -m benchmarks.c_step [--rtneural FOLDER] [--processes 8] [--rounds 100] [--out FILE]

FOLDER is a checkout of RTNeural. Its layers are compiled for their sizes with ``-O3 -march=x86-64-v4
-ffast-math`` and called directly; the C library has its own flags, for any size. Times are nanoseconds, each
the least of all rounds of all processes: where the stack lies, which each process draws, changes the smallest
by a tenth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from benchmarks.compare.run import origin
from fastrnn.cli.benchmark.machine import facts

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "results" / "c-step.json"
SIZES = [(1, 16), (1, 40), (16, 64), (64, 128)]
CELLS = {"lstm": fr.LSTM, "gru": fr.GRU}
TIMES = ("rtneural", "fastrnn_step", "fastrnn_run", "python_stream")


def build(folder: Path, rtneural: Path | None) -> Path:
    """Compile the program and return its path."""
    options = [f"-DRTNEURAL={rtneural.resolve()}"] if rtneural else []
    subprocess.run(["cmake", "-S", HERE, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", *options], check=True)
    subprocess.run(["cmake", "--build", folder], check=True)
    return folder / "c_step"


def python_stream(cell: str, inputs: int, width: int, rounds: int) -> float:
    """Return the nanoseconds of a step of a stream, with an output array given."""
    stream = CELLS[cell](inputs, width, seed=0).stream(1)
    x = np.random.default_rng(0).standard_normal((1, inputs)).astype(np.float32)
    out = np.empty((1, width), np.float32)
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter_ns()
        for _ in range(1000):
            stream.step(x, out)
        best = min(best, (time.perf_counter_ns() - begin) / 1000)
    return best


def least(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Combine the points of one size from several processes."""
    best = dict(points[0])
    for name in TIMES:
        if name in best:
            best[name] = min(point[name] for point in points)
    best["difference"] = max(point["difference"] for point in points)
    return best


def describe(point: dict[str, Any]) -> str:
    """Return the line of a point."""
    line = f"{point['cell']:4} {point['D']:3} -> {point['H']:3}"
    return line + "".join(f"  {name} {point[name]:7.1f} ns" for name in TIMES if name in point)


def main() -> None:
    """Build, measure in several processes, print a line for each size, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rtneural", type=Path, help="a checkout of RTNeural")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=100, help="of each process")
    parser.add_argument("--build", type=Path, help="the folder to build in; default: one that is deleted")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    cases = [(cell, *size) for cell in CELLS for size in SIZES]
    runs: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as temporary:
        program = build(given.build or Path(temporary), given.rtneural)
        for _ in range(given.processes):
            command = [program, str(given.rounds), *(f"{cell},{D},{H}" for cell, D, H in cases)]
            output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
            runs.append([json.loads(line) for line in output.splitlines()])
    fr.set_num_threads(1)
    result: dict[str, Any] = {**origin("c-step-1", __spec__.parent), "machine": facts(), "points": []}
    for case, points in zip(cases, zip(*runs, strict=True), strict=True):
        point = least(list(points))
        point["python_stream"] = python_stream(*case, given.rounds)
        result["points"].append(point)
        print(describe(point), flush=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
