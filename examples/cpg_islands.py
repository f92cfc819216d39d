"""Find islands in DNA: a tagger beside the best that is possible, as the hidden Markov model is known.

    python examples/cpg_islands.py

In mammals C is rarely followed by G, except in CpG islands. The model of Durbin et al. (1998), "Biological
Sequence Analysis", chapter 3, has eight states, each letter inside of an island (+) and outside (-); a state
emits its letter. Sequences are drawn from it, and the tagger learns from them which letters are in an island.
No tagger can be right at more steps, on average, than one that knows the model and takes at each step the
likelier side (posterior decoding by the forward-backward algorithm, below).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from fastrnn.models import SequenceTagger

LETTERS = "ACGT"
# The next letter (column) after a letter (row), inside of islands and outside: table 3.1 of the book.
INSIDE = [
    [0.180, 0.274, 0.426, 0.120],
    [0.171, 0.368, 0.274, 0.188],
    [0.161, 0.339, 0.375, 0.125],
    [0.079, 0.355, 0.384, 0.182],
]
OUTSIDE = [
    [0.300, 0.205, 0.285, 0.210],
    [0.322, 0.298, 0.078, 0.302],
    [0.248, 0.246, 0.298, 0.208],
    [0.177, 0.239, 0.292, 0.292],
]
ENTER, LEAVE = 0.01, 0.02  # an island begins, or ends, before a letter with this probability
SEQUENCES, LENGTH = 400, (200, 400)  # to learn from, and their shortest and longest
SETTINGS = {
    "cell": "gru",
    "hidden_size": 32,  # units in each direction
    "embedding_size": None,  # letters as one-hot vectors
    "epochs": 20,
    "batch_size": 16,
    "learning_rate": 0.01,
    "random_state": 0,
}


def model_of_islands() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability of each of the 8 states at first [8], and after each other [8, 8].

    The state of letter a is a inside of an island, and 4 + a outside.
    """
    inside, outside = np.array(INSIDE), np.array(OUTSIDE)
    inside, outside = (table / table.sum(axis=1, keepdims=True) for table in (inside, outside))
    after = np.block([[(1 - LEAVE) * inside, LEAVE * outside], [ENTER * inside, (1 - ENTER) * outside]])
    # Where a long sequence is at any time: the left eigenvector of the eigenvalue 1.
    values, vectors = np.linalg.eig(after.T)
    first = np.abs(np.real(vectors[:, np.argmin(np.abs(values - 1))]))
    return first / first.sum(), after


def draw(count: int, lengths: tuple[int, int], random: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return sequences of letters, and for each a str with a + for each letter in an island, else a -."""
    first, after = model_of_islands()
    until, tables = np.cumsum(first), np.cumsum(after, axis=1)
    texts, islands = [], []
    for _ in range(count):
        state, states = int(np.searchsorted(until, random.random() * until[-1])), []
        for _ in range(int(random.integers(lengths[0], lengths[1] + 1))):
            states.append(state)
            state = int(np.searchsorted(tables[state], random.random() * tables[state, -1]))
        texts.append("".join(LETTERS[state % 4] for state in states))
        islands.append("".join("+-"[state // 4] for state in states))
    return texts, islands


def posterior(text: str) -> NDArray[np.float64]:
    """Return the probability [T] that each letter is in an island, given the text and the model."""
    first, after = model_of_islands()
    emitted = np.array([[letter == LETTERS[state % 4] for state in range(8)] for letter in text], float)
    forward, backward = np.empty((len(text), 8)), np.ones((len(text), 8))
    before = first
    for t in range(len(text)):
        forward[t] = before * emitted[t]
        forward[t] /= forward[t].sum()
        before = forward[t] @ after
    for t in range(len(text) - 2, -1, -1):
        backward[t] = after @ (emitted[t + 1] * backward[t + 1])
        backward[t] /= backward[t].sum()
    both = forward * backward
    return both[:, :4].sum(axis=1) / both.sum(axis=1)


def main() -> None:
    """Draw sequences, train, and compare with the decoding that knows the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a run of a few seconds")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    count, settings = SEQUENCES, {**SETTINGS, "random_state": arguments.seed}
    if arguments.small:
        count, settings["epochs"], settings["hidden_size"] = 40, 2, 16
    random = np.random.default_rng(arguments.seed)
    X, y = draw(count, LENGTH, random)
    X_new, y_new = draw(count // 2, LENGTH, random)
    truth = np.concatenate([[side == "+" for side in islands] for islands in y_new])

    started = time.perf_counter()
    model = SequenceTagger(**settings).fit(X, y)
    seconds = time.perf_counter() - started
    column = model.classes_.tolist().index("+")
    learned = np.concatenate([p[:, column] for p in model.predict_proba(X_new)])
    known = np.concatenate([posterior(text) for text in X_new])

    print(f"{count} sequences to learn from, {len(truth):,} letters to tag, {truth.mean():.1%} in islands")
    print(f"all outside                 {1 - truth.mean():.2%} right")
    print(f"the tagger                  {np.mean((learned >= 0.5) == truth):.2%} right   {seconds:.0f} s")
    print(f"posterior decoding          {np.mean((known >= 0.5) == truth):.2%} right")
    print(f"the probabilities differ by {np.abs(learned - known).mean():.3f} on average")
    print(f"\n{X_new[0][:100]}\n{y_new[0][:100]} the truth\n{model.predict(X_new[:1])[0][:100]} the tagger")


if __name__ == "__main__":
    main()
