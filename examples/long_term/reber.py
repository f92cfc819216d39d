"""The embedded Reber grammar: which symbols may come next, and one of the first comes back at the end.

    python examples/long_term/reber.py

Experiment 1 of Hochreiter and Schmidhuber (1997). A string counts as right if at each of its steps the k most
probable symbols are the k legal ones: for the last but one this is the symbol that the string began with.
A tenth of all strings, drawn at random, is for the test, and as many for validation: these do not occur in
training.

Measured on about 195 strings with seeds 0, 1, 2, about 3,000 parameters each, 5 seconds each on one thread:
vanilla, leaky, skip, GRU and LSTM have 100 % right with each seed. The minGRU,
whose gates do not see the state, has 80 to 83 % right, the echo state network 45 to 52 %, and the IRNN,
trained with a tenth of the learning rate, 6 to 70 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import compare
import fastrnn as fr
from fastrnn.data.synthetic import embedded_reber, legal_continuations

STRINGS = 8000  # drawn for training, the held-out ones among them
SETTINGS = {
    "bidirectional": False,
    "embedding_size": None,
    "unknown_alpha": 0.0,  # all symbols are known
    "batch_size": 50,
    "epochs": 25,
    "learning_rate": 0.01,
}
RESERVOIR = {"spectral_radius": 0.6, "input_scaling": 1.0}
SYMBOLS = "BEPSTVX"


def make_task(small: bool, seed: int) -> compare.Task:
    """Return the task: each symbol but the last is tagged with the next one."""
    count = 200 if small else STRINGS
    strings = embedded_reber(5 * count, seed=seed)
    different = sorted(set(strings))
    held_out = np.random.default_rng(seed).permutation(different)[: len(different) // 5].tolist()
    validation, test = held_out[::2], held_out[1::2]
    excluded = set(held_out)
    training = [text for text in strings[:count] if text not in excluded]

    def pairs(texts: list[str]) -> tuple[list[str], list[str]]:
        return [text[:-1] for text in texts], [text[1:] for text in texts]

    settings = SETTINGS | ({"epochs": 1} if small else {})
    return compare.Task(
        title="embedded Reber grammar",
        metric="strings, steps, last symbols but one: right",
        lag=20,
        parameters=400 if small else 3000,
        trained=compare.Recipe(
            fr.models.SequenceTagger, settings, pairs(training),
            lambda model: right(test, model.predict_proba(pairs(test)[0]), model.classes_.tolist()),
            validation=pairs(validation),
        ),
        reservoir=compare.Recipe(
            fr.models.EchoStateNetwork, RESERVOIR,
            tuple(compare.one_hot(part, SYMBOLS) for part in pairs(training)),
            lambda model: right(test, model.predict(compare.one_hot(pairs(test)[0], SYMBOLS)), SYMBOLS),
        ),
        own={"IRNN": {"learning_rate": 0.001}},
    )  # fmt: skip


def right(strings: list[str], scores: Any, symbols: Sequence[str]) -> tuple[float, float, float]:
    """Return the fractions of strings, of steps and of last symbols but one that are right.

    Parameters
    ----------
    strings : list of str
    scores : list of ndarray, float [T - 1, V]
        For each symbol after the first, of each symbol.
    symbols : sequence of str
    """
    results = []
    for text, own in zip(strings, scores, strict=True):
        legal = legal_continuations(text, embedded=True)[1:-1]
        best = [{symbols[i] for i in np.argsort(-p)[: len(one)]} for p, one in zip(own, legal, strict=True)]
        results.append([a == set(b) for a, b in zip(best, legal, strict=True)])
    every = [step for one in results for step in one]
    whole, last = [all(one) for one in results], [one[-2] for one in results]
    return float(np.mean(whole)), float(np.mean(every)), float(np.mean(last))


def main() -> None:
    """Compare the networks."""
    arguments = compare.parser(__doc__).parse_args()
    compare.run(lambda seed: make_task(arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
