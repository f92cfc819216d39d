"""Seq2Seq as users see it: what it learns, how it decodes, its files, and what it says to wrong input."""

import numpy as np
import pytest

from fastrnn.models import Seq2Seq, SequenceClassifier
from fastrnn.train.checkpoint import CheckpointError

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


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attention": "multiplicative", "reverse_source": True},
        {"attention": None, "context": "both", "reverse_source": True, "epochs": 30},
        {"attention": "multiplicative", "input_feeding": True, "bidirectional": False, "epochs": 20},
        {"context": "input", "beam_size": 3},
    ],
    ids=["additive", "multiplicative, reversed", "no attention", "input feeding", "a beam"],
)
def test_it_learns_to_write_words_backwards(settings):
    model = small(**settings).fit(WORDS, MIRRORED)
    assert model.score(WORDS, MIRRORED) >= 0.9
    assert model.history_["loss"][-1] < 0.2 * model.history_["loss"][0]


def test_attention_says_which_letter_of_the_source_is_written(model):
    targets, weights = model.predict(["abcd", "cab"], return_attention=True)
    assert targets == ["DCBA", "BAC"]
    assert [own.shape for own in weights] == [(4, 4), (3, 3)]
    for own in weights:
        np.testing.assert_allclose(own.sum(axis=1), 1, atol=1e-5)
    assert model.predict(["abcd", "cab"]) == targets


def test_attention_is_in_the_order_of_a_source_that_is_read_backwards():
    model = small(reverse_source=True, bidirectional=False).fit(WORDS, [word[-1] for word in WORDS])
    _, (weights,) = model.predict(["dabc"], return_attention=True)
    same = small(bidirectional=False).fit([w[::-1] for w in WORDS], [w[-1] for w in WORDS])
    _, (mirrored,) = same.predict(["cbad"], return_attention=True)
    np.testing.assert_array_equal(weights, mirrored[:, ::-1])


def test_lists_of_words_become_lists_of_ids():
    X = [["the", "cat"], ["a", "dog"], ["the", "dog"], ["a", "cat"]] * 8
    y = [[1 if word in ("the", "a") else 7 for word in words] for words in X]
    model = small().fit(X, y)
    assert model.predict([["a", "cat"]]) == [[1, 7]]
    assert model.score(X, y) == 1.0


def test_texts_of_words_are_joined_by_spaces():
    X = ["one two", "two one", "two", "one"] * 8
    model = small(level="word").fit(X, [text.replace("one", "uno").replace("two", "due") for text in X])
    assert model.predict(["two one", "one"]) == ["due uno", "uno"]


def test_features_become_texts():
    random = np.random.default_rng(0)
    X = [random.normal(size=(size, 2)) * 0.5 + 3 * (size % 2) for size in random.integers(2, 6, size=80)]
    y = ["odd" if len(x) % 2 else "even" for x in X]
    model = small().fit(X, y)
    assert model.score(X, y) == 1.0
    assert model.n_features_in_ == 2


def test_unknown_words_are_copied_from_the_source():
    # Attention learns where a name is from those that are known.
    random = np.random.default_rng(0)
    names = [f"name{i}" if i % 2 else random.choice(["Ann", "Bob", "Cid", "Eve"]) for i in range(240)]
    X = [["hello", name, "!"] if random.random() < 0.5 else ["oh", "my", name] for name in map(str, names)]
    y = [["ciao", words[1]] if words[0] == "hello" else ["mio", words[2]] for words in X]
    model = small(copy=True, min_count=2).fit(X, y)
    new = [["hello", "Zoe", "!"], ["oh", "my", "Max"]]
    assert model.predict(new) == [["ciao", "Zoe"], ["mio", "Max"]]
    assert model.score(new, [["ciao", "Zoe"], ["mio", "Max"]]) == 1.0
    backwards = small(copy=True, min_count=2, reverse_source=True).fit(X, y)
    assert backwards.predict(new) == [["ciao", "Zoe"], ["mio", "Max"]]


def test_without_copy_no_unknown_symbol_is_predicted():
    X = [["hello", f"name{i}"] for i in range(40)]
    model = small(min_count=2).fit(X, X)
    assert all(word == "hello" for words in model.predict(X) for word in words)
    assert model.score(X, X) == 0.0


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


@pytest.mark.parametrize("beam_size", [1, 3])
def test_targets_are_at_most_max_length_long(model, beam_size):
    short = small(max_length=2, beam_size=beam_size)
    short._adopt(model)
    assert max(len(text) for text in short.predict(WORDS)) == 2


def test_the_likelihood_is_that_of_the_right_targets(model):
    likely = model.log_likelihood(["abcd", "abcd"], ["DCBA", "ABCD"])
    assert likely.dtype == np.float64
    assert likely[0] > -0.5 > -3 > likely[1]


def test_a_text_is_drawn_alike_in_a_batch_of_any_size(model):
    one, other = small(batch_size=7), small(batch_size=160)
    one._adopt(model), other._adopt(model)
    drawn = one.sample(WORDS, temperature=3.0, random_state=5)
    assert drawn == other.sample(WORDS, temperature=3.0, random_state=5)
    assert drawn != one.sample(WORDS, temperature=3.0, random_state=6)
    assert one.sample(WORDS, temperature=3.0, top_k=1) == one.predict(WORDS)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_predictions_do_not_depend_on_the_batch(beam_size):
    models = [small(epochs=2, beam_size=beam_size).fit(WORDS, MIRRORED) for _ in range(2)]
    models[1].set_params(batch_size=1)
    assert models[0].predict(WORDS[:40]) == models[1].predict(WORDS[:40])
    np.testing.assert_array_equal(*(model.log_likelihood(WORDS[:40], MIRRORED[:40]) for model in models))


