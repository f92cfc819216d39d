"""One turn of a measurement of steps: new processes, which train a model for a while."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

from fastrnn.cli.benchmark.process import thread_environment

__all__ = ["take_turn"]

WORKER = "benchmarks.distributed.step_worker"
LIMIT = 300  # seconds, after which a turn that hangs is an error


def take_turn(ranks: int, job: dict[str, Any]) -> dict[str, Any]:
    """Train on so many ranks, and return what rank 0 answers.

    Raises
    ------
    RuntimeError
        If there is no ``mpiexec``, or the training fails.
    """
    command = [sys.executable, "-m", WORKER, json.dumps(job)]
    if ranks > 1:
        mpiexec = shutil.which("mpiexec")
        if mpiexec is None:
            raise RuntimeError('mpiexec: not found; type: pip install "fastrnn[mpi]" mpich')
        command = [mpiexec, "-n", str(ranks), *command]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, env=thread_environment(job["threads"])
    )
    if done.returncode:
        raise RuntimeError(f"{ranks} ranks: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
