"""The measuring process: ``run.py`` starts one for each number of threads."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.compare.job import Job
from benchmarks.compare.limits import Limits
from fastrnn.cli.benchmark import machine
from fastrnn.cli.benchmark.peers import installed
from fastrnn.cli.benchmark.process import serve


def work(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Report the machine, the peers and the limits, then measure point by point."""
    job = Job.from_json(values)
    peers, missing = installed(job.peers)
    job = dataclasses.replace(job, peers=tuple(peers))
    limits = Limits(job.threads)
    yield {
        "machine": machine.facts(),
        "peers": peers,
        "missing": missing,
        "limits": {"source": limits.loops.source, "levels": limits.levels()},
    }
    for kind in job.kinds:
        where = "grid" if kind == "grid" else f"special.{kind}"
        module = importlib.import_module(f"benchmarks.compare.{where}")
        for point in module.points(job, limits):
            yield point.measured(job.clock)


if __name__ == "__main__":
    sys.exit(serve(work))
