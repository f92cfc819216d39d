"""Find islands in DNA: a tagger beside the best that is possible, as the hidden Markov model is known.

    python examples/cpg_islands.py

In mammals C is rarely followed by G, except in CpG islands. The model of Durbin et al. (1998), "Biological
Sequence Analysis", chapter 3, has eight states, each letter inside of an island (+) and outside (-); a state
emits its letter. Sequences are drawn from it, and the tagger learns from them which letters are in an island.
No tagger can be right at more steps, on average, than one that knows the model and takes at each step the
likelier side (posterior decoding by the forward-backward algorithm, below).

Measured with seeds 0, 1 and 2, 400 new sequences each: the tagger is right at 88.38, 88.63 and 87.83 % of the
letters, posterior decoding at 88.58, 88.75 and 87.87 %. Half a minute for each on one core of a busy machine.
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
SEQUENCES, LENGTH = 800, (200, 400)  # to learn from, and their shortest and longest
SETTINGS = {
    "cell": "gru",
    "hidden_size": 32,  # units in each direction
    "embedding_size": None,  # letters as one-hot vectors
    "epochs": 20,
    "batch_size": 16,
    "learning_rate": 0.01,
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a training for each")
    arguments = parser.parse_args()
    count, settings, seeds = SEQUENCES, dict(SETTINGS), arguments.seeds
    if arguments.small:
        count, settings["epochs"], settings["hidden_size"], seeds = 60, 4, 16, [0]

    print(f"{count} sequences to learn from, {count // 2} to tag; letters that are right")
    print("seed  all outside  tagger  posterior decoding  difference of probabilities  time")
    for seed in seeds:
        random = np.random.default_rng(seed)
        X, y = draw(count, LENGTH, random)
        X_new, y_new = draw(count // 2, LENGTH, random)
        truth = np.concatenate([[side == "+" for side in islands] for islands in y_new])

        started = time.perf_counter()
        model = SequenceTagger(**settings, random_state=seed).fit(X, y)
        seconds = time.perf_counter() - started
        column = model.classes_.tolist().index("+")
        learned = np.concatenate([p[:, column] for p in model.predict_proba(X_new)])
        known = np.concatenate([posterior(text) for text in X_new])
        right = [np.mean((p >= 0.5) == truth) for p in (learned, known)]
        print(
            f"{seed:4}  {1 - truth.mean():11.2%}  {right[0]:6.2%}  {right[1]:18.2%}  "
            f"{np.abs(learned - known).mean():27.3f}  {seconds:3.0f} s"
        )

    width = 100
    found = model.predict(X_new[:1])[0]
    print(f"\n{X_new[0][:width]}\n{y_new[0][:width]} the truth\n{found[:width]} the tagger")


if __name__ == "__main__":
    main()
