"""One instruction set against another, with batches that fill the registers.

A process holds only one of fastrnn's compiled modules, so each set runs in a separate process on the same
CPUs, in turn. The timing of each includes one message to the process and one back.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.compare.job import Job
from benchmarks.compare.limits import Limits
from benchmarks.compare.shapes import WIDE_SHAPES, cases
from fastrnn import _dispatch
from fastrnn.cli.benchmark.cases import MODES, Case, make_problem
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.task import Task
from fastrnn.cli.benchmark.verify import expected_answer

ISAS = ("avx512", "avx2")


def points(job: Job, limits: Limits) -> Iterator[Point]:
    """Yield a point for each wide shape, mode and cell, if this CPU can run both sets."""
    isas = [isa for isa in ISAS if isa in _dispatch.available_isas()]
    if len(isas) < 2:
        return
    servers = {isa: start(isa) for isa in isas}
    try:
        for case in cases(WIDE_SHAPES, job.cells, MODES):
            expected = expected_answer(make_problem(case))
            point = Point("isa", case.described(), job.threads, expected, {"flops": case.flops})
            for isa, (_, connection) in servers.items():
                connection.send((case, job.threads))
                connection.recv()
                point.add(f"fastrnn-{isa}", remote_task(connection))
            yield point
    finally:
        for process, connection in servers.values():
            connection.close()
            process.join()


def remote_task(connection: Connection) -> Task:
    """Make a task of one run in the other process."""

    def ask(what: str) -> Any:
        connection.send(what)
        return connection.recv()

    return Task(lambda: ask("run"), lambda _: ask("answer"))


def start(isa: str) -> tuple[Any, Connection]:
    """Start the process of an instruction set."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    before = os.environ.get("FASTRNN_ISA")
    os.environ["FASTRNN_ISA"] = isa
    try:
        process = context.Process(target=serve, args=(there, isa), daemon=True)
        process.start()
    finally:
        os.environ.pop("FASTRNN_ISA")
        if before is not None:
            os.environ["FASTRNN_ISA"] = before
    there.close()
    return process, here


def serve(connection: Connection, isa: str) -> None:
    """Run in that process: a case makes a task, "run" runs it, "answer" returns the last run's result."""
    assert _dispatch.isa() == isa
    task, result = None, None
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        if isinstance(asked, str):
            assert task is not None
            if asked == "run":
                result = task.run()
            connection.send(None if asked == "run" else task.answer(result))
            continue
        case, threads = asked
        task = PEERS["fastrnn"].prepare(make_problem(Case(*case), threads))
        task.before()
        connection.send(None)
