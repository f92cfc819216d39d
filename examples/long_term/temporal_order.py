"""Temporal order: two or three letters among a hundred others, and only their order counts.

    python examples/long_term/temporal_order.py
    python examples/long_term/temporal_order.py --relevant 3

Experiments 6a and 6b of Hochreiter and Schmidhuber (1997). A guess is right in 25 % of cases, or in 12.5 %.
Measured on 2,500 texts with seeds 0, 1, 2, about 5,000 parameters each, 4 to 10 seconds each on one thread:
IRNN, leaky, GRU, LSTM, minGRU and ESN have 100 % right with each seed; skip connections 24.3, 100 and 100 %;
the vanilla network 23.5, 25.8 and 23.0 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import compare
import fastrnn as fr
from fastrnn.data.synthetic import temporal_order

SEQUENCES = 5000  # of training
SETTINGS = {
    "bidirectional": False,  # the first letter must be remembered until the end
    "embedding_size": None,
    "unknown_alpha": 0.0,  # all symbols are known
    "batch_size": 50,
    "epochs": 10,
    "learning_rate": 0.005,
}


RESERVOIR = {
    "pooling": "last",
    "leak_rate": 0.05,  # slow units: without them nothing of the first letter is left
    "spectral_radius": 1.0,
    "input_scaling": 0.1,
}


def make_task(relevant: int, small: bool, seed: int) -> compare.Task:
    """Return the task with so many letters that count."""
    random = np.random.default_rng(seed)
    count, length = (100, 20) if small else (SEQUENCES, 100)
    X, y = temporal_order(count, length, relevant=relevant, seed=random)
    X_valid, y_valid = temporal_order(count // 5, length, relevant=relevant, seed=random)
    X_test, y_test = temporal_order(count // 2, length, relevant=relevant, seed=random)

    def right(model: Any) -> float:
        return float(model.score(X_test, y_test))

    settings = SETTINGS | ({"epochs": 1} if small else {})
    return compare.Task(
        title=f"temporal order, {relevant} letters, {length} steps",
        metric="right",
        lag=length,
        parameters=400 if small else 5000,
        trained=compare.Recipe(
            fr.models.SequenceClassifier, settings, (X, y), right, validation=(X_valid, y_valid)
        ),
        reservoir=compare.Recipe(fr.models.EchoStateClassifier, RESERVOIR, (X, y), right),
        own={"IRNN": {"learning_rate": 0.0005}},
    )


def main() -> None:
    """Compare the networks."""
    parser = compare.parser(__doc__)
    parser.add_argument("--relevant", type=int, choices=[2, 3], default=2)
    arguments = parser.parse_args()
    compare.run(lambda seed: make_task(arguments.relevant, arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
