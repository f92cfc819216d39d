"""Models with ``fit`` and small data for each, as the tests of their precisions use them."""

from functools import cache
from typing import NamedTuple

import numpy as np

import fastrnn as fr
from fastrnn import models

ATTENTION = (fr.layers.AdditiveAttention, fr.layers.MultiplicativeAttention, fr.layers.AttentionPooling)
NARROW = ("bfloat16", "int8")
COMMON = {"hidden_size": 12, "embedding_size": 8, "epochs": 8, "learning_rate": 0.02, "random_state": 0}


class Case(NamedTuple):
    """A model, its training data, unseen data, and what it says of data, as one array of numbers.

    Attributes
    ----------
    margin : float
        How far from float32's the numbers of int8 may be: about four times what was measured.
    """

    kind: type
    settings: dict
    training: tuple
    unseen: tuple
    numbers: object
    margin: float

    def make(self, **settings):
        return self.kind(**{**COMMON, **self.settings, **settings})


def words(count, seed):
    """Return words of two made-up languages: the last vowel tells which."""
    random = np.random.default_rng(seed)
    made = ["".join(random.choice([*"bdklmn"]) + random.choice([*"aeiou"]) for _ in range(n))
            for n in random.integers(1, 5, count)]  # fmt: skip
    return made, ["front" if word[-1] in "aei" else "back" for word in made]


def sentences(count, seed):
    """Return sentences of made-up words, and a tag for each: its ending tells which."""
    random = np.random.default_rng(seed)
    tags = [[str(random.choice(["B-X", "I-X", "O"])) for _ in range(n)] for n in random.integers(2, 7, count)]
    for row in tags:  # in the order of BIO
        for step, tag in enumerate(row):
            if tag == "I-X" and (step == 0 or row[step - 1] == "O"):
                row[step] = "B-X"
    endings = {"B-X": "ar", "I-X": "en", "O": "lo"}
    return [["".join(random.choice([*"bdfg"], 2)) + endings[tag] for tag in row] for row in tags], tags


def features(count, seed):
    random = np.random.default_rng(seed)
    X = [random.normal(size=(n, 3)) for n in random.integers(3, 9, count)]
    return X, [10 + 5 * float(x[:, 0].mean() - x[:, 1].max()) for x in X]


def series(count, seed):
    random = np.random.default_rng(seed)
    return 50 + 10 * np.sin(np.arange(count) * 2 * np.pi / 12) + random.normal(size=count), None


def pairs(count, seed):
    random = np.random.default_rng(seed)
    X = ["".join(random.choice([*"abcd"], n)) for n in random.integers(1, 6, count)]
    return X, [text[::-1].upper() for text in X]


def chords(count, seed):
    random = np.random.default_rng(seed)
    return None, [
        [[60 + (start + step) % 4, 64] for step in range(5)] for start in random.integers(0, 4, count)
    ]


def frames(count, seed):
    """Return two or three frames a symbol, and another after it, and the symbols."""
    random = np.random.default_rng(seed)
    y = ["".join(random.choice([*"abc"], 3)) for _ in range(count)]
    steps = [[step for s in text for step in ["abc".index(s)] * random.integers(2, 4) + [3]] for text in y]
    return [np.eye(4)[own] + 0.1 * random.normal(size=(len(own), 4)) for own in steps], y


def flat(rows):
    return np.concatenate([np.ravel(row) for row in rows])


def probabilities(model, X, y):
    return flat(model.predict_proba(X))


def likelihoods(model, X, y):
    return np.asarray(model.log_likelihood(X, y))


CASES = {
    "classifier": Case(
        models.SequenceClassifier, {}, words(150, 0), words(60, 1), probabilities, 0.01
    ),
    "attentive classifier": Case(
        models.SequenceClassifier, {"pooling": "attention", "cell": "gru", "num_layers": 2},
        words(150, 0), words(60, 1), probabilities, 0.005,
    ),
    "regressor": Case(
        models.SequenceRegressor, {"cell": "rnn", "pooling": "mean", "epochs": 20},
        features(120, 0), features(40, 1),
        lambda model, X, y: model.predict(X), 0.08,
    ),
    "tagger": Case(
        models.SequenceTagger, {"char_features": "gru", "char_hidden_size": 8, "char_embedding_size": 8},
        sentences(80, 0), sentences(30, 1), probabilities, 0.02,
    ),
    "CRF": Case(
        models.SequenceTagger,
        {"char_features": "lstm", "char_hidden_size": 8, "crf": True, "tag_scheme": "BIO"},
        sentences(80, 0), sentences(30, 1), probabilities, 0.005,
    ),
    "forecaster": Case(
        models.Forecaster, {"window": 24, "cell": "gru"}, series(150, 0), series(80, 1),
        lambda model, X, y: model.one_step_predictions(X)[1:], 0.2,
    ),
    "generator of texts": Case(
        models.SequenceGenerator, {}, words(100, 0)[::-1], words(40, 1)[::-1],
        likelihoods, 0.06,
    ),
    "generator of chords": Case(
        models.SequenceGenerator, {"cell": "gru"}, chords(60, 0), chords(20, 1), likelihoods, 0.006
    ),
    "generator of numbers": Case(
        models.SequenceGenerator, {"cell": "rnn", "numbers_as": "squared", "steps": "numbers"},
        (None, features(60, 0)[0]), (None, features(30, 1)[0]), likelihoods, 0.08,
    ),
    "translator": Case(
        models.Seq2Seq, {"epochs": 15}, pairs(150, 0), pairs(40, 1), likelihoods, 0.1
    ),
    "feeding translator": Case(
        models.Seq2Seq, {"attention": "multiplicative", "input_feeding": True, "beam_size": 3},
        pairs(150, 0), pairs(40, 1), likelihoods, 0.15,
    ),
    "transcriber": Case(
        models.Transcriber, {"stack_frames": 2}, frames(80, 0), frames(30, 1), probabilities, 0.015
    ),
}  # fmt: skip


@cache
def fitted(name, precision="float32"):
    """Return a fitted model; nobody changes it."""
    return CASES[name].make(precision=precision).fit(*CASES[name].training)


@cache
def quantized(name, precision):
    return fr.quantize(fitted(name), precision)


def numbers(name, model):
    found = np.asarray(CASES[name].numbers(model, *CASES[name].unseen))
    assert np.isfinite(found).all()
    return found


def parts_of(network):
    """Yield a network's layers that are no groups, without those of attention, which stay float32."""
    for part in getattr(network, "_modules", ()):
        if not isinstance(part, ATTENTION):
            yield from parts_of(part) if hasattr(part, "_modules") else [part]
