"""Timing: tasks in turn, A B C A B C, with samples long enough for the clock."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fastrnn.cli.benchmark.task import Task

__all__ = [
    "FEWEST_ROUNDS",
    "ROUNDS",
    "Clock",
    "first_run",
    "geometric_mean",
    "measure",
    "ratio",
    "sample",
    "summary",
]

ROUNDS = 15  # turns of each task
FEWEST_ROUNDS = 5  # minimum, even for a task that has used up its time
SAMPLE = 2e-3  # minimum seconds of a sample: short work is repeated
WARM_UP = 0.02  # seconds; a task that takes less is run once, untimed, at the start of each turn
PAUSE = 2e-3  # seconds before each turn: lets the threads of the previous task go to sleep


class Clock(NamedTuple):
    """Limits of a measurement.

    Attributes
    ----------
    rounds : int
        Turns of each task.
    seconds : float
        Time limit per task; a task that exceeds it stops after `FEWEST_ROUNDS`.
    """

    rounds: int = ROUNDS
    seconds: float = 5.0


def measure(tasks: Mapping[str, Task], clock: Clock) -> dict[str, list[float]]:
    """Time tasks in turn.

    Parameters
    ----------
    tasks : mapping of str to Task
    clock : Clock

    Returns
    -------
    samples : dict of str to list of float
        Seconds per run, one sample per turn. Samples of the same index are from the same round.

    Examples
    --------
    >>> idle = Task(run=lambda: None, answer=lambda _: {})
    >>> [len(samples) for samples in measure({"a": idle, "b": idle}, Clock(rounds=7)).values()]
    [7, 7]
    """
    once = {name: first_run(task) for name, task in tasks.items()}
    samples: dict[str, list[float]] = {name: [] for name in tasks}
    spent = dict.fromkeys(tasks, 0.0)
    fewest = min(FEWEST_ROUNDS, clock.rounds)
    gc.collect()
    gc.disable()
    try:
        for turn in range(clock.rounds):
            for name, task in tasks.items():
                if turn >= fewest and spent[name] > clock.seconds:
                    continue
                start = time.perf_counter()
                samples[name].append(sample(task, once[name]))
                spent[name] += time.perf_counter() - start
    finally:
        gc.enable()
    return samples


def first_run(task: Task) -> float:
    """Return the seconds of the fastest of a few runs, for `sample`."""
    task.before()
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        task.run()
        best = min(best, time.perf_counter() - start)
        if best > WARM_UP:
            break
    return max(best, 1e-9)


def sample(task: Task, once: float, pause: float = PAUSE) -> float:
    """Return the seconds per run of a task that takes about `once`, after a pause."""
    time.sleep(pause)
    task.before()
    run = task.run
    if once < WARM_UP:
        run()
    calls = range(max(1, math.ceil(SAMPLE / once)))
    start = time.perf_counter()
    for _ in calls:
        run()
    return (time.perf_counter() - start) / len(calls)


def summary(samples: list[float]) -> dict[str, Any]:
    """Return median, quartiles and samples in microseconds, from samples in seconds.

    Examples
    --------
    >>> summary([3e-6, 1e-6, 2e-6])
    {'median_us': 2.0, 'low_us': 1.5, 'high_us': 2.5, 'samples_us': [3.0, 1.0, 2.0]}
    """
    us = [round(1e6 * sample, 3) for sample in samples]
    low, _, high = statistics.quantiles(us, n=4, method="inclusive") if len(us) > 1 else us * 3
    return {"median_us": statistics.median(us), "low_us": low, "high_us": high, "samples_us": us}


def ratio(numerator: Mapping[str, Any], denominator: Mapping[str, Any]) -> float:
    """Return the median over rounds of the ratio of two samples; both arguments are from `summary`.

    Examples
    --------
    >>> ratio(summary([4.0, 6.0, 50.0]), summary([2.0, 3.0, 20.0]))
    2.0
    """
    pairs = zip(numerator["samples_us"], denominator["samples_us"], strict=False)
    return float(statistics.median(a / max(b, 1e-3) for a, b in pairs))


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean; NaN if there are no values.

    Examples
    --------
    >>> round(geometric_mean([1.0, 4.0]), 12)
    2.0
    """
    logarithms = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else math.nan
