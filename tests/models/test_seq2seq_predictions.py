"""Seq2Seq: features as sources, beams, penalties, samples, early stopping, scikit-learn, wrong features."""

import numpy as np
import pytest

from fastrnn.models import Seq2Seq

RANDOM = np.random.default_rng(0)
WORDS = ["".join(RANDOM.choice(list("abcd"), size=size)) for size in RANDOM.integers(1, 6, size=160)]
MIRRORED = [word[::-1].upper() for word in WORDS]


def small(**settings):
    settings = {
        "cell": "gru", "hidden_size": 24, "embedding_size": 12, "epochs": 14, "batch_size": 16,
        "learning_rate": 0.02, "random_state": 0, **settings,
    }  # fmt: skip
    return Seq2Seq(**settings)


@pytest.fixture(scope="module")
def model():
    return small().fit(WORDS, MIRRORED)


def test_features_become_texts():
    random = np.random.default_rng(0)
    X = [random.normal(size=(size, 2)) * 0.5 + 3 * (size % 2) for size in random.integers(2, 6, size=80)]
    y = ["odd" if len(x) % 2 else "even" for x in X]
    model = small().fit(X, y)
    assert model.score(X, y) == 1.0
    assert model.n_features_in_ == 2


def test_a_beam_finds_targets_at_least_as_likely_as_the_greedy_ones():
    model = small(epochs=2).fit(WORDS, MIRRORED)
    found = [model.set_params(beam_size=k).predict(WORDS) for k in (1, 8)]
    rows = [row for row, pair in enumerate(zip(*found, strict=True)) if all(pair)]  # none is empty
    X = [WORDS[row] for row in rows]
    greedy, beam = (model.log_likelihood(X, [targets[row] for row in rows]) for targets in found)
    assert (beam >= greedy - 1e-4).mean() >= 0.95
    assert beam.mean() > greedy.mean()


def test_a_length_penalty_favours_long_targets():
    model = small(epochs=2, beam_size=6).fit(WORDS, MIRRORED)
    sizes = [
        np.mean([len(text) for text in model.set_params(length_penalty=penalty).predict(WORDS)])
        for penalty in (0.0, 5.0)
    ]
    assert sizes[1] > sizes[0]


def test_a_text_is_drawn_alike_in_a_batch_of_any_size(model):
    one, other = small(batch_size=7), small(batch_size=160)
    one._adopt(model), other._adopt(model)
    drawn = one.sample(WORDS, temperature=3.0, random_state=5)
    assert drawn == other.sample(WORDS, temperature=3.0, random_state=5)
    assert drawn != one.sample(WORDS, temperature=3.0, random_state=6)
    assert one.sample(WORDS, temperature=3.0, top_k=1) == one.predict(WORDS)


def test_validation_and_early_stopping():
    model = small(epochs=30, early_stopping=True, n_iter_no_change=3).fit(WORDS, MIRRORED)
    scores = model.history_["validation_score"]
    assert len(scores) == model.n_iter_ < 30
    assert max(scores) > max(scores[:2])


def test_it_is_cloned_by_scikit_learn(sklearn):
    from sklearn.base import clone

    model = small(attention="multiplicative", beam_size=2)
    assert clone(model).get_params() == model.get_params()
    assert "beam_size=2" in repr(model)


def test_features_cannot_be_copied():
    with pytest.raises(ValueError, match="copy: expected False for features"):
        small(copy=True, min_count=2).fit([np.zeros((2, 1))], ["a"])


def test_copying_needs_symbols_that_are_unknown():
    with pytest.raises(ValueError, match="min_count: expected at least 2 with copy=True, got 1"):
        small(copy=True).fit(WORDS, MIRRORED)


def test_features_and_temperatures_that_are_wrong_are_named(model):
    with pytest.raises(ValueError, match=r"X\[0\]: expected finite numbers, got NaN at step 0"):
        small().fit([np.array([[np.nan]])], ["a"])
    with pytest.raises(TypeError, match="X: expected symbols"):
        model.predict([np.zeros((3, 2))])
    with pytest.raises(ValueError, match="temperature"):
        model.sample(["a"], temperature=-1)
