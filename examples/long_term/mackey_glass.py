"""The Mackey-Glass series: foresee 84 steps of a chaotic series, each from the one foreseen before.

    python examples/long_term/mackey_glass.py

The networks learn the next step of 3,000; tau is 17. The error is that at step 84, over many beginnings in a
later part of the series: the root of its mean square by the standard deviation of the series (NRMSE). Who
answers the mean has 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import compare
import fastrnn as fr
from fastrnn.data.synthetic import mackey_glass

TRAINING, AHEAD, READ, STARTS = 3000, 84, 300, 50
WINDOW, SHIFT = 200, 5  # steps of an example, and from one example to the next
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
    starts = 2 if small else STARTS
    series = mackey_glass(count + READ + AHEAD + 20 * starts, discard=1000 + 500 * seed)
    training, test = series[:count], series[count:]
    examples = [training[i : i + window] for i in range(0, count - window + 1, SHIFT)]
    return compare.Task(
        title=f"Mackey-Glass, {count} steps of training",
        metric=f"NRMSE {AHEAD} steps ahead",
        model=fr.models.SequenceGenerator,
        settings=SETTINGS | ({"epochs": 1} if small else {}),
        training=(None, examples),
        validation=(None, [test[i : i + window] for i in range(0, len(test) - window + 1, window)]),
        measure=lambda model: far_error(model, test, starts) / float(series.std()),
        lag=17,
        parameters=400 if small else 5000,
        curve_name="squared error of a step, standardized",
        own={"IRNN": {"learning_rate": 0.001}},
    )


def far_error(model: Any, series: NDArray[np.float64], starts: int) -> float:
    """Return the root mean square error at the last of the steps ahead, over beginnings 20 steps apart."""
    errors = []
    for start in range(0, 20 * starts, 20):
        end = start + READ
        (found,) = model.generate(prefix=series[start:end], max_length=AHEAD, greedy=True)
        errors.append(found[-1, 0] - series[end + AHEAD - 1])
    return float(np.sqrt(np.mean(np.square(errors))))


def main() -> None:
    """Compare the networks."""
    arguments = compare.parser(__doc__).parse_args()
    compare.run(lambda seed: make_task(arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
