"""Copy memory: repeat a few symbols after many blanks.

    python examples/long_term/copy_memory.py
    python examples/long_term/copy_memory.py --delay 100 --symbols 8 --length 10

Arjovsky, Shah, Bengio (2016) have 8 symbols, 10 of them, and delays of 100 to 750; here a smaller form is the
default. Counted are the symbols to repeat, without the blanks: who guesses has 1 / symbols right.

Measured with seed 0, about 5,000 parameters each, 20 to 26 seconds of one thread (minGRU 54, ESN 0.9): skip
and GRU 100 %, LSTM 97 %, IRNN 92 %, leaky 69 %, ESN 68 %, minGRU 58 %, vanilla 24 %.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import compare
import fastrnn as fr
from fastrnn.data.synthetic import copy_memory

SEQUENCES = 10_000  # of training
SETTINGS = {
    "bidirectional": False,  # nothing is known of what comes after
    "embedding_size": None,
    "unknown_alpha": 0.0,  # all symbols are known
    "batch_size": 50,
    "epochs": 30,
    "learning_rate": 0.01,
}


# Almost linear, a rotation: so inputs are kept as they are (White, Lee, Sompolinsky 2004).
RESERVOIR = {"topology": "orthogonal", "spectral_radius": 1.0, "input_scaling": 0.01}


def make_task(arguments: argparse.Namespace, seed: int) -> compare.Task:
    """Return the task: each id is tagged with the one to answer."""
    random = np.random.default_rng(seed)
    count, delay = (100, 10) if arguments.small else (SEQUENCES, arguments.delay)
    options = {"length": arguments.length, "symbols": arguments.symbols, "seed": random}
    X, y = copy_memory(count, delay, **options)
    X_valid, y_valid = copy_memory(count // 10, delay, **options)
    X_test, y_test = copy_memory(count // 10, delay, **options)

    every = range(arguments.symbols + 2)

    def right(answers: Any) -> float:
        return float((np.array(answers)[:, -arguments.length :] == y_test[:, -arguments.length :]).mean())

    def right_of_reservoir(model: Any) -> float:
        return right([one.argmax(axis=1) for one in model.predict(compare.one_hot(X_test, every))])

    settings = SETTINGS | ({"epochs": 1} if arguments.small else {})
    one_hot = compare.one_hot(X, every), compare.one_hot(y, every)
    return compare.Task(
        title=f"copy memory, {arguments.length} of {arguments.symbols} symbols after {delay} steps",
        metric="symbols right",
        lag=delay + arguments.length,
        parameters=400 if arguments.small else 5000,
        trained=compare.Recipe(
            fr.models.SequenceTagger, settings, (X, y),
            lambda model: right(model.predict(X_test)), validation=(X_valid, y_valid),
        ),
        reservoir=compare.Recipe(fr.models.EchoStateNetwork, RESERVOIR, one_hot, right_of_reservoir),
        own={"IRNN": {"learning_rate": 0.0005}},
    )  # fmt: skip


def main() -> None:
    """Compare the networks."""
    parser = compare.parser(__doc__)
    parser.add_argument("--delay", type=int, default=50)
    parser.add_argument("--length", type=int, default=3)
    parser.add_argument("--symbols", type=int, default=4)
    arguments = parser.parse_args()
    compare.run(lambda seed: make_task(arguments, seed), arguments)


if __name__ == "__main__":
    main()
