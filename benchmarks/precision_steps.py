"""Measure a whole training step in float32 and bfloat16 against PyTorch's precisions, in turn.

    python -m benchmarks.precision_steps                        one thread and two: about 4 minutes
    python -m benchmarks.precision_steps --models words --threads 1 --rounds 31

A step is from the batch to the updated parameters: embedding, two LSTM layers, softmax and cross-entropy,
clipping of the gradient's norm, Adam. Losses and norms of four steps are compared with the NumPy reference's
in float64 first. A ratio is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.goals import times
from benchmarks.compare.results import Point
from benchmarks.compare.run import RESULTS
from benchmarks.compare.tables import markdown
from benchmarks.precision import ratios
from benchmarks.precision.processes import LIBRARIES, keep
from benchmarks.precision.steps import SIZES
from benchmarks.precision.tables import marked, title
from fastrnn.cli.benchmark.timing import ROUNDS, ratio

MODULE = "precision_steps"
GOAL = 1.5  # of PyTorch's best precision over fastrnn's best
PRECISIONS = ("float32", "bfloat16")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{MODULE}", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--models", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES[:2], default=LIBRARIES[:2])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="each in a separate process")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each task")
    parser.add_argument("--out", type=Path, default=RESULTS / "precision-steps.json")
    return parser.parse_args(arguments)


def document(result: dict[str, Any]) -> str:
    """Return a table of all points; ``!`` is below the goal."""
    header = ["model", "T, N, V, E, H, layers", "threads", "float32, ms", "bfloat16, ms", "own float32"]
    header += ["PyTorch float32", "PyTorch bfloat16", "PyTorch's best"]
    return markdown(header, [list(row(point)) for point in result["points"]])


def row(point: Point) -> Iterator[str]:
    """Yield the cells of a point's row."""
    model, *sizes = point["case"].values()
    yield from (model, ", ".join(map(str, sizes)), str(point["threads"]))
    for precision in PRECISIONS:
        own = ratios.own(point, precision)
        yield f"{own['median_us'] / 1e3:,.1f}" if own else "-"
    gain = ratios.gain(point, "bfloat16")
    yield times(gain) if gain else "-"
    for precision in PRECISIONS:
        best = ratios.best_peer(point, precision)
        yield f"{times(best.ratio)} {title(best.name)}" if best else "-"
    yield marked(vs_best(point), GOAL, times)


def vs_best(point: Point) -> float | None:
    """Return the time of PyTorch's best precision over that of fastrnn's; None without PyTorch."""
    fastest: dict[str, Any] = {}
    for name, time in point["peers"].items():
        library = name.split("-")[0]
        if library not in fastest or ratio(time, fastest[library]) < 1.0:
            fastest[library] = time
    return ratio(fastest["pytorch"], fastest["fastrnn"]) if "pytorch" in fastest else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, save and print."""
    options = parse(arguments)
    job = {
        "sizes": {name: SIZES[name] for name in options.models},
        "libraries": ["fastrnn", *(name for name in options.libraries if name != "fastrnn")],
        "rounds": options.rounds,
    }
    return keep(job, options.threads, options.out, MODULE, document)


if __name__ == "__main__":
    sys.exit(main())
