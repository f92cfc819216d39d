"""The Lorenz system: how long a network foresees it, each step from the one foreseen before.

    python examples/long_term/lorenz.py

The networks learn the next step of 3,000, 0.02 units of time apart. The forecast holds as long as the
distance to the true point is below 0.4 times the standard deviation of the system; the time is in units of
Lyapunov times, in each of which an error grows e-fold (1.1 units of time), the median over many beginnings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import compare
import fastrnn as fr
from fastrnn.data.synthetic import lorenz

TRAINING, AHEAD, READ, STARTS = 3000, 500, 100, 50
STEP, EXPONENT = 0.02, 0.906  # time from step to step; the largest Lyapunov exponent
WINDOW, SHIFT = 100, 5  # steps of an example, and from one example to the next
SETTINGS = {
    "steps": "numbers",
    "numbers_as": "squared",
    "learn_end": False,
    "batch_size": 16,
    "epochs": 60,
    "learning_rate": 0.005,
    "dtype": "float64",
}


def make_task(small: bool, seed: int) -> compare.Task:
    """Return the task; the seed shifts where the series begins."""
    count, window = (300, 50) if small else (TRAINING, WINDOW)
    starts, ahead = (2, 50) if small else (STARTS, AHEAD)
    series = lorenz(count + READ + ahead + 50 * starts, step=STEP, discard=1000 + 500 * seed)
    training, test = series[:count], series[count:]
    examples = [training[i : i + window] for i in range(0, count - window + 1, SHIFT)]
    return compare.Task(
        title=f"Lorenz system, {count} steps of training",
        metric="Lyapunov times foreseen",
        model=fr.models.SequenceGenerator,
        settings=SETTINGS | ({"epochs": 1} if small else {}),
        training=(None, examples),
        validation=(None, [test[i : i + window] for i in range(0, len(test) - window + 1, window)]),
        measure=lambda model: valid_time(model, test, starts, ahead),
        lag=10,
        parameters=400 if small else 5000,
        curve_name="squared error of a step, standardized",
        own={"IRNN": {"learning_rate": 0.001}},
    )


def valid_time(model: Any, series: NDArray[np.float64], starts: int, ahead: int) -> float:
    """Return for how many Lyapunov times a forecast holds, the median over beginnings 50 steps apart."""
    allowed = 0.4 * np.sqrt(series.var(axis=0).sum())
    times = []
    for start in range(0, 50 * starts, 50):
        end = start + READ
        (found,) = model.generate(prefix=series[start:end], max_length=ahead, greedy=True)
        wrong = np.linalg.norm(found - series[end : end + ahead], axis=1) > allowed
        times.append(int(wrong.argmax()) if wrong.any() else ahead)
    return float(np.median(times)) * STEP * EXPONENT


def main() -> None:
    """Compare the networks."""
    arguments = compare.parser(__doc__).parse_args()
    compare.run(lambda seed: make_task(arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