@pytest.mark.parametrize(
    "settings",
    [{}, {"input_feeding": True, "context": "both", "attention": "multiplicative"}, {"attention": None}],
)
def test_a_saved_model_predicts_the_same(tmp_path, settings):
    model = small(epochs=1, **settings).fit(WORDS, MIRRORED)
    model.save(tmp_path / "m.safetensors")
    again = Seq2Seq.load(tmp_path / "m.safetensors")
    assert again.get_params() == model.get_params()
    assert again.predict(WORDS) == model.predict(WORDS)
    np.testing.assert_array_equal(
        again.log_likelihood(WORDS, MIRRORED), model.log_likelihood(WORDS, MIRRORED)
    )
    with pytest.raises(CheckpointError, match=r"expected a SequenceClassifier, got a Seq2Seq"):
        SequenceClassifier.load(tmp_path / "m.safetensors")


def test_the_same_random_state_gives_the_same_model():
    models = [small(epochs=2, dropout=0.2).fit(WORDS, MIRRORED) for _ in range(2)]
    np.testing.assert_array_equal(*(model.network_.parameters.flat for model in models))


def test_a_failed_fit_leaves_the_old_model(model):
    before = model.predict(WORDS[:5]), model.network_
    with pytest.raises(ValueError, match=r"y\[1\]: expected at least one step"):
        model.fit(["a", "b"], ["a", ""])
    assert (model.predict(WORDS[:5]), model.network_) == before


def test_partial_fit_goes_on():
    model = small()
    for _ in range(12):
        model.partial_fit(WORDS, MIRRORED)
    assert model.n_iter_ == 12
    assert model.score(WORDS, MIRRORED) >= 0.4
    assert model.history_["loss"][-1] < 0.4 * model.history_["loss"][0]


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


WRONG = {
    "context": ({"context": "states"}, r"context: expected .*'state'.*, got 'states'"),
    "attention": ({"attention": "dot"}, r"attention: expected .*'additive'.*, got 'dot'"),
    "input feeding without attention": (
        {"attention": None, "input_feeding": True}, r"input_feeding: expected False without attention",
    ),
    "copy without attention": (
        {"attention": None, "copy": True, "min_count": 2}, r"copy: expected False without attention",
    ),
    "copy of nothing": ({"copy": True}, r"min_count: expected at least 2 with copy=True, got 1"),
    "beam_size": ({"beam_size": 0}, r"beam_size: expected .*, got 0"),
    "max_length": ({"max_length": 0}, r"max_length: expected .*, got 0"),
    "length_penalty": ({"length_penalty": -1}, r"length_penalty: expected .*, got -1"),
    "label_smoothing": ({"label_smoothing": 1.0}, r"label_smoothing: expected .*, got 1"),
    "cell_options": ({"cell_options": {"context_size": 3}}, r"cell_options: expected no context_size"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_an_error_of_fit(case):
    settings, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        small(**settings).fit(WORDS, MIRRORED)


@pytest.mark.parametrize("name", ["input_feeding", "reverse_source", "copy"])
def test_a_flag_that_is_none_is_an_error_of_fit(name):
    with pytest.raises(TypeError, match=f"{name}: expected"):
        small(**{name: "yes"}).fit(WORDS, MIRRORED)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (["a", "b"], ["a"], ValueError, r"y: expected 2 entries, .* X\[1\] has none"),
        (["a", ""], ["a", "b"], ValueError, r"X\[1\]: expected at least one step"),
        ("ab", ["a", "b"], TypeError, r"X: expected a list of sequences, got one str"),
        (["a"], None, ValueError, r"y: requires y"),
        (["a"], [np.zeros((2, 2))], TypeError, r"y: expected texts, or lists of str or int, got features"),
        (["a", "b"], ["x", 3], ValueError, r"y\[1\]: expected a sequence of steps, got int"),
        ([np.array([[np.nan]])], ["a"], ValueError, r"X\[0\]: expected finite numbers, got NaN at step 0"),
    ],
)
def test_wrong_data_are_named(X, y, error, message):
    with pytest.raises(error, match=message):
        small().fit(X, y)


def test_features_cannot_be_copied():
    with pytest.raises(ValueError, match="copy: expected False for features"):
        small(copy=True, min_count=2).fit([np.zeros((2, 1))], ["a"])


def test_wrong_data_after_training_are_named(model):
    with pytest.raises(ValueError, match=r"y: expected 2 entries"):
        model.score(["a", "b"], ["A"])
    with pytest.raises(ValueError, match=r"y: expected 2 entries"):
        model.log_likelihood(["a", "b"], ["A"])
    with pytest.raises(TypeError, match="X: expected symbols"):
        model.predict([np.zeros((3, 2))])
    with pytest.raises(ValueError, match="temperature"):
        model.sample(["a"], temperature=-1)
    with pytest.raises(ValueError, match="return_attention: expected False"):
        small(attention=None, epochs=1).fit(WORDS, MIRRORED).predict(["a"], return_attention=True)


@pytest.mark.parametrize("method", ["predict", "sample", "score", "log_likelihood", "save"])
def test_a_model_must_be_fitted_first(method):
    arguments = {"score": (WORDS, MIRRORED), "log_likelihood": (WORDS, MIRRORED)}.get(method, (WORDS,))
    with pytest.raises(ValueError, match=f"not fitted yet; call fit before {method}"):
        getattr(small(), method)(*arguments)
