"""The job of a measuring process."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.timing import Clock

KINDS = ("grid", "step", "ragged", "denormal", "character", "isa")


@dataclass(frozen=True)
class Job:
    """What is measured, for which peers, with how many threads and for how long."""

    kinds: tuple[str, ...]
    cases: tuple[Case, ...]  # of the grid
    cells: tuple[str, ...]  # of everything else
    peers: tuple[str, ...]
    threads: int
    clock: Clock

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain values."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Job:
        """Make a job from the values of `to_json`."""
        cases = tuple(Case(cell, mode, Shape(*shape)) for cell, mode, shape in values["cases"])
        kinds, cells, peers = (tuple(values[name]) for name in ("kinds", "cells", "peers"))
        return Job(kinds, cases, cells, peers, values["threads"], Clock(*values["clock"]))
