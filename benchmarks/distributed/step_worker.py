"""A process, or rank, that trains a model for a while: ``python -m benchmarks.distributed.step_worker JOB``.

The job and the answer are JSON objects; rank 0 prints the answer. Each turn of the measurement is a new
process, because the ranks of an MPI that wait for their turn would take the CPUs of the others.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import fastrnn as fr
from benchmarks.distributed.models import Size, make_trainer
from fastrnn.cli.benchmark.machine import choose_cpus
from fastrnn.train import distributed

__all__ = ["train"]

WARM_UP = 3  # steps
FEWEST = 4  # steps


class Watched:
    """Time that a rank spends in the sums of gradients, and the bytes that it sends there."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.sums: set[distributed.GradientSum] = set()
        finish = distributed.GradientSum.finish

        def timed(gradients: distributed.GradientSum) -> None:
            start = time.perf_counter()
            finish(gradients)
            self.seconds.append(time.perf_counter() - start)
            self.sums.add(gradients)

        distributed.GradientSum.finish = timed  # type: ignore[method-assign]

    def bytes_sent(self) -> int:
        """Return the bytes sent so far."""
        return sum(one.bytes_sent for one in self.sums)


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train for about ``job["seconds"]``; return the seconds of a step and of its communication, and bytes.

    "waiting" is the mean over the ranks of the time between the end of a rank's own computation and the sum;
    "communication" is that of the rank that came last, which waits for no other.
    """
    ranks = distributed.start(**job["options"])
    bind(ranks, job["threads"])
    size = Size(*job["size"])
    trainer, watched = make_trainer(size, ranks), Watched()
    once = clocked(lambda: list(trainer.run(WARM_UP))) / WARM_UP
    steps = max(FEWEST, ranks.broadcast(round(job["seconds"] / once)))
    before = watched.bytes_sent()
    watched.seconds.clear()
    ranks.gather(None)
    step = clocked(lambda: list(trainer.run(WARM_UP + steps))) / steps
    each = list(zip(*ranks.gather(watched.seconds[:steps]), strict=True)) if ranks.size > 1 else []
    return {
        "step": max(ranks.gather(step)),
        "steps": steps,
        "communication": sum(map(min, each)) / steps,
        "waiting": sum(sum(times) / len(times) for times in each) / steps,
        "bytes_sent": (watched.bytes_sent() - before) // steps,
    }


def bind(ranks: distributed.Ranks, threads: int) -> None:
    """Bind this rank to CPUs of its own, and set its threads."""
    cpus = choose_cpus(threads * ranks.size)
    own = cpus[threads * ranks.rank : threads * (ranks.rank + 1)]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, own)
    fr.set_num_threads(threads)


def clocked(run: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    answer = train(json.loads(sys.argv[1]))
    if distributed.start().is_first:
        print(json.dumps(answer))
