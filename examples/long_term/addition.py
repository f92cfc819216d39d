"""Addition of numbers read as characters: ``12+345=`` in, and then ``357`` out.

    python examples/long_term/addition.py
    python examples/long_term/addition.py --digits 3

All digits of the sum must be known when the ``=`` is read, as nothing comes after it (Zaremba and Sutskever
2014, "Learning to Execute", with digits that the network does not read back). A sum counts as right if all
its characters are. A tenth of all sums, drawn at random, is for the test, and as many for validation.

Measured with seed 0, about 10,000 parameters each, 8 to 11 seconds of one thread (ESN 1): LSTM 85 %, GRU
78 %, vanilla 58 %, skip 55 %, leaky 42 %, minGRU 8 %, IRNN 3 %, and the ESN none.
"""

from __future__ import annotations

import numpy as np

import compare
import fastrnn as fr
from fastrnn.data.synthetic import character_addition

SUMS = 20_000  # drawn, the held-out ones among them
SETTINGS = {
    "bidirectional": False,
    "embedding_size": None,
    "unknown_alpha": 0.0,  # all symbols are known
    "batch_size": 64,
    "epochs": 20,
    "learning_rate": 0.01,
}
RESERVOIR = {"spectral_radius": 0.9, "input_scaling": 0.5}
SYMBOLS = "0123456789+= ."


def as_steps(sums: tuple[list[str], list[str]], digits: int) -> tuple[list[str], list[str]]:
    """Return texts to read and what to answer at each step: dots while the sum is read, spaces after it."""
    answers = [total.ljust(digits + 1) for total in sums[1]]
    X = [f"{text}=".ljust(len(text) + len(answer)) for text, answer in zip(sums[0], answers, strict=True)]
    return X, [answer.rjust(len(text), ".") for text, answer in zip(X, answers, strict=True)]


def make_task(digits: int, small: bool, seed: int) -> compare.Task:
    """Return the task with numbers of at most so many digits."""
    sums = character_addition(200 if small else SUMS, digits, seed=seed)
    different = sorted(set(sums[0]))
    held_out = np.random.default_rng(seed).permutation(different)[: len(different) // 5].tolist()
    answers = dict(zip(*sums, strict=True))
    test, validation = (
        as_steps((texts, [answers[text] for text in texts]), digits)
        for texts in (held_out[::2], held_out[1::2])
    )
    excluded = set(held_out)
    training = [text for text in sums[0] if text not in excluded]
    training_steps = as_steps((training, [answers[text] for text in training]), digits)
    settings = SETTINGS | ({"epochs": 1} if small else {})
    return compare.Task(
        title=f"addition, numbers of 1 to {digits} digits",
        metric="sums right",
        lag=2 * digits + 2,
        parameters=800 if small else 10_000,
        trained=compare.Recipe(
            fr.models.SequenceTagger, settings, training_steps,
            lambda model: right(model.predict(test[0]), test[1]), validation=validation,
        ),
        reservoir=compare.Recipe(
            fr.models.EchoStateNetwork, RESERVOIR,
            tuple(compare.one_hot(part, SYMBOLS) for part in training_steps),
            lambda model: right(read(model, test[0]), test[1]),
        ),
        own={"IRNN": {"learning_rate": 0.001}},
    )  # fmt: skip


def read(model: fr.models.EchoStateNetwork, texts: list[str]) -> list[str]:
    """Return the answers of an ESN."""
    outputs = model.predict(compare.one_hot(texts, SYMBOLS))
    return ["".join(SYMBOLS[i] for i in one.argmax(axis=1)) for one in outputs]


def right(answers: list[str], wanted: list[str]) -> float:
    """Return the fraction of sums of which all characters are right."""
    return sum(a == b for a, b in zip(answers, wanted, strict=True)) / len(wanted)


def main() -> None:
    """Compare the networks."""
    parser = compare.parser(__doc__)
    parser.add_argument("--digits", type=int, default=2)
    arguments = parser.parse_args()
    compare.run(lambda seed: make_task(arguments.digits, arguments.small, seed), arguments)


if __name__ == "__main__":
    main()
