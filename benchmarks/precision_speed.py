"""Measure layers in float32, bfloat16 and int8 against the peers' own, in turn, under the machine's limits.

    python -m benchmarks.precision_speed                     everything, one thread and two: about 12 minutes
    python -m benchmarks.precision_speed --quick             three cases, one thread
    python -m benchmarks.precision_speed --shapes 20,128,400,640 --cells lstm --modes forward --threads 1

The peers are PyTorch in float32, in bfloat16 (parameters in bfloat16, and autocast) and in int8 (dynamic, by
both of its engines), and ONNX Runtime in float32 and with ``DynamicQuantizeLSTM``. A ratio is the median over
15 rounds of the ratio within a round; a peer that takes twice as long as the best of its precision stops
after 5. Every answer is compared with the NumPy reference's in float64 before it is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.run import RESULTS, shape
from benchmarks.precision.processes import LIBRARIES, keep
from benchmarks.precision.shapes import QUICK, STANDARD, cases
from benchmarks.precision.tables import document
from fastrnn.cli.benchmark.cases import CELLS, MODES
from fastrnn.cli.benchmark.timing import FEWEST_ROUNDS, ROUNDS

MODULE = "precision_speed"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{MODULE}", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="three cases, one thread, five rounds")
    parser.add_argument("--shapes", nargs="+", type=shape, metavar="T,N,D,H[,layers]")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=LIBRARIES)
    parser.add_argument("--threads", nargs="+", type=int, help="each in a separate process, bound to CPUs")
    parser.add_argument("--rounds", type=int, help="turns of each task")
    parser.add_argument("--out", type=Path, default=RESULTS / "precision-speed.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, save and print."""
    options = parse(arguments)
    chosen = QUICK if options.quick else STANDARD
    if options.shapes:
        chosen = tuple((tuple(CELLS), one) for one in options.shapes)
    job = {
        "cases": [case for case in cases(chosen, options.modes) if case.cell in options.cells],
        "libraries": ["fastrnn", *(name for name in options.libraries if name != "fastrnn")],
        "rounds": options.rounds or (FEWEST_ROUNDS if options.quick else ROUNDS),
    }
    threads = options.threads or ([1] if options.quick else [1, 2])
    return keep(job, threads, options.out, MODULE, document)


if __name__ == "__main__":
    sys.exit(main())
