"""A machine that is busy: processes that do nothing but spin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It ends by itself once its parent is gone.
SPIN = """
import os
parent = os.getppid()
print(flush=True)
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Let that many processes spin."""
    command = [sys.executable, "-c", SPIN]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            # Ctrl-C reaches them too: their traceback is of no interest.
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # it spins now
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()
