"""What the fuzzers of files share: the loop over mutated files, and the program of the long form."""

from __future__ import annotations

import argparse
import random
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

SLOWEST = 5.0  # seconds for one file; the machine may be busy
MOST_MEMORY = 1 << 30  # bytes that the whole process may reach
FAILED = "FAILED"
_EVERY = 10_000  # files between two lines

Report = Callable[[str], object]


def run_all(
    check_one: Callable[[int, random.Random], str],
    numbers: Iterable[int],
    seed: int,
    report: Report,
    *,
    slowest: float = SLOWEST,
    most_memory: int = MOST_MEMORY,
) -> Counter[str]:
    """Check a mutated file for each number, and return how many ended how.

    `check_one` gets the number and a random generator of its own and returns how the file ended; an exception
    is a failure, and so is a file that takes too long, or too much memory. Each is reported with its number,
    three of a kind at most.
    """
    outcomes = Counter[str]()
    before, began = _memory(), time.monotonic()
    for index, number in enumerate(numbers, 1):
        started = time.monotonic()
        try:
            outcome = check_one(number, random.Random(f"{seed} {number}"))
            assert time.monotonic() - started < slowest, "too slow"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome = f"{FAILED} {type(error).__name__}"
            outcomes[FAILED] += 1
            if outcomes[outcome] < 3:
                place = traceback.extract_tb(error.__traceback__)[-1]
                report(f"seed {seed}, number {number}: {error!r:.300} at {place.filename}:{place.lineno}")
        outcomes[outcome] += 1
        if index % _EVERY == 0:
            took = f"{index} files, {time.monotonic() - began:.0f} s, {_memory() >> 20} MiB"
            report(f"{took}, {dict(outcomes)}")
    if _memory() > max(most_memory, before):  # other tests of this process may have used more
        report(f"memory: {_memory()} bytes")
        outcomes[FAILED] += 1
    return outcomes


def run_program(
    run: Callable[..., Counter[str]], description: str | None, count: int = 10_000, **options: dict[str, Any]
) -> int:
    """Run the long form; the exit code is 1 after a failure.

    `run` takes the number of files, the seed, a function for each line and the number of the first file, then
    the further options by name.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count, help="files to check")
    parser.add_argument("--seed", type=int, default=0, help="of all mutations")
    parser.add_argument("--first", type=int, default=0, help="number of the first, to go on from there")
    for name, settings in options.items():
        parser.add_argument(f"--{name}", **settings)
    given = vars(parser.parse_args())
    count, seed, first = (given.pop(name) for name in ("count", "seed", "first"))
    outcomes = run(count, seed, lambda line: print(line, flush=True), first, **given)
    print(f"{count - first} files: {dict(outcomes)}")
    return 1 if outcomes[FAILED] else 0


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
