"""Make tables and plots of a result file: ``python -m benchmarks.compare.report [FILE]``.

Without a file it takes the newest in benchmarks/results/. The tables are printed as Markdown; the roofline
and the ratios are drawn next to the file if matplotlib is installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import plots, results, tables
from benchmarks.compare.run import RESULTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the tables, and draw the plots."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare.report", description="Tables and plots of a result."
    )
    parser.add_argument("file", nargs="?", type=Path, help="default: the newest in benchmarks/results/")
    parser.add_argument("--out", type=Path, help="write the tables to this file instead of printing them")
    parser.add_argument("--plots", type=Path, help="folder of the plots; default: that of the file")
    options = parser.parse_args(arguments)
    path = options.file or max(RESULTS.glob("20*.json"), default=None)
    if path is None:
        print(f"no result in {RESULTS}: run python -m benchmarks.compare.run first", file=sys.stderr)
        return 2
    try:
        result = results.load(path)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.out:
        options.out.write_text(tables.document(result))
    else:
        print(tables.document(result), end="")
    try:
        for drawn in plots.draw(result, options.plots or path.parent):
            print(f"drawn: {drawn}", file=sys.stderr)
    except ImportError as error:
        print(f"nothing drawn: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
