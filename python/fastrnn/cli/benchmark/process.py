"""Measurements in a separate process for each number of threads.

NumPy's BLAS and JAX fix their number of threads when they start. A measurement therefore runs in a new
process that is bound to one CPU per thread, with every library's environment variable set. The job is one
JSON object on standard input; the results are one JSON object per line on standard output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastrnn.cli.benchmark.machine import choose_cpus
from fastrnn.cli.benchmark.verify import Disagreement

__all__ = ["run_in_process", "serve", "thread_environment"]

Job = dict[str, Any]

_THREADS = (
    "FASTRNN_NUM_THREADS OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS VECLIB_MAXIMUM_THREADS".split()
)
_OTHER_VARIABLES = {"JAX_PLATFORMS": "cpu"}


def run_in_process(module: str, job: Job) -> Iterator[dict[str, Any]]:
    """Run a module that calls `serve` in a separate process.

    Parameters
    ----------
    module : str
        Name for ``python -m``.
    job : dict
        Values that JSON can hold; "threads" is the number of CPUs and threads.

    Yields
    ------
    result : dict

    Raises
    ------
    Disagreement
        If a peer's answer differs from the reference's.
    RuntimeError
        If the process fails otherwise; details may be on standard error.
    """
    process = _start(module, job["threads"])
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin as given:
            given.write(json.dumps(job))
        for line in process.stdout:
            result = json.loads(line)
            if "disagreement" in result:
                raise Disagreement(result["disagreement"])
            if "failure" in result:
                raise RuntimeError(result["failure"])
            yield result
        if process.wait() != 0:
            raise RuntimeError(f"the measuring process ended with exit code {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment of this process with every library's number of threads set."""
    return {**os.environ, **dict.fromkeys(_THREADS, str(threads)), **_OTHER_VARIABLES}


def _start(module: str, threads: int) -> subprocess.Popen[str]:
    cpus = choose_cpus(threads)
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    try:
        if before is not None:
            os.sched_setaffinity(0, cpus)  # the new process inherits it
        return subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=thread_environment(threads),
        )
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)


def serve(work: Callable[[Job], Iterable[dict[str, Any]]]) -> int:
    """Do the work that `run_in_process` requests, and return the exit code."""
    try:
        for result in work(json.load(sys.stdin)):
            print(json.dumps(result, allow_nan=False), flush=True)
    except Disagreement as error:
        print(json.dumps({"disagreement": str(error)}), flush=True)
        return 1
    except KeyboardInterrupt:
        return 130  # the parent process reports it
    except MemoryError as error:
        print(json.dumps({"failure": f"not enough memory: {error}"}), flush=True)
        return 1
    return 0
