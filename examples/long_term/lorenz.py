"""The Lorenz system: how long a network predicts it, each step from the one predicted before.

    python examples/long_term/lorenz.py

The networks learn the next step of 3,000, 0.02 units of time apart. The forecast holds as long as the
distance to the true point is below 0.4 times the standard deviation of the system; the time is in units of
Lyapunov times, in each of which an error grows e-fold (1.1 units of time), the median over many beginnings.

Measured with seed 0, about 5,000 parameters each, 7 to 9 seconds of one thread (minGRU 31): ESN 6.8, vanilla
2.7, LSTM 2.6, leaky 2.1, skip 1.9, IRNN 1.9, GRU 1.8, minGRU 1.0. The ESN takes less than 0.1 seconds; its
settings were chosen on this test.
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
RESERVOIR = {
    "spectral_radius": 0.5,
    "input_scaling": 0.02,
    "bias_scaling": 1.0,
    "washout": 100,
    "ridge": 1e-8,
}


def make_task(small: bool, seed: int) -> compare.Task:
    """Return the task; the seed shifts where the series begins."""
    count, window = (300, 50) if small else (TRAINING, WINDOW)
    starts, ahead = (2, 50) if small else (STARTS, AHEAD)
    series = lorenz(count + READ + ahead + 50 * starts, step=STEP, discard=1000 + 500 * seed)
    training, test = series[:count], series[count:]
    examples = [training[i : i + window] for i in range(0, count - window + 1, SHIFT)]
    whole = [test[i : i + window] for i in range(0, len(test) - window + 1, window)]
    beginnings = [test[50 * i : 50 * i + READ] for i in range(starts)]
    truth = np.stack([test[50 * i + READ : 50 * i + READ + ahead] for i in range(starts)])

    settings = SETTINGS | ({"epochs": 1} if small else {})
    return compare.Task(
        title=f"Lorenz system, {count} steps of training",
        metric="Lyapunov times predicted",
        lag=10,
        parameters=400 if small else 5000,
        trained=compare.Recipe(
            fr.models.SequenceGenerator, settings, (None, examples),
            lambda model: valid_time(
                [model.generate(prefix=one, max_length=ahead, greedy=True)[0] for one in beginnings], truth
            ),
            validation=(None, whole),
        ),
        reservoir=compare.Recipe(
            fr.models.EchoStateNetwork, RESERVOIR, (training, None),
            lambda model: valid_time(model.generate(ahead, warmup=beginnings), truth),
        ),
        own={"IRNN": {"learning_rate": 0.001}},
        curve_name="squared error of a step, standardized",
    )  # fmt: skip


def valid_time(paths: Any, truth: NDArray[np.float64]) -> float:
    """Return for how many Lyapunov times forecasts hold, the median: paths and truth [N, S, 3]."""
    allowed = 0.4 * np.sqrt(truth.reshape(-1, 3).var(axis=0).sum())
    wrong = np.linalg.norm(np.array(paths) - truth, axis=2) > allowed
    steps = np.where(wrong.any(axis=1), wrong.argmax(axis=1), truth.shape[1])
    return float(np.median(steps)) * STEP * EXPONENT


def main() -> None:
    """Compare the networks."""
    arguments = compare.parser(__doc__).parse_args()
    compare.run(lambda seed: make_task(arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
