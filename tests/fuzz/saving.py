"""Faults while a checkpoint is saved: kills, system calls that fail, limits on file sizes and descriptors.

``python -m tests.fuzz.saving --count 500`` runs it in a temporary folder. After every fault the checkpoint
loads, and holds what the last save that succeeded had written, or the one that was interrupted, whole. It
needs POSIX, and changes the limits of its own process: tests run it as a process.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import errno
import itertools
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn import LanguageModel, Vocabulary
from fastrnn.train import load_checkpoint, save_checkpoint

VOCABULARY = Vocabulary.from_text("the quick brown fox jumps over the lazy dog")
NAME = "model.safetensors"


class Fault(AssertionError):
    """A file or a process was not left as it should be."""


def make_model(number: int) -> LanguageModel:
    """Make a model whose file is about 60 kB, and which is recognised by `number_of`."""
    model = LanguageModel(len(VOCABULARY), cell="gru", hidden_size=48, num_layers=1, seed=number)
    with model.parameters.edit() as views:
        views.flat[...] = number
    return model


def number_of(path: Path) -> int:
    """Load a checkpoint; return the number of its model, every parameter of which must be it."""
    flat = load_checkpoint(path).model.parameters.flat
    if not (flat == flat[0]).all():
        raise Fault("the file holds parts of two models")
    return int(flat[0])


def save(path: Path, number: int) -> None:
    """Save the model of a number."""
    save_checkpoint(path, make_model(number), VOCABULARY)


def leftovers(folder: Path) -> list[str]:
    """Return the names of temporary files."""
    return [entry.name for entry in folder.iterdir() if entry.name != NAME]


def in_a_child(run: Callable[[], Any]) -> int:
    """Start `run()` in a forked child; return its process id. Its exit code is 1 after an exception."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def kills(folder: Path, count: int, random: np.random.Generator) -> int:
    """Kill a process that saves again and again, `count` times; return the number of kills amid a save."""
    path, amid = folder / NAME, 0
    save(path, 0)
    models = [make_model(number) for number in range(2)]

    def save_forever() -> None:
        for number in itertools.count():
            save_checkpoint(path, models[number % 2], VOCABULARY)

    for _ in range(count):
        child = in_a_child(save_forever)
        time.sleep(random.uniform(0.0, 0.012))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        number_of(path)
        amid += bool(leftovers(folder))
        save(path, 0)  # also after a kill
        for name in leftovers(folder):
            (folder / name).unlink()
    return amid


#: Calls that may fail while a file is saved.
CALLS = ("open", "write", "fsync", "replace", "rename", "close", "link", "ftruncate", "posix_fallocate")


def failing_calls(folder: Path, count: int, random: np.random.Generator) -> int:
    """Let the n-th system call of a save fail, for each n and several errors; return the number of faults."""
    path, faults = folder / NAME, 0
    for code in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE):
        for n in range(1, 100):
            save(path, 0)
            descriptors = len(os.listdir("/proc/self/fd"))
            with failing(n, code) as calls:
                try:
                    save(path, n)
                except OSError as error:
                    if error.filename != os.fspath(path) or error.errno != code:
                        raise Fault(f"call {n}, {calls[-1]}: the error is {error!r}") from error
            if len(calls) < n:  # none failed any more
                break
            faults += 1
            moved = any(name in ("replace", "rename", "link") for name in calls[: n - 1])
            if number_of(path) != (n if moved else 0):
                raise Fault(f"call {n}, {calls[n - 1]}: the file holds model {number_of(path)}")
            if leftovers(folder):
                raise Fault(f"call {n}, {calls[n - 1]}: left {leftovers(folder)}")
            if len(os.listdir("/proc/self/fd")) != descriptors:
                raise Fault(f"call {n}, {calls[n - 1]}: a descriptor is left open")
        else:
            raise Fault("more than 100 calls in one save")
    return faults


@contextlib.contextmanager
def failing(n: int, code: int) -> Iterator[list[str]]:
    """Let the n-th of all `CALLS` raise OSError once; yield the names of the calls so far."""
    calls: list[str] = []

    def once(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            calls.append(name)
            if len(calls) == n:
                if name == "close":
                    real(*arguments, **more)  # as Linux does: the descriptor is gone
                raise OSError(code, os.strerror(code))
            return real(*arguments, **more)

        return call

    class File:
        """A file whose writes count."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> File:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            found = getattr(self._file, name)
            return once(name, found) if name in ("write", "flush") else found

    def open_file(*arguments: Any, **more: Any) -> Any:
        return File(once("open", real_open)(*arguments, **more))

    real_open, real = builtins.open, {name: getattr(os, name) for name in CALLS}
    builtins.open = open_file  # type: ignore[assignment]
    for name, function in real.items():
        setattr(os, name, once(name, function))
    try:
        yield calls
    finally:
        builtins.open = real_open
        for name, function in real.items():
            setattr(os, name, function)


def file_sizes(folder: Path, count: int, random: np.random.Generator) -> int:
    """Save with a limit on the size of files, at `count` sizes; return the number of saves that failed."""
    path, failed = folder / NAME, 0
    save(path, 0)
    size = path.stat().st_size
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in (0, 1, 7, 8, 9, 4096, size - 1, size, size + 1, *random.integers(size, size=count).tolist()):
        save(path, 0)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            save(path, 1)
        except OSError as error:
            failed += 1
            if error.errno != errno.EFBIG or error.filename != os.fspath(path):
                raise Fault(f"limit {limit}: the error is {error!r}") from error
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        if number_of(path) != (limit >= size):
            raise Fault(f"limit {limit} of {size} bytes: the file holds model {number_of(path)}")
        if leftovers(folder):
            raise Fault(f"limit {limit} of {size} bytes: left {leftovers(folder)}")
    return failed


def descriptors(folder: Path, count: int, random: np.random.Generator) -> int:
    """Save and load with few descriptors left; return the number of calls that failed for want of one."""
    path, failed = folder / NAME, 0
    save(path, 0)
    number_of(path)  # what is imported late is imported now
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in range(8):
        for run in (lambda: save(path, 1), lambda: number_of(path)):
            free = os.dup(1)  # the lowest
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, hard))
            try:
                run()
            except OSError as error:
                failed += 1
                if error.errno != errno.EMFILE:
                    raise Fault(f"{spare} descriptors left: the error is {error!r}") from error
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            if number_of(path) not in (0, 1) or leftovers(folder):
                raise Fault(f"{spare} descriptors left: {leftovers(folder)}")
    return failed


FAULTS: dict[str, Callable[[Path, int, np.random.Generator], int]] = {
    "kills": kills,
    "calls": failing_calls,
    "sizes": file_sizes,
    "descriptors": descriptors,
}


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="number of kills and of file sizes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", choices=FAULTS, nargs="*", default=[*FAULTS])
    settings = parser.parse_args()
    for name in settings.faults:
        with tempfile.TemporaryDirectory() as folder:
            met = FAULTS[name](Path(folder), settings.count, np.random.default_rng(settings.seed))
        print(f"{name}: {met} faults met, no checkpoint lost", flush=True)


if __name__ == "__main__":
    sys.exit(main())
