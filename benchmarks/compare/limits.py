"""The machine's limits, measured in the process that measures the peers.

`limits.c` is compiled for this machine: loops of independent multiply-adds in registers, one for each
precision that the CPU multiplies, and a loop that sums a buffer. Without a C compiler the limits are NumPy's
best matrix product and dot product; "source" in the result names which. Several threads run concurrently,
each reading its own part.
"""

from __future__ import annotations

import ctypes
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fastrnn.cli.benchmark.machine import cache_sizes
from fastrnn.cli.benchmark.task import Task

# A limit's sample lasts about as long as that of the work it limits, so that a pause affects both equally.
SECONDS = 2e-3  # at least
LONGEST = 0.3  # at most
REPEATS = 9  # samples; a level's bandwidth is their median
FLAGS = "-O3 -march=native -ffp-contract=fast -shared -fPIC".split()
FIRST_GUESS = 1e7  # operations or bytes, from which to find how many take `SECONDS`
PRODUCT = 384  # rows and columns of NumPy's matrices
UNKNOWN_CACHES = {"L1": 32 << 10, "L2": 1 << 20, "L3": 16 << 20}

Loop = tuple[Callable[[], object], float]  # a call, and its operations or bytes


class CLoops:
    """The loops of `limits.c`."""

    source = "C loop"

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "limits.so"
            code = Path(__file__).with_name("limits.c")
            subprocess.run(["cc", *FLAGS, str(code), "-o", str(library)], check=True, capture_output=True)
            self.library = ctypes.CDLL(str(library))  # a call releases the GIL
        for name in ("flops_per_round", "vector_bytes", "bfloat16_products", "int8_products"):
            getattr(self.library, name).restype = ctypes.c_long
        for name in ("multiply_add", "multiply_add_bfloat16", "multiply_add_int8"):
            getattr(self.library, name).argtypes = [ctypes.c_long]
            getattr(self.library, name).restype = ctypes.c_float
        self.library.read_all.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long]
        self.library.read_all.restype = ctypes.c_float
        self.products = {
            "float32": 1,
            "bfloat16": self.library.bfloat16_products(),
            "int8": self.library.int8_products(),
        }

    def multiply_add(self, amount: float, precision: str = "float32") -> Loop:
        """Return a call of about that many operations, and their exact number."""
        each = self.library.flops_per_round() * self.products[precision]
        rounds = max(1, round(amount / each))
        name = "multiply_add" if precision == "float32" else f"multiply_add_{precision}"
        call = getattr(self.library, name)
        return (lambda: call(rounds)), float(rounds * each)

    def read(self, size: int, amount: float) -> Loop:
        """Return a call that reads a buffer of that size repeatedly, about that amount in total."""
        block = 12 * self.library.vector_bytes()
        blocks = max(1, size // block)
        memory = np.ones(blocks * block + 64, np.uint8)
        start = -memory.ctypes.data % 64
        values = memory[start : start + blocks * block].view(np.float32)
        values[:] = 1e-6
        vectors, rounds = 12 * blocks, max(1, round(amount / values.nbytes))
        address = values.ctypes.data

        def call(kept: np.ndarray = values) -> object:
            return self.library.read_all(address, vectors, rounds)

        return call, float(rounds * values.nbytes)


class NumpyProducts:
    """NumPy's products, used where there is no compiler."""

    source = "NumPy products"
    products = {"float32": 1, "bfloat16": 0, "int8": 0}  # noqa: RUF012 - never modified

    def multiply_add(self, amount: float, precision: str = "float32") -> Loop:
        """Do as `CLoops`."""
        a, b, out = np.ones((3, PRODUCT, PRODUCT), np.float32)
        rounds = max(1, round(amount / (2 * PRODUCT**3)))
        return (lambda: [np.matmul(a, b, out=out) for _ in range(rounds)]), 2.0 * PRODUCT**3 * rounds

    def read(self, size: int, amount: float) -> Loop:
        """Do as `CLoops`."""
        values = np.ones(max(16, size // 4), np.float32)
        rounds = max(1, round(amount / values.nbytes))
        return (lambda: [np.dot(values, values) for _ in range(rounds)]), float(rounds * values.nbytes)


class Limits:
    """The limits of several concurrent threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads)
        try:
            self.loops: CLoops | NumpyProducts = CLoops() if shutil.which("cc") else NumpyProducts()
        except (OSError, subprocess.CalledProcessError):
            self.loops = NumpyProducts()

    def multiplies(self, precision: str) -> bool:
        """Return whether there is a loop of multiply-adds in that precision."""
        return self.loops.products[precision] > 0

    def multiply_add(
        self, wanted: float = 0.0, threads: int | None = None, precision: str = "float32"
    ) -> tuple[Task, float]:
        """Return a task of about that many operations, shared by the threads, and their exact number."""
        return self._sized(
            lambda amount: self.loops.multiply_add(amount, precision), wanted, threads or self.threads
        )

    def read(self, size: int, wanted: float = 0.0) -> tuple[Task, float]:
        """Return a task that reads `size` bytes repeatedly, a part in each thread, and the bytes read."""
        part = max(4096, size // self.threads)
        return self._sized(lambda amount: self.loops.read(part, amount), wanted, self.threads)

    def levels(self) -> dict[str, dict[str, float]]:
        """Measure the read bandwidth of each cache level and of memory, in bytes per second."""
        caches = cache_sizes() or UNKNOWN_CACHES
        sizes = {name: size * 3 // 4 for name, size in caches.items()}
        sizes["memory"] = 4 * max(caches.values())
        found = {}
        for name, size in sizes.items():
            shared = size if name in ("L3", "memory") else size * self.threads
            task, amount = self.read(shared)
            found[name] = {"bytes": shared, "bytes_per_second": amount / _median_seconds(task)}
        return found

    def _sized(self, make: Callable[[float], Loop], wanted: float, threads: int) -> tuple[Task, float]:
        """Make a loop for each thread, of the wanted amount if that takes `SECONDS` to `LONGEST`."""
        task, amount = self._together([make(FIRST_GUESS) for _ in range(threads)])
        rate = amount / _median_seconds(task)
        amount = min(max(wanted, rate * SECONDS), rate * LONGEST)
        return self._together([make(amount / threads) for _ in range(threads)])

    def _together(self, loops: list[Loop]) -> tuple[Task, float]:
        calls, amounts = zip(*loops, strict=True)

        def run() -> None:
            if len(calls) == 1:
                calls[0]()
                return
            for future in [self.pool.submit(call) for call in calls]:
                future.result()

        return Task(run, answer=lambda _: {}), sum(amounts)


def _median_seconds(task: Task) -> float:
    samples = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        task.run()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)
