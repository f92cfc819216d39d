"""Transcribers: what they learn, decode, align and measure, their files, and what they refuse."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models import Transcriber
from fastrnn.models.edit_distance import edit_distance

SMALL = {"hidden_size": 12, "epochs": 10, "learning_rate": 0.02, "random_state": 0}


def frames_of(text, random, alphabet="abc"):
    """Return a noisy one-hot frame or more for each character, with another after it."""
    kinds = [k for c in text for k in [alphabet.index(c)] * random.integers(1, 4) + [len(alphabet)]]
    return np.eye(len(alphabet) + 1)[kinds] + 0.1 * random.normal(size=(len(kinds), len(alphabet) + 1))


def data(count=150, seed=0, alphabet="abc"):
    random = np.random.default_rng(seed)
    y = ["".join(random.choice(list(alphabet), size=random.integers(1, 5))) for _ in range(count)]
    return [frames_of(text, random, alphabet) for text in y], y


X, Y = data()
X_NEW, Y_NEW = data(30, seed=1)


@pytest.fixture(scope="module")
def fitted():
    return Transcriber(**SMALL).fit(X, Y)


def test_it_reads_new_sequences_it_was_not_trained_on(fitted):
    assert fitted.score(X_NEW, Y_NEW) == 1.0
    assert fitted.predict(X_NEW[:3]) == Y_NEW[:3]
    assert fitted.symbols_ == sorted("abc", key=lambda c: -"".join(Y).count(c))
    assert fitted.n_features_in_ == 4
    assert fitted.history_["loss"][-1] < 0.2 * fitted.history_["loss"][0]


def test_probabilities_are_of_the_blank_and_of_each_symbol_at_each_frame(fitted):
    probabilities = fitted.predict_proba(X_NEW)
    for x, text, own in zip(X_NEW, Y_NEW, probabilities, strict=True):
        assert own.shape == (len(x), 4)
        np.testing.assert_allclose(own.sum(axis=1), 1.0)
        path = own.argmax(axis=1)
        kept = path[(path > 0) & (np.diff(path, prepend=0) != 0)]
        assert "".join(fitted.symbols_[i - 1] for i in kept) == text


def test_the_alignment_names_each_symbol_and_frames_that_hold_it(fitted):
    x, text = X_NEW[0], Y_NEW[0]
    [aligned] = fitted.align([x], [text])
    assert [one.symbol for one in aligned] == list(text)
    ends = 0
    for symbol, start, stop in aligned:
        assert ends <= start < stop <= len(x)
        assert "abc"[x[max(0, start - 1) : stop + 1, :3].max(axis=0).argmax()] == symbol
        ends = stop


def test_joined_frames_are_aligned_in_frames_of_the_input():
    long = [np.repeat(x, 2, axis=0) for x in X]
    model = Transcriber(**SMALL, stack_frames=2).fit(long, Y)
    new = [np.repeat(x, 2, axis=0)[:-1] for x in X_NEW]  # the last joined frame is incomplete
    assert model.score(new, Y_NEW) >= 0.9
    assert [len(own) for own in model.predict_proba(new)] == [len(x) for x in X_NEW]
    for x, aligned in zip(new, model.align(new, Y_NEW), strict=True):
        assert all(one.start % 2 == 0 and one.stop in (len(x), one.stop // 2 * 2) for one in aligned)
        assert aligned[-1].stop <= len(x)


def test_words_and_tokens_are_symbols_as_well_as_characters():
    names = {"a": "left", "b": "right", "c": "stop"}
    words = [" ".join(names[c] for c in text) for text in Y]
    model = Transcriber(**SMALL, level="word").fit(X, words)
    assert sorted(model.symbols_) == ["left", "right", "stop"]
    assert model.predict(X[:5]) == words[:5]
    tokens = [["abc".index(c) for c in text] for text in Y]
    model = Transcriber(**SMALL).fit(X, tokens)
    assert model.predict(X[:5]) == tokens[:5]
    assert model.error_rate(X[:2], [tokens[0], [*tokens[1], 7]]) == 1 / (1 + len(tokens[0]) + len(tokens[1]))


def test_sequences_of_symbols_are_read_too():
    spelled = ["".join(c * 3 + "-" for c in text) for text in Y]
    model = Transcriber(**SMALL, embedding_size=8).fit(spelled, Y)
    assert model.score(spelled, Y) >= 0.95
    with pytest.raises(ValueError, match=r"^stack_frames: expected 1 for sequences of symbols, got 2$"):
        Transcriber(**SMALL, stack_frames=2).fit(spelled, Y)
    with pytest.raises(ValueError, match=r"^noise: expected 0 for sequences of symbols, got 0.1$"):
        Transcriber(**SMALL, noise=0.1).fit(spelled, Y)


def test_silence_has_an_empty_transcript():
    silence = [np.eye(4)[[3] * n] for n in range(3, 13)]
    model = Transcriber(**SMALL).fit(X + silence, Y + [""] * 10)
    assert model.predict(silence[:2]) == ["", ""]
    assert model.align(silence[:1], [""]) == [[]]
    assert model.error_rate(silence[:1] + X[:1], ["", Y[0]]) == 0.0


def test_a_wider_beam_reads_what_the_greedy_decoder_reads_and_weighs_a_language_model(fitted):
    few, texts = X_NEW[:8], Y_NEW[:8]
    assert fitted.predict(few, decoder="beam", beam_size=4) == texts
    assert fitted.set_params(decoder="beam", beam_size=4).predict(few) == texts
    fitted.set_params(decoder="greedy", beam_size=16)
    vocabulary = fr.data.Vocabulary("cab!", eos="!")
    language = fr.LanguageModel(4, hidden_size=4, num_layers=1, start=3, eos=3, seed=0)
    with language.parameters.edit() as views:
        views["output.weight"][...] = 0.0
        views["output.bias"][...] = [0.0, 30.0, 0.0, 0.0]  # it has only seen "a"
    model = {"language_model": language, "vocabulary": vocabulary, "beam_size": 4}
    assert fitted.predict(few, **model, lm_weight=0.0) == texts
    heavy = fitted.predict(few, **model, lm_weight=20.0, insertion_bonus=10.0)
    assert {*"".join(heavy)} == {"a"}
    assert fitted.score(few, texts, **model, lm_weight=0.0) == 1.0
    assert fitted.error_rate(few, texts, **model, lm_weight=20.0) > 0.3


def test_the_error_rate_counts_edits_of_symbols_and_of_words():
    random = np.random.default_rng(0)
    y = ["ab", "ba", "a", "b"] * 40
    texts = [" ".join(text) for text in y]
    X = [frames_of(text, random, "ab ") for text in texts]
    model = Transcriber(**SMALL).fit(X, texts)
    assert model.predict(X[:2]) == ["a b", "b a"]
    assert model.error_rate(X[:2], ["a b", "b a"], unit="word") == 0.0
    assert model.error_rate(X[:2], ["a b", "bb a"], unit="word") == 0.25
    assert model.error_rate(X[:2], ["a b", "bb a"]) == 1 / 7
    assert model.score(X[:2], ["a b", "bb a"]) == 0.5
    assert model.score(X[:2], ["a b", "x"]) == 0.5  # an unseen symbol is an error, not a mistake in the data
    with pytest.raises(ValueError, match=r"^y: expected at least one word, got none in 1 rows$"):
        model.error_rate(X[:1], [" "], unit="word")


@pytest.mark.parametrize(
    ("found", "wanted", "edits"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("", "ab", 2),
        ("abcd", "acd", 1),
        ("flaw", "lawn", 2),
        ("intention", "execution", 5),
    ],
)
def test_the_edit_distance_is_the_fewest_edits(found, wanted, edits):
    assert edit_distance(found, wanted) == edit_distance(wanted, found) == edits


def test_augmentation_and_the_whole_training_repeat_with_the_random_state():
    settings = {**SMALL, "epochs": 2, "noise": 0.3, "time_mask": 2, "feature_mask": 1, "dropout": 0.1}
    first, second = (Transcriber(**settings).fit(X, Y) for _ in range(2))
    other = Transcriber(**{**settings, "random_state": 1}).fit(X, Y)
    assert np.array_equal(first.network_.parameters.flat, second.network_.parameters.flat)
    assert not np.array_equal(first.network_.parameters.flat, other.network_.parameters.flat)


def test_a_saved_model_returns_the_same_bits(fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    model = Transcriber(**SMALL, stack_frames=2, decoder="beam", noise=0.1).set_params(epochs=1)
    long = [np.repeat(x, 2, axis=0) for x in X]
    model.fit(long, Y).save(path)
    again = Transcriber.load(path)
    assert again.get_params() == model.get_params()
    assert again.symbols_ == model.symbols_
    for one, two in zip(model.predict_proba(long), again.predict_proba(long), strict=True):
        assert np.array_equal(one, two)
    fitted.save(path)
    assert Transcriber.load(path).predict(X_NEW) == fitted.predict(X_NEW)
    with pytest.raises(ValueError, match="expected a SequenceClassifier, got a Transcriber"):
        fr.models.SequenceClassifier.load(path)


def test_partial_fit_goes_on_and_knows_symbols_that_come_later():
    model = Transcriber(**SMALL)
    firsts = [i for i, text in enumerate(Y) if "c" not in text]
    model.partial_fit([X[i] for i in firsts], [Y[i] for i in firsts], symbols="abc")
    for _ in range(12):
        model.partial_fit(X, Y)
    assert model.score(X, Y) >= 0.9
    assert model.n_iter_ == 13
    with pytest.raises(
        ValueError, match=r"^y\[1\]: expected symbols seen in training, got 'd' at position 1$"
    ):
        model.partial_fit(X[:2], ["a", "ad"])


def test_it_is_an_estimator_of_scikit_learn(sklearn, fitted):
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "network_")
    assert fitted.set_params(beam_size=16) is fitted
    assert len(cross_val_score(Transcriber(**{**SMALL, "epochs": 1}), X[:20], Y[:20], cv=2)) == 2


def test_a_validation_set_is_scored_after_each_epoch():
    model = Transcriber(**{**SMALL, "epochs": 3}).fit(X, Y, validation=(X_NEW, Y_NEW))
    assert len(model.history_["validation_score"]) == 3
    assert model.history_["validation_score"][-1] == model.score(X_NEW, Y_NEW)
    stopped = Transcriber(**{**SMALL, "epochs": 20}, early_stopping=True, n_iter_no_change=2).fit(X, Y)
    assert stopped.n_iter_ < 20


BAD = {
    "too few frames": (
        {}, [X[0], np.zeros((2, 4))], ["a", "aa"],
        r"^y\[1\]: 2 symbols need 3 frames \(1 between equals\), but X\[1\] has 2$",
    ),
    "too few joined frames": (
        {"stack_frames": 3}, [X[0], np.zeros((4, 4))], ["a", "abc"],
        r"^y\[1\]: 3 symbols need 3 frames, but X\[1\] has 2: 4, joined by stack_frames=3$",
    ),
    "no targets": ({}, X[:2], None, r"^y: requires y to be passed"),
    "one text": ({}, X[:2], "ab", r"^y: expected a list of sequences, got one str; write \[y\]$"),
    "a target too few": (
        {}, X[:2], ["a"],
        r"^y: expected 2 entries, one for each sequence of X, got 1: X\[1\] has none$",
    ),
    "empty transcripts": (
        {}, X[:2], ["", ""],
        r"^y: expected at least one symbol, got empty transcripts alone$",
    ),
    "a list after a text": (
        {}, X[:2], ["a", ["a"]],
        r"^y\[1\]: expected a str as in the other rows, got list$",
    ),
    "a text after a list": (
        {}, X[:2], [["a"], "a"],
        r"^y\[1\]: expected a list of tokens as in y\[0\], got a str$",
    ),
    "a number": ({}, X[:2], [1, 2], r"^y\[0\]: expected a str or a list of tokens, got int$"),
    "a float token": ({}, X[:2], [[1.5], [2]], r"^y\[0\]\[0\]: expected a str or an int, got float$"),
    "an empty sequence": (
        {}, [X[0], np.zeros((0, 4))], ["a", "b"],
        r"^X\[1\]: expected at least one step, got an empty sequence$",
    ),
    "NaN": (
        {}, [X[0], np.full((3, 4), np.nan)], ["a", "b"],
        r"^X\[1\]: expected finite numbers, got NaN at step 0$",
    ),
    "stack_frames": ({"stack_frames": 0}, X[:2], Y[:2], r"^stack_frames: expected 1 or more, got 0$"),
    "noise": ({"noise": -1.0}, X[:2], Y[:2], r"^noise: expected"),
    "time_mask": ({"time_mask": 1.5}, X[:2], Y[:2], r"^time_mask: expected"),
    "masks": ({"masks": 0}, X[:2], Y[:2], r"^masks: expected 1 or more, got 0$"),
    "decoder": ({"decoder": "viterbi"}, X[:2], Y[:2], r"^decoder: expected"),
    "beam_size": ({"beam_size": 0}, X[:2], Y[:2], r"^beam_size: expected 1 or more, got 0$"),
    "level": ({"level": "line"}, X[:2], Y[:2], r"^level: expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_row_and_leaves_the_model_as_it_was(case, fitted):
    settings, inputs, targets, message = BAD[case]
    model = Transcriber(**SMALL)
    model._adopt(fitted)
    before = model.network_
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_params(**settings).fit(inputs, targets)
    assert model.network_ is before


def test_questions_to_a_model_that_is_not_fitted_or_with_bad_arguments_are_refused(fitted):
    with pytest.raises((ValueError, AttributeError), match="call fit before predict"):
        Transcriber().predict(X)
    with pytest.raises(
        ValueError, match=r"^y\[0\]: expected symbols seen in training, got 'z' at position 0$"
    ):
        fitted.align(X[:1], ["z"])
    with pytest.raises(ValueError, match=r"^y: expected 1 entries"):
        fitted.score(X[:1], ["a", "b"])
    with pytest.raises(ValueError, match=r"^X.0.: expected 4 features at each step, got 3$"):
        fitted.predict([np.zeros((5, 3))])
    with pytest.raises(ValueError, match=r"^unit: expected"):
        fitted.error_rate(X[:1], Y[:1], unit="line")
    language = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    abc, abd = fr.data.Vocabulary("abc"), fr.data.Vocabulary("abd")
    for arguments, message in [
        ({"vocabulary": abc}, r"^vocabulary: expected None without a language_model$"),
        ({"language_model": language}, r"^vocabulary: expected that of the language_model, got None"),
        (
            {"language_model": language, "vocabulary": abd},
            "^vocabulary: expected every symbol .* 'c' is missing",
        ),
        (
            {"language_model": language, "vocabulary": fr.data.Vocabulary("abcd")},
            "^vocabulary: expected the 3 symbols",
        ),
        ({"language_model": language, "vocabulary": abc, "decoder": "greedy"}, r"^decoder: expected 'beam'"),
        ({"language_model": "lm", "vocabulary": abc}, r"^language_model: expected a LanguageModel, got str$"),
        ({"language_model": language, "vocabulary": "abc"}, r"^vocabulary: expected a Vocabulary, got str$"),
        ({"language_model": language, "vocabulary": abc, "lm_weight": -1.0}, r"^lm_weight: expected"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            fitted.predict(X[:1], **arguments)
