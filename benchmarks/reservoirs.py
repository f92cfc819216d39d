"""The states and the fit of echo state networks, against reservoirpy.

    python -m benchmarks.reservoirs [--units 1000 5000] [--density 1 0.1 0.01] [--dtypes float32 float64]
                                    [--threads 1 2] [--rounds 7] [--quick] [--out FILE]

A fit is of 20,000 steps; a dense reservoir of 5,000 units takes minutes for them, and has 2,000. States,
which cost the same at each step, are measured over fewer. Every point says how many.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.compare.run import origin
from fastrnn.cli.benchmark.machine import facts
from fastrnn.cli.benchmark.process import run_in_process

OUT = Path(__file__).parent / "results" / "reservoirs.json"
# They choose other kernels of OpenBLAS than those for this CPU: NumPy had better be at its best.
_SLOWER = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def job(units: int, density: float, dtype: str, threads: int, rounds: int, *, quick: bool) -> dict[str, Any]:
    """Return what one process is to measure."""
    large, dense = units > 2000, density == 1
    state_steps = (300 if dense else 1_500) if large else 5_000
    fit_steps = 2_000 if large and dense else 20_000
    if quick:
        state_steps, fit_steps = state_steps // 10, fit_steps // 10
    return {
        "units": units, "density": density, "dtype": dtype, "threads": threads,
        "rounds": (rounds + 1) // 2 if large else rounds,
        "state_steps": state_steps, "fit_steps": fit_steps, "fit_rounds": 1 if large else min(rounds, 3),
    }  # fmt: skip


def describe(point: dict[str, Any]) -> str:
    """Return the line of a point."""
    threads, states = point["threads"], point["states"]
    line = f"{point['units']:5} units, density {point['density']:<5g} {point['dtype']}, {threads} thread(s)"
    for name in ("fastrnn", "reservoirpy"):
        line += f"  {name} {states[name] / states['steps'] * 1e6:8.1f} us a step"
    line += f"  states {states['ratio']:5.2f}x"
    if "fit" in point:
        fit = point["fit"]
        line += f"  fit {fit['fastrnn']:6.2f} s and {fit['reservoirpy']:6.2f} s {fit['ratio']:5.2f}x"
    return line


def main() -> None:
    """Measure, print a line for each reservoir, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="*", default=[1000, 5000])
    parser.add_argument("--density", type=float, nargs="*", default=[1.0, 0.1, 0.01])
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    for name in _SLOWER:
        os.environ.pop(name, None)
    versions = {name: importlib.metadata.version(name) for name in ("reservoirpy", "scipy", "numpy")}
    result = {**origin("reservoirs-1", __name__), "machine": facts(), "versions": versions, "points": []}
    cases = itertools.product(given.threads, given.units, given.density, given.dtypes)
    for threads, units, density, dtype in cases:
        wanted = job(units, density, dtype, threads, given.rounds, quick=given.quick)
        (point,) = run_in_process("benchmarks.reservoir_cases", wanted)
        result["points"].append(point)
        print(describe(point), flush=True)
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
