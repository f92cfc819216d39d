"""The embedded Reber grammar: which symbols may come next, and one of the first comes back at the end.

    python examples/long_term/reber.py

Experiment 1 of Hochreiter and Schmidhuber (1997). A string counts as right if at each of its steps the k most
probable symbols are the k legal ones: for the last but one this is the symbol that the string began with.
A tenth of all strings, drawn at random, is for the test, and as many for validation: these do not occur in
training.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import compare
import fastrnn as fr
from fastrnn.data.synthetic import embedded_reber, legal_continuations

STRINGS = 4000  # drawn for training, the held-out ones among them
SETTINGS = {
    "bidirectional": False,
    "embedding_size": None,
    "unknown_alpha": 0.0,  # all symbols are known
    "batch_size": 50,
    "epochs": 40,
    "learning_rate": 0.01,
}


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

    return compare.Task(
        title="embedded Reber grammar",
        metric="strings right; steps right; last symbol but one right",
        model=fr.models.SequenceTagger,
        settings=SETTINGS | ({"epochs": 1} if small else {}),
        training=pairs(training),
        validation=pairs(validation),
        measure=lambda model: measure(model, test),
        lag=20,
        parameters=400 if small else 3000,
        own={"IRNN": {"learning_rate": 0.001}},
    )


def measure(model: Any, strings: list[str]) -> tuple[float, float, float]:
    """Return the fractions of strings, of steps and of last symbols but one that are right."""
    symbols = model.classes_.tolist()
    steps, last = [], []
    for text, probabilities in zip(
        strings, model.predict_proba([text[:-1] for text in strings]), strict=True
    ):
        right = []
        for legal, p in zip(legal_continuations(text, embedded=True)[1:-1], probabilities, strict=True):
            best = [symbols[i] for i in np.argsort(-p)[: len(legal)]]
            right.append(set(best) == set(legal))
        steps.append(right)
        last.append(right[-2])
    every = [right for one in steps for right in one]
    return float(np.mean([all(one) for one in steps])), float(np.mean(every)), float(np.mean(last))


def main() -> None:
    """Compare the networks."""
    arguments = compare.parser(__doc__).parse_args()
    compare.run(lambda seed: make_task(arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
