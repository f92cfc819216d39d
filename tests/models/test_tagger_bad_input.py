"""What sequence taggers refuse: each message names the row, what was expected and what came."""

import re

import numpy as np
import pytest

from fastrnn.models import SequenceTagger

WORDS = [["the", "old", "dog", "sleeps"], ["a", "cat", "sees", "the", "dog"], ["she", "sleeps"]] * 4
TAGS = [["DET", "ADJ", "NOUN", "VERB"], ["DET", "NOUN", "VERB", "DET", "NOUN"], ["PRON", "VERB"]] * 4
NAMES = [["Ada", "Lovelace", "met", "Babbage"], ["they", "met", "in", "London"]] * 4
ENTITIES = [["B-PER", "I-PER", "O", "B-PER"], ["O", "O", "O", "B-LOC"]] * 4


def small(**options):
    return SequenceTagger(
        **{"hidden_size": 8, "embedding_size": 8, "epochs": 1, "random_state": 0, **options}
    )


BAD = {
    "one tag too few": (
        {}, WORDS, [*TAGS[:3], TAGS[3][:3], *TAGS[4:]], ValueError,
        "y[3]: expected 4 tags, one for each step of X[3], got 3",
    ),
    "one sequence too few": (
        {}, WORDS[:3], TAGS[:2], ValueError,
        "y: expected 3 entries, one for each sequence of X, got 2: X[2] has none",
    ),
    "no targets": ({}, WORDS, None, ValueError, "y: requires y to be passed, but the target y is None"),
    "a class for each sequence": (
        {}, WORDS, list(range(12)), TypeError,
        "y[0]: expected a sequence of tags, one for each step of X[0], got int; one class for a whole "
        "sequence is for SequenceClassifier",
    ),
    "one tag in all": (
        {}, [["a"], ["b"]], [["X"], ["X"]], ValueError,
        "y: expected at least 2 tags, got one, 'X', in all 2 sequences",
    ),
    "no known tag": (
        {}, [["a"]], [[None]], ValueError,
        "y: expected at least 2 tags, got none: no step has one that is known",
    ),
    "no label": ({}, [["a"]], [[set()]], ValueError, "y: expected at least one label, got none at any step"),
    "an empty sequence": (
        {}, [["a"], []], [["X"], []], ValueError, "X[1]: expected at least one step, got an empty sequence",
    ),
    "a fraction": (
        {}, [["a", "b"]], [["X", 0.5]], ValueError,
        "y[0][1]: Unknown label type: expected a str or an integer, got 0.5",
    ),
    "NaN": (
        {}, [["a", "b"]], [["X", float("nan")]], ValueError,
        "y[0][1]: expected a label, got nan (Input y contains NaN or infinity)",
    ),
    "str and int": (
        {}, [["a", "b"]], [["X", 2]], TypeError,
        "y: expected labels that are all str or all integers, got both",
    ),
    "a tag among sets": (
        {}, [["a", "b"]], [[{"X"}, "Y"]], TypeError,
        "y[0][1]: expected a set of labels, got str; in other steps there are sets",
    ),
    "a matrix among lists": (
        {}, [["a"], ["b"]], [["X"], np.zeros((1, 2))], TypeError,
        "y[0]: expected a matrix of 0 and 1, as others are, got none",
    ),
    "a matrix of numbers": (
        {}, [["a"]], [np.array([[2, 0]])], ValueError,
        "y[0]: expected 0 and 1, or -1 for what is not known",
    ),
    "matrices of different widths": (
        {}, [["a"], ["b"]], [np.zeros((1, 2)), np.zeros((1, 3))], ValueError,
        "y[1]: expected 0 and 1 [T, 2], got [1, 3]",
    ),
    "a cube": (
        {}, [["a"]], [np.zeros((1, 2, 3))], ValueError,
        "y[0]: expected tags [T], or 0 and 1 [T, K], got [1, 2, 3]",
    ),
    "NaN features": (
        {}, [np.array([[0.0], [np.nan]])], [["X", "Y"]], ValueError,
        "X[0]: expected finite numbers, got NaN at step 1",
    ),
    "an unknown weight": (
        {"class_weight": {"Z": 2.0}}, [["a", "b"]], [["X", "Y"]], ValueError,
        "class_weight[0]: expected a label seen in training, one of 'X', 'Y', got 'Z'",
    ),
    "a negative weight": (
        {"class_weight": {"X": -1.0}}, [["a", "b"]], [["X", "Y"]], ValueError, "class_weight['X']: expected",
    ),
    "weights of a CRF": (
        {"class_weight": "balanced", "crf": True}, WORDS, TAGS, ValueError,
        "class_weight: expected None with crf=True, as its loss is that of whole sequences",
    ),
    "sets with a CRF": (
        {"crf": True}, [["a", "b"]], [[{"X"}, {"Y"}]], ValueError,
        "crf: expected False with several labels at a step",
    ),
    "a scheme without a CRF": (
        {"tag_scheme": "BIO"}, NAMES, ENTITIES, ValueError,
        "tag_scheme: expected None without a CRF; write crf=True",
    ),
    "an unknown scheme": (
        {"tag_scheme": "IOB1", "crf": True}, NAMES, ENTITIES, ValueError, "tag_scheme: expected",
    ),
    "tags that are not of the scheme": (
        {"tag_scheme": "BIO", "crf": True}, WORDS, TAGS, ValueError,
        "tags: expected 'O' or names such as 'B-PER' and 'I-PER', got 'ADJ' at position 0",
    ),
    "tags out of order": (
        {"tag_scheme": "BIO", "crf": True}, [["a", "b"], ["c", "d"]], [["B-X", "I-X"], ["O", "I-X"]],
        ValueError,
        "y[1]: expected tags in the order of BIO, got 'I-X' at step 1 after 'O'; correct it, or write "
        "tag_scheme=None",
    ),
    "characters of features": (
        {"char_features": "gru"}, [np.zeros((2, 1))], [["X", "Y"]], TypeError,
        "char_features: expected sequences of words, got features; write None",
    ),
    "characters of ids": (
        {"char_features": "gru"}, [[1, 2]], [["X", "Y"]], TypeError,
        "X[0]: expected words (str) with char_features, got ids",
    ),
    "characters of characters": (
        {"char_features": "gru"}, ["ab"], [["X", "Y"]], ValueError,
        'char_features: expected sequences of words, got characters; write level="word", or give lists of '
        "words",
    ),
    "characters without vectors": (
        {"char_features": "gru", "embedding_size": None}, WORDS, TAGS, ValueError,
        "embedding_size: expected a number with char_features, got None",
    ),
    "an unknown cell": ({"char_features": "cnn"}, WORDS, TAGS, ValueError, "char_features: expected"),
    "a size of 0": (
        {"char_features": "gru", "char_hidden_size": 0}, WORDS, TAGS, ValueError,
        "char_hidden_size: expected",
    ),
    "a threshold above 1": ({"threshold": 2.0}, WORDS, TAGS, ValueError, "threshold: expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    options, X, y, kind, message = BAD[case]
    model = small(**options)
    with pytest.raises(kind, match="^" + re.escape(message)):
        model.fit(X, y)
    assert not hasattr(model, "network_")


def test_predicting_before_fitting_is_refused():
    for method in ("predict", "predict_proba"):
        # scikit-learn's NotFittedError, where it is loaded, has the same bases
        with pytest.raises(ValueError, match=f"not fitted yet; call fit before {method}"):
            getattr(SequenceTagger(), method)(WORDS)


def test_what_comes_after_training_is_checked_like_it():
    model = small().fit(WORDS, TAGS)
    with pytest.raises(
        ValueError, match=r"^y\[1\]\[0\]: expected a label seen in training, one of 'ADJ', .*got 'X'"
    ):
        model.score(WORDS[:2], [TAGS[0], ["X"] * 5])
    with pytest.raises(ValueError, match=r"^y\[0\]: expected 4 tags, one for each step of X\[0\], got 5$"):
        model.score(WORDS[:1], [TAGS[1]])
    with pytest.raises(TypeError, match="expected symbols"):
        model.predict([[0.5, 1.5]])
    with pytest.raises(ValueError, match="one step at least"):
        model.score(WORDS[:1], [[None] * 4])


def test_tags_that_cannot_be_filled_in_are_refused():
    X, y = [["a", "b", "c"], ["a", "b", "c"]], [["B-X", "I-X", "O"], ["B-Y", None, "I-X"]]
    model = small(crf=True, tag_scheme="BIO")
    assert model.fit(X, y).n_iter_ == 1  # B-X, or I-X, may stand in between
    with pytest.raises(ValueError, match=r"^y\[0\]: expected .* got 'I-X' at step 0 at the beginning;"):
        model.fit(X, [["I-X", "B-X", "O"], ["B-Y", "O", "O"]])
    scheme = small(crf=True, tag_scheme="BIOES")
    with pytest.raises(ValueError, match=r"^y\[0\]: expected .* got the end after 'B-X';"):
        scheme.fit(X, [["O", "O", "B-X"], ["B-X", "E-X", "O"]])
