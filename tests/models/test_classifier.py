"""The sequence classifier: what it learns, its gradients, labels, weights and files, what it refuses."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models import NotFittedError, SequenceClassifier
from fastrnn.models.base.encoder import CELL_NAMES, SequenceEncoder
from fastrnn.models.base.row_losses import LOSSES
from fastrnn.models.classifier_network import PooledBatch, PooledNetwork
from fastrnn.models.pooling import POOLINGS
from gradient_check import assert_gradient

WORDS = ["lili", "mimi", "nini", "kiki", "titi", "lulu", "mumu", "nunu", "kuku", "tutu"]
VOWELS = ["i"] * 5 + ["u"] * 5
SMALL = {"hidden_size": 8, "epochs": 12, "learning_rate": 0.03, "random_state": 0}


def small(**settings):
    return SequenceClassifier(**{**SMALL, **settings})


@pytest.fixture(scope="module")
def model():
    return small().fit(WORDS * 3, VOWELS * 3)


# --- what it learns ---


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_learns_which_vowel_a_word_has(pooling):
    model = small(pooling=pooling, epochs=15).fit(WORDS * 3, VOWELS * 3)
    assert model.score(WORDS, VOWELS) == 1.0
    assert model.predict(["tiki", "lunu"]).tolist() == ["i", "u"]
    probabilities = model.predict_proba(["tiki", "x" * 50])
    assert probabilities.shape == (2, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_cell_is_fitted_by_its_name(cell):
    model = small(cell=cell, epochs=25, num_layers=2).fit(WORDS * 3, VOWELS * 3)
    assert model.score(WORDS, VOWELS) == 1.0
    assert type(model.network_.encoder.rnn).__name__.lower() == cell


def test_the_order_of_steps_counts():
    X = [first + "-" * gap + second for first in "ab" for second in "ab" for gap in range(1, 5)] * 4
    y = [x[0] > x[-1] for x in X]
    model = small(epochs=40, hidden_size=12).fit(X, y)
    assert model.score(X, y) == 1.0
    assert model.classes_.tolist() == [False, True]


def test_words_ids_and_features_are_sequences_too():
    texts = ["not good at all", "very good", "bad", "not bad"]
    model = small(level="word", epochs=40).fit(texts, ["-", "+", "-", "+"])
    assert model.predict(texts).tolist() == ["-", "+", "-", "+"]
    assert model.predict([["very", "good"]]).tolist() == ["+"]
    ids = small(epochs=30).fit([[1, 2, 3], [3, 2, 1, 0], [2, 1], [1, 1, 1, 2]], [0, 1, 1, 0])
    assert ids.predict([np.array([1, 2, 3]), [3, 2, 1, 0]]).tolist() == [0, 1]
    random = np.random.default_rng(0)
    X = [random.normal(loc=sign, size=(length, 2)) for sign in (-1, 1) for length in range(2, 8)]
    features = small(epochs=20).fit(X, [0] * 6 + [1] * 6)
    assert features.score(X, [0] * 6 + [1] * 6) == 1.0
    assert features.n_features_in_ == 2


def test_the_attention_looks_at_what_decides():
    random = np.random.default_rng(0)
    X = ["".join(random.choice(list("xyz"), 9)) for _ in range(60)]
    y = random.integers(0, 2, 60).tolist()
    X = [x[:4] + "ab"[k] + x[4:] for x, k in zip(X, y, strict=True)]
    settings = {"pooling": "attention", "bidirectional": False, "epochs": 30, "embedding_size": 8}
    model = small(**settings).fit(X, y)
    assert model.score(X, y) == 1.0
    weights = model.attention_weights(["xyab", "yxzxyzyx"])
    assert [len(each) for each in weights] == [4, 8]
    np.testing.assert_allclose([each.sum() for each in weights], 1.0, rtol=1e-6)
    assert weights[0].argmax() >= 2
    with pytest.raises(ValueError, match="pooling: expected 'attention', got 'last'"):
        small(epochs=1).fit(WORDS, VOWELS).attention_weights(WORDS)


def test_the_same_random_state_makes_the_same_bits_and_another_does_not():
    one, same, other = (small(random_state=s, dropout=0.2, epochs=2).fit(WORDS, VOWELS) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.network_.parameters.flat, same.network_.parameters.flat)
    assert (one.network_.parameters.flat != other.network_.parameters.flat).any()
    generator = small(random_state=np.random.default_rng(1), dropout=0.2, epochs=2).fit(WORDS, VOWELS)
    np.testing.assert_array_equal(one.network_.parameters.flat, generator.network_.parameters.flat)


def test_a_prediction_has_the_same_bits_alone_in_a_batch_and_on_threads(model):
    X = [*WORDS, "i" * 40]
    together = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba([x]) for x in X])
    np.testing.assert_array_equal(together, alone)
    before = fr.get_num_threads()
    try:
        fr.set_num_threads(3)
        np.testing.assert_array_equal(model.predict_proba(X), together)
    finally:
        fr.set_num_threads(before)


# --- gradients ---


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_central_differences_for_ragged_batches(pooling, loss):
    rng = np.random.default_rng(0)
    encoder = SequenceEncoder(
        5, embedding_size=3, cell="gru", hidden_size=3, num_layers=1 + (pooling == "max"),
        bidirectional=loss != "huber", dropout=0.0, cell_options=None, dtype="float64", rng=rng,
    )  # fmt: skip
    network = PooledNetwork(encoder, 3, pooling=pooling, loss=loss, rng=rng)
    targets = {"softmax": np.array([0, 2, 1]), "sigmoid": np.array([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]])}
    numbers = np.array([[0.3, -2.5, 1.0], [0.1, 0.2, 4.0], [-3.0, 0.7, -0.4]])  # both branches of Huber's
    batch = PooledBatch(
        rng.integers(0, 5, (4, 3)), np.array([4, 1, 3]), targets.get(loss, numbers), np.array([1.0, 0.5, 2.0])
    )
    network.zero_gradients()
    value = network.loss_and_gradients(batch, 0.7)
    assert abs(value - network.loss(batch)) < 1e-12
    for name, gradient in network.gradients.items():
        with network.parameters.edit() as views:
            assert_gradient(lambda: 0.7 * network.loss(batch), views[name], gradient)


def test_features_and_lstm_states_have_gradients_too():
    rng = np.random.default_rng(1)
    encoder = SequenceEncoder(
        2, embedding_size=None, cell="lstm", hidden_size=3, num_layers=2, bidirectional=True, dropout=0.0,
        cell_options={"proj_size": 2}, dtype="float64", rng=rng,
    )  # fmt: skip
    network = PooledNetwork(encoder, 2, pooling="last", loss="softmax", rng=rng)
    batch = PooledBatch(rng.normal(size=(4, 3, 2)), np.array([2, 4, 1]), np.array([0, 1, 1]), np.ones(3))
    network.zero_gradients()
    network.loss_and_gradients(batch)
    for name, gradient in network.gradients.items():
        with network.parameters.edit() as views:
            assert_gradient(lambda: network.loss(batch), views[name], gradient)


# --- several labels, weights ---


def test_several_labels_come_back_in_the_form_they_had():
    sets = [set(word) for word in WORDS]
    model = small(epochs=60, hidden_size=16).fit(WORDS * 3, sets * 3)
    assert model.predict(WORDS) == sets
    assert model.multilabel_
    assert model.score(WORDS, sets) == 1.0
    probabilities = model.predict_proba(WORDS)
    assert probabilities.shape == (10, 7)
    model.set_params(threshold=1.0)
    assert model.predict(WORDS) == [set()] * 10
    assert model.score(WORDS, [set()] * 10) == 1.0
    matrix = np.array([[letter in word for letter in "ik"] for word in WORDS], int)
    model = small(epochs=25).fit(WORDS * 3, np.tile(matrix, (3, 1)))
    assert model.predict(WORDS).tolist() == matrix.tolist()
    assert small(epochs=25).fit(WORDS * 3, matrix.tolist() * 3).predict(WORDS).tolist() == matrix.tolist()


def test_a_class_weight_moves_the_decision_to_its_class():
    X, y = ["a"] * 30, ["rare"] * 6 + ["usual"] * 24
    assert small().fit(X, y).predict(["a"]).tolist() == ["usual"]
    even = small(class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(even.predict_proba(["a"]), 0.5, atol=0.1)
    assert small(class_weight={"rare": 20.0}).fit(X, y).predict(["a"]).tolist() == ["rare"]
    ignored = small(class_weight={"usual": 0.0}).fit(X, y)
    assert ignored.predict_proba(["a"])[0, 0] > 0.9


def test_a_class_weight_of_labels_is_that_of_their_presence():
    X, y = ["a"] * 20, [{"x"}] * 5 + [set()] * 15
    assert small().fit(X, y).predict(["a"]) == [set()]
    assert small(class_weight={"x": 10.0}).fit(X, y).predict(["a"]) == [{"x"}]


def test_partial_fit_goes_on_with_all_classes_of_the_first_call():
    model = small().partial_fit(WORDS[:5], VOWELS[:5], classes=["i", "u", "never"])
    for _ in range(30):
        model.partial_fit(WORDS, VOWELS)
    assert model.score(WORDS, VOWELS) == 1.0
    assert model.n_iter_ == len(model.history_["loss"]) == 31
    assert model.classes_.tolist() == ["i", "never", "u"]
    with pytest.raises(ValueError, match=r"y\[0\]: expected a label seen in training, .* got 'o'"):
        model.partial_fit(["lolo"], ["o"])


# --- files ---


@pytest.mark.parametrize(
    "settings", [{}, {"pooling": "attention", "class_weight": "balanced"}, {"cell": "slstm"}]
)
def test_a_saved_model_is_the_same_after_loading(tmp_path, settings):
    model = small(**settings, epochs=2).fit(WORDS, VOWELS)
    model.save(tmp_path / "m.safetensors")
    loaded = SequenceClassifier.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(WORDS), model.predict_proba(WORDS))
    assert loaded.get_params() == model.get_params()
    assert (loaded.classes_.tolist(), loaded.history_, loaded.n_iter_) == (["i", "u"], model.history_, 2)
    again = [each.partial_fit(WORDS[:6], VOWELS[:6]) for each in (model, loaded)]
    assert again[0]._weights is None or again[0]._weights.tolist() == again[1]._weights.tolist()


def test_features_and_labels_are_the_same_after_loading(tmp_path):
    random = np.random.default_rng(0)
    X = [random.normal(3, 2, (n, 2)) for n in (2, 5, 3, 4)]
    model = small(epochs=2).fit(X, [{1, 2}, {2}, set(), {1}])
    model.save(tmp_path / "m.safetensors")
    loaded = SequenceClassifier.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.predict(X) == model.predict(X)
    assert loaded.n_features_in_ == 2


# --- bad input ---


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["a", "b"], ["x"], r"y: expected 2 entries, one for each sequence of X, got 1: X\[1\] has none"),
        (["a"], ["x", "y"], r"y: expected 1 entries, .* got 2: y\[1\] has no sequence"),
        (["a", ""], ["x", "y"], r"X\[1\]: expected at least one step, got an empty sequence"),
        ([[1.0], [float("nan"), 2.0]], [0, 1], r"X\[1\]: expected finite numbers, got NaN at step 0"),
        ([[[1.0, 2.0]], [[1.0]]], [0, 1], r"X\[1\]: expected 2 features at each step, got 1"),
        (["a", [0.5]], [0, 1], "X: expected symbols or features, got both"),
        ("ab", [0, 1], r"X: expected a list of sequences, got one str; write \[X\]"),
        ([], [], r"X: expected at least one sequence, got 0"),
        (["a", "b"], ["x", "x"], "y: expected at least 2 classes, got one class, 'x'"),
        (["a", "b"], ["x", 1], "y: expected labels that are all str or all integers"),
        (["a", "b"], ["x", None], r"y\[1\]: expected a label, a str or an integer, got NoneType"),
        (["a", "b"], [0.5, 1.0], r"y\[0\]: Unknown label type"),
        (["a", "b"], [0, float("nan")], r"y\[1\]: expected a label, got nan"),
        (["a", "b"], [{"x"}, "y"], r"y\[1\]: expected a set of labels as in y\[0\], got str"),
        (["a", "b"], [set(), set()], "y: expected at least one label, got none in any row"),
        (
            ["a", "b"],
            np.array([[0, 2], [1, 0]]),
            r"y\[0\]: expected 0 and 1, one for each label, got \[0, 2\]",
        ),
        (["a", "b"], None, "the target y is None"),
    ],
)
def test_bad_data_are_named_with_their_row(X, y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(X, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "sum"}, "pooling: expected one of 'last', 'mean', 'max', 'attention', got 'sum'"),
        ({"cell": "lstmm"}, "cell: expected one of"),
        ({"hidden_size": 0}, "hidden_size: expected 1"),
        ({"epochs": 2.5}, "epochs: expected an integer, got float"),
        ({"dropout": 1.0}, r"dropout: expected a probability in \[0, 1\)"),
        ({"threshold": 2.0}, "threshold: expected"),
        ({"class_weight": "even"}, "class_weight: expected 'balanced', got 'even'"),
        ({"class_weight": {"z": 1.0}}, r"class_weight\[0\]: expected a label seen in training, .* got 'z'"),
        ({"class_weight": {"i": -1.0}}, r"class_weight\['i'\]: expected"),
        ({"cell_options": {"nix": 1}}, "nix"),
        ({"level": "line"}, "level: expected 'char' or 'word', got 'line'"),
        ({"random_state": "x"}, "random_state: expected an int"),
        ({"dtype": "float16"}, "dtype: expected float32 or float64"),
        ({"learning_rate": 0}, "learning_rate: expected a finite number above 0"),
        ({"bidirectional": 1}, "bidirectional: expected True or False"),
    ],
)
def test_a_wrong_setting_is_named_by_fit_and_not_by_the_constructor(settings, message):
    model = small(**settings)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(WORDS, VOWELS)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score", "attention_weights", "save"])
def test_nothing_is_predicted_before_fitting(method):
    arguments = {"score": (WORDS, VOWELS), "save": ("m.safetensors",)}.get(method, (WORDS,))
    with pytest.raises(ValueError, match=f"not fitted yet; call fit before {method}") as caught:
        getattr(small(), method)(*arguments)
    assert isinstance(caught.value, NotFittedError) or type(caught.value).__module__.startswith("sklearn")


def test_labels_unseen_in_training_are_refused_and_symbols_are_not(model):
    with pytest.raises(
        ValueError, match=r"y\[1\]: expected a label seen in training, one of 'i', 'u', got 'o'"
    ):
        model.score(["lili", "lolo"], ["i", "o"])
    with pytest.raises(ValueError, match=r"validation: y\[0\]: expected a label seen in training"):
        small().fit(WORDS, VOWELS, validation=(["lolo"], ["o"]))
    assert model.predict(["???"]).shape == (1,)
    with pytest.raises(TypeError, match=r"X: expected symbols .* as in training, got numbers"):
        model.predict([[0.5, 1.5]])
