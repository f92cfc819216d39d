"""Sequence taggers: what they learn, the forms of their tags, files, and what they refuse."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import fastrnn as fr
from fastrnn.models import SequenceTagger

WORDS = [["the", "old", "dog", "sleeps"], ["a", "cat", "sees", "the", "dog"], ["she", "sleeps"]] * 4
TAGS = [["DET", "ADJ", "NOUN", "VERB"], ["DET", "NOUN", "VERB", "DET", "NOUN"], ["PRON", "VERB"]] * 4
NAMES = [["Ada", "Lovelace", "met", "Babbage"], ["they", "met", "in", "London"]] * 4
ENTITIES = [["B-PER", "I-PER", "O", "B-PER"], ["O", "O", "O", "B-LOC"]] * 4
SMALL = {"hidden_size": 8, "embedding_size": 8, "epochs": 20, "learning_rate": 0.02, "random_state": 0}


def small(**options):
    return SequenceTagger(**{**SMALL, **options})


def test_it_learns_tags_that_need_the_context_on_both_sides():
    random = np.random.default_rng(0)
    X = ["".join(random.choice(list("ab"), size=random.integers(2, 9))) for _ in range(120)]
    y = [["inside" if t and x[t - 1 : t + 2 : 2] == "aa" else "outside" for t in range(len(x))] for x in X]
    model = small(hidden_size=16, epochs=20).fit(X[:100], y[:100])
    assert model.score(X[100:], y[100:]) > 0.97


@pytest.mark.parametrize("options", [{}, {"crf": True}, {"char_features": "gru"}], ids=str)
def test_probabilities_go_with_predictions(options):
    model = small(epochs=3, **options).fit(WORDS, TAGS)
    probabilities = model.predict_proba(WORDS)
    predicted = model.predict(WORDS)
    for words, p, tags in zip(WORDS, probabilities, predicted, strict=True):
        assert p.shape == (len(words), 5)
        assert p.dtype == np.float64
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
        if not options.get("crf"):
            assert model.classes_[p.argmax(axis=1)].tolist() == tags
    right = np.concatenate(predicted) == np.concatenate(TAGS)
    assert model.score(WORDS, TAGS) == right.mean()


def test_predictions_do_not_depend_on_what_else_is_asked():
    model = small(epochs=2, char_features="lstm", crf=True).fit(WORDS, TAGS)
    all_together = model.predict_proba(WORDS)
    for row in (0, 1, 2):
        assert np.array_equal(model.predict_proba([WORDS[row]])[0], all_together[row])
    assert model.predict([*WORDS[:2], ["unseen"]])[:2] == model.predict(WORDS[:2])


def test_characters_tell_words_apart_that_training_did_not_have():
    random = np.random.default_rng(0)

    def word(ending):
        return "".join(random.choice(list("abcdefgh"), size=random.integers(2, 6))) + ending

    X = [[word(random.choice(["o", "s"])) for _ in range(5)] for _ in range(80)]
    y = [[{"o": "VERB", "s": "NOUN"}[w[-1]] for w in words] for words in X]
    words_alone = small().fit(X[:60], y[:60])
    with_characters = small(char_features="gru", char_hidden_size=8).fit(X[:60], y[:60])
    assert with_characters.score(X[60:], y[60:]) > 0.95
    assert words_alone.score(X[60:], y[60:]) < 0.8


def test_a_tag_scheme_keeps_to_its_order():
    model = small(crf=True, tag_scheme="BIO", epochs=1).fit(NAMES, ENTITIES)
    random = np.random.default_rng(0)
    vocabulary = sorted({word for words in NAMES for word in words})
    for tags in model.predict([random.choice(vocabulary, size=6).tolist() for _ in range(40)]):
        for before, after in zip(["O", *tags], tags, strict=False):
            assert after != "I-PER" or before in ("B-PER", "I-PER")
    forbidden = model.classes_.tolist().index("I-PER")
    assert all(p[0, forbidden] == 0 for p in model.predict_proba(NAMES))


def test_seqeval_takes_what_predict_returns(seqeval):
    from seqeval.metrics import f1_score

    model = small(crf=True, tag_scheme="BIO").fit(NAMES, ENTITIES)
    assert f1_score(ENTITIES, model.predict(NAMES)) == 1.0


@pytest.mark.parametrize("options", [{}, {"crf": True}], ids=str)
def test_unknown_tags_do_not_count(options):
    hidden = [[*tags[:1], None, *tags[2:]] for tags in TAGS]
    names = ["DET", "NOUN", "PRON", "VERB"]
    numbers = [[-1 if tag is None else names.index(tag) for tag in tags] for tags in hidden]
    model = small(epochs=2, **options).fit(WORDS, hidden)
    assert model.classes_.tolist() == names  # ADJ was hidden each time
    predicted = model.predict(WORDS)
    same = [a == b for p, h in zip(predicted, hidden, strict=True) for a, b in zip(p, h, strict=True) if b]
    assert model.score(WORDS, hidden) == np.mean(same)
    other = small(epochs=2, **options).fit(WORDS, [np.array(tags) for tags in numbers])
    assert np.array_equal(other.network_.parameters.flat, model.network_.parameters.flat)


def test_tags_have_the_form_that_they_had_in_training():
    X = ["abab", "ba"] * 4
    as_text = small().fit(X, ["xyxy", "yx"] * 4)
    assert as_text.predict(["bab"]) == ["yxy"]
    as_arrays = small().fit(X, [np.array([3, 7, 3, 7]), np.array([7, 3])] * 4)
    (tags,) = as_arrays.predict(["bab"])
    assert isinstance(tags, np.ndarray)
    assert tags.tolist() == [7, 3, 7]
    as_list = small().fit(X, [(3, 7, 3, 7), (7, 3)] * 4)
    assert as_list.predict(["bab"]) == [[7, 3, 7]]


def test_two_tags_are_one_question_with_a_threshold():
    X = ["abab", "ba", "aab"] * 4
    y = [[letter == "b" for letter in x] for x in X]
    model = small().fit(X, y)
    assert model.network_.output.out_features == 1
    assert model.classes_.tolist() == [False, True]
    assert model.predict(["bab"]) == [[True, False, True]]
    assert model.score(X, y) == 1.0
    assert model.set_params(threshold=0.0).predict(["bab"]) == [[True, True, True]]
    assert model.score(["ab"], [[False, True]]) == 0.5
    p = model.predict_proba(["bab"])[0]
    assert p.shape == (3, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_several_labels_at_a_step():
    X = ["abc", "ca", "bb", "acb"] * 4
    names = {"a": {"vowel", "first"}, "b": set(), "c": {"last"}}
    y = [[names[letter] for letter in x] for x in X]
    y[0] = [y[0][0], None, y[0][2]]
    model = small(epochs=40).fit(X, y)
    assert model.multilabel_
    assert model.classes_.tolist() == ["first", "last", "vowel"]
    assert model.predict(["cab"]) == [[{"last"}, {"vowel", "first"}, set()]]
    assert model.score(X, y) == 1.0
    matrices = [
        np.array([[label in names[letter] for label in model.classes_] for letter in x], int) for x in X
    ]
    matrices[1][0, 0] = -1
    other = small(epochs=40).fit(X, matrices)
    assert other.predict(["ca"])[0].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert other.predict_proba(["ca"])[0].shape == (2, 3)
    assert other.score(X, matrices) == 1.0


def test_features_at_each_step():
    random = np.random.default_rng(0)
    X = [random.normal(size=(random.integers(3, 9), 2)) for _ in range(60)]
    y = [["up" if step.sum() > 0 else "down" for step in x] for x in X]
    model = small().fit(X, y)
    assert model.n_features_in_ == 2
    assert model.score(X, y) > 0.95


def test_class_weights_move_predictions():
    random = np.random.default_rng(0)
    X = [random.integers(0, 2, size=5).tolist() for _ in range(60)]
    y = [["rare" if random.random() < 0.15 else "usual" for _ in x] for x in X]
    options = {**SMALL, "epochs": 4}

    def share(**more):
        predicted = SequenceTagger(**options, **more).fit(X, y).predict(X)
        return np.mean(np.concatenate(predicted) == "rare")

    plain, balanced = share(), share(class_weight="balanced")
    assert plain < 0.1 < balanced
    assert share(class_weight={"rare": 100.0}) > 0.9


def test_steps_after_the_end_of_a_sequence_have_no_labels_that_count():
    X, y = ["abab", "b"], [[{"A"}, {"B"}, {"A"}, {"B"}], [{"A", "B"}]]
    model = small(epochs=1).fit(X, y)
    batch = model._examples(X, y).batch(np.arange(2))
    assert batch.weights.tolist() == [[1, 1], [1, 0], [1, 0], [1, 0]]
    with model.network_.parameters.edit() as views:
        views["output.weight"][...], views["output.bias"][...] = 0.0, 1.0
    assert model.score(X, y) == 1 / 5  # both labels at each step


def test_class_weights_of_several_labels_are_those_of_their_presence():
    random = np.random.default_rng(0)
    X = [random.integers(0, 2, size=5).tolist() for _ in range(60)]
    y = [[{"rare"} if random.random() < 0.15 else set() for _ in x] for x in X]

    def mean(**more):
        model = small(epochs=4, **more).fit(X, y)
        return np.concatenate(model.predict_proba(X)).mean()

    assert mean() < 0.3 < mean(class_weight="balanced") < 0.55 < mean(class_weight={"rare": 100.0})


@pytest.mark.parametrize(
    ("options", "y"),
    [
        ({}, TAGS),
        ({"crf": True, "char_features": "lstm"}, TAGS),
        ({"class_weight": "balanced"}, [[tag == "NOUN" for tag in tags] for tags in TAGS]),
        ({"class_weight": "balanced"}, [[{tag, "word"} for tag in tags] for tags in TAGS]),
    ],
    ids=["softmax", "crf", "sigmoid", "sets"],
)
def test_a_loaded_model_is_the_saved_one_to_the_bit(tmp_path, options, y):
    model = small(epochs=2, **options).fit(WORDS, y)
    model.save(tmp_path / "tagger.safetensors")
    loaded = SequenceTagger.load(tmp_path / "tagger.safetensors")
    assert loaded.get_params() == model.get_params()
    assert loaded.predict(WORDS) == model.predict(WORDS)
    for ours, theirs in zip(model.predict_proba(WORDS), loaded.predict_proba(WORDS), strict=True):
        assert np.array_equal(ours, theirs)
    loaded.partial_fit(WORDS, y)
    assert loaded.n_iter_ == 3


def test_a_loaded_model_keeps_to_its_tag_scheme(tmp_path):
    model = small(crf=True, tag_scheme="BIO", epochs=1).fit(NAMES, ENTITIES)
    model.save(tmp_path / "tagger.safetensors")
    loaded = SequenceTagger.load(tmp_path / "tagger.safetensors")
    assert np.array_equal(loaded.network_.crf.allowed, model.network_.crf.allowed)
    with pytest.raises(ValueError, match=r"y\[0\]: expected tags in the order of BIO"):
        loaded.score(NAMES[:1], [["I-PER", "O", "O", "O"]])


def test_a_file_of_another_kind_says_so(tmp_path):
    small(epochs=1).fit(WORDS, TAGS).save(tmp_path / "tagger.safetensors")
    with pytest.raises(fr.train.CheckpointError, match=r"SequenceTagger\.load"):
        fr.models.SequenceClassifier.load(tmp_path / "tagger.safetensors")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("characters", None, "learned.characters: expected them with char_features"),
        ("weights", [1.0], "learned.weights: expected one for each tag"),
        ("tags", {"classes": ["A", "A"], "several": False, "form": "list"}, "classes: expected each once"),
        ("tags", {"classes": ["A"], "several": False, "form": "list"}, "expected at least 2 tags, got one"),
        ("tags", {"classes": ["A", "B"], "several": False, "form": "heap"}, "form: expected"),
        ("tags", {"classes": ["A", "B"], "several": True, "form": "list"}, "crf: expected False"),
        ("tags", {"classes": [1, 2], "several": False, "form": "text"}, "expected str"),
    ],
)
def test_a_file_with_wrong_values_is_refused(tmp_path, part, value, message):
    path = tmp_path / "tagger.safetensors"
    small(crf=True, char_features="gru", epochs=1).fit(WORDS, TAGS).save(path)
    with safe_open(path, "numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    description = json.loads(metadata["fastrnn"])
    description["learned"][part] = value
    save_file(tensors, path, {"fastrnn": json.dumps(description)})
    with pytest.raises(fr.train.CheckpointError, match=message):
        SequenceTagger.load(path)


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float64"},
        {"embedding_size": None},
        {"bidirectional": False, "num_layers": 2, "dropout": 0.2},
        {"cell": "gru", "cell_options": {"layer_norm": True}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_settings_train_too(options):
    model = small(batch_size=3).set_params(**options).fit(WORDS, TAGS)
    assert model.score(WORDS, TAGS) > 0.9


def test_the_same_random_state_gives_the_same_bits():
    options = {"epochs": 2, "crf": True, "char_features": "gru", "dropout": 0.2}
    one, two = small(**options).fit(WORDS, TAGS), small(**options).fit(WORDS, TAGS)
    assert np.array_equal(one.network_.parameters.flat, two.network_.parameters.flat)
    other = small(**options).set_params(random_state=1).fit(WORDS, TAGS)
    assert not np.array_equal(one.network_.parameters.flat, other.network_.parameters.flat)


def test_settings_are_those_of_scikit_learn(sklearn):
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import Pipeline

    model = small(crf=True, char_features="gru", epochs=3)
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "classes_")
    assert repr(small(crf=True)).startswith("SequenceTagger(crf=True, ")
    with pytest.raises(ValueError, match="Invalid parameter 'tags'"):
        model.set_params(tags=3)
    assert len(cross_val_score(model, WORDS, TAGS, cv=2)) == 2
    search = GridSearchCV(Pipeline([("tag", model)]), {"tag__cell": ["gru", "rnn"]}, cv=2).fit(WORDS, TAGS)
    assert search.predict(WORDS[:1])[0] == search.best_estimator_.predict(WORDS[:1])[0]


def test_partial_fit_goes_on_and_takes_tags_to_come():
    model = small().partial_fit(WORDS, TAGS, classes=["ADJ", "DET", "NOUN", "PRON", "VERB", "X"])
    assert len(model.classes_) == 6
    for _ in range(3):
        model.partial_fit([["the", "dog"]], [["DET", "X"]])
    assert model.n_iter_ == 4
    with pytest.raises(ValueError, match=r"y\[0\]\[1\]: expected a label seen in training"):
        model.partial_fit([["the", "dog"]], [["DET", "Y"]])
    assert model.n_iter_ == 4


def test_a_failed_fit_leaves_the_old_model():
    model = small(epochs=1).fit(WORDS, TAGS)
    before = model.predict(WORDS)
    with pytest.raises(ValueError, match="got 1"):
        model.fit(WORDS, [["DET"], *TAGS[1:]])
    assert model.predict(WORDS) == before
    model.fit(NAMES, ENTITIES)
    assert model.classes_.tolist() == ["B-LOC", "B-PER", "I-PER", "O"]


def test_early_stopping_holds_sequences_out():
    model = small(early_stopping=True, validation_fraction=0.25, epochs=3).fit(WORDS, TAGS)
    assert len(model.history_["validation_score"]) == model.n_iter_
    model = small(epochs=2).fit(WORDS, TAGS, validation=(WORDS[:2], TAGS[:2]))
    assert model.history_["validation_score"][-1] == model.score(WORDS[:2], TAGS[:2])


def test_one_sequence_cannot_be_split():
    with pytest.raises(ValueError, match=r"^X: expected at least 2 sequences for a validation split, got 1"):
        small(early_stopping=True).fit(WORDS[:1], TAGS[:1])


def test_texts_are_characters_or_words():
    characters = small(epochs=1).fit(["ab", "ba"], ["xy", "yx"])
    assert [len(tags) for tags in characters.predict(["abba"])] == [4]
    words = small(epochs=1, level="word", char_features="gru").fit(
        ["a dog", "dogs bark"], [["D", "N"], ["N", "V"]]
    )
    assert [len(tags) for tags in words.predict(["a dog barks"])] == [3]


def test_pandas_columns(pandas):
    frame = pandas.DataFrame({"words": WORDS, "tags": TAGS})
    model = small(epochs=2).fit(frame["words"], frame["tags"])
    assert model.predict(frame["words"]) == small(epochs=2).fit(WORDS, TAGS).predict(WORDS)
    one = small(epochs=1).fit(WORDS[:3], [pandas.Series(tags) for tags in TAGS[:3]])
    assert isinstance(one.predict(WORDS[:1])[0], np.ndarray)
