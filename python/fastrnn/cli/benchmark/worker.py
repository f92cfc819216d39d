"""The measuring process of ``fastrnn bench``: ``python -m fastrnn.cli.benchmark.worker``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from fastrnn.cli.benchmark import machine
from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.peers import installed
from fastrnn.cli.benchmark.points import grid_point
from fastrnn.cli.benchmark.process import serve
from fastrnn.cli.benchmark.timing import Clock

__all__ = ["work"]


def work(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the machine and the installed peers, then the result of each case.

    Parameters
    ----------
    job : dict
        "cases", a list of [cell, mode, [T, N, D, H, layers]]; "peers"; "threads"; "clock", [rounds, seconds].
    """
    peers, missing = installed(job["peers"])
    yield {"machine": machine.facts(), "peers": peers, "missing": missing}
    for cell, mode, shape in job["cases"]:
        yield grid_point(Case(cell, mode, Shape(*shape)), peers, job["threads"]).measured(
            Clock(*job["clock"])
        )


if __name__ == "__main__":
    sys.exit(serve(work))
