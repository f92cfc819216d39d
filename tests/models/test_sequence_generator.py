"""The sequence generator: what it learns, its gradients, generation, files, and bad input."""

import numpy as np
import pytest
from tests.gradient_check import assert_gradient

import fastrnn as fr
from fastrnn.models import NotFittedError, SequenceClassifier, SequenceGenerator
from fastrnn.train.checkpoint import CheckpointError

CHORDS = [[[60, 64], [], [67]], [[62], [65, 69]], [[60, 64], [], [67], [62, 65]]]
WORDS = ["ciao", "hello", "hi", "grazie"]
NUMBERS = [np.array([[0.5, 20.0], [1.0, 30.0], [-2.0, 25.0]]), np.array([[0.25, 21.0]])]


def model(**settings):
    usual = {"hidden_size": 5, "embedding_size": 3, "epochs": 1, "batch_size": 4, "random_state": 0}
    return SequenceGenerator(**usual | settings)


def learn(X, y, **settings):
    """Return a model that has learned a small problem by heart."""
    usual = {"hidden_size": 16, "epochs": 60, "learning_rate": 0.03, "batch_size": 8}
    return model(**usual | settings).fit(X, y)


# ---- what it learns


@pytest.mark.parametrize("condition_as", ["state", "input", "both"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_classes_choose_among_texts(condition_as, cell):
    fitted = learn(["it", "en"] * 8, ["ciao", "hello"] * 8, condition_as=condition_as, cell=cell)
    assert fitted.predict(["en", "it", "en"]) == ["hello", "ciao", "hello"]
    assert fitted.conditions_.tolist() == ["en", "it"]


@pytest.mark.parametrize("cell", ["rnn", "slstm", "mingru", "minlstm"])
def test_other_cells_generate_too(cell):
    fitted = learn(["a", "b"] * 8, ["ciao", "hi"] * 8, cell=cell, num_layers=2)
    assert fitted.predict(["b", "a"]) == ["hi", "ciao"]


def test_vectors_choose_among_lists_of_tokens():
    X = np.array([[0.0, 9.0], [1.0, 7.0]] * 8)
    fitted = learn(X, [["the", "end"], [3, "of", 4]] * 8, condition_as="both")
    assert fitted.predict(X[:2]) == [["the", "end"], [3, "of", 4]]
    assert fitted.n_features_in_ == 2


def test_words_of_a_text_are_joined_by_blanks():
    fitted = learn(None, ["to be or not"] * 8, level="word")
    assert fitted.predict() == ["to be or not"]


def test_chords_are_learned_with_their_rests_and_their_end():
    fitted = learn([0, 1, 2] * 6, CHORDS * 6)
    assert fitted.steps_ == "labels"
    assert fitted.labels_.tolist() == [60, 62, 64, 65, 67, 69]
    assert fitted.predict([2, 0, 1]) == [CHORDS[2], CHORDS[0], CHORDS[1]]


@pytest.mark.parametrize("numbers_as", ["gaussian", "squared"])
def test_numbers_are_learned_in_their_own_units(numbers_as):
    y = [[10.0, 30.0, 20.0], [30.0, 10.0]] * 8
    fitted = learn(["up", "down"] * 8, y, numbers_as=numbers_as, epochs=150)
    up, down = fitted.predict(["up", "down"])
    np.testing.assert_allclose(up[:, 0], y[0], atol=2.0)
    np.testing.assert_allclose(down[:, 0], y[1], atol=2.0)
    assert up.dtype == np.float64


def test_a_squared_error_ends_with_a_scale_that_draws_like_the_data():
    random = np.random.default_rng(0)
    y = [100.0 + 5.0 * random.normal(size=6) for _ in range(60)]
    fitted = model(numbers_as="squared", learn_end=False, epochs=8, hidden_size=8).fit(None, y)
    drawn = np.array(fitted.generate(count=300, random_state=0))[..., 0]
    assert drawn.shape == (300, 6)
    assert 4.0 < drawn.std() < 6.0
    assert abs(drawn.mean() - 100.0) < 1.5
    density = 6 * (np.log(5.0) + 0.5 * np.log(2 * np.pi) + 0.5)
    assert abs(-fitted.log_likelihood(None, y).mean() - density) < 1.0


def test_scheduled_sampling_learns_too_and_begins_with_the_true_steps():
    fitted = learn([0, 1, 2] * 6, CHORDS * 6, scheduled_sampling=0.5)
    assert fitted.predict([0, 1, 2]) == CHORDS
    network = fitted.network_
    network.start_epoch(0, 5)
    assert network.probability == 0.0
    network.start_epoch(4, 5)
    assert network.probability == 0.5


# ---- likelihoods


def test_texts_are_drawn_as_often_as_their_likelihood_says():
    fitted = learn(None, ["ab", "a", "b", "ba"] * 4)
    drawn = fitted.generate(count=2000, random_state=1)
    texts = ["a", "b", "ab", "ba", "aa", "bb"]
    expected = np.exp(fitted.log_likelihood(None, texts))
    assert expected.sum() > 0.95
    shares = [drawn.count(text) / 2000 for text in texts]
    np.testing.assert_allclose(shares, expected, atol=0.04)


def test_chords_are_drawn_as_often_as_their_likelihood_says():
    fitted = learn(None, [[[1]], [[1, 2], [1]]] * 4, epochs=25)
    drawn = fitted.generate(count=2000, random_state=1)
    chords = [[[1]], [[1, 2], [1]]]
    shares = [drawn.count(one) / 2000 for one in chords]
    # No sequence that is drawn ends before its first step.
    begins = np.exp(-fitted.step_nats(None, chords)[0][0, 1])
    np.testing.assert_allclose(shares, np.exp(fitted.log_likelihood(None, chords)) / begins, atol=0.04)


def test_greedy_texts_are_those_of_the_network_run_over_them():
    fitted = model(epochs=5).fit(None, WORDS * 4)
    [text] = fitted.predict()
    batch = fitted._examples(None, [text]).batch(np.array([0]))
    logits = fitted.network_.output(fitted.network_.outputs(batch)[:, 0])
    logits[:, 0] = -np.inf
    logits[0, 1] = -np.inf
    best = logits.argmax(axis=1)
    count = len(text)
    assert fitted._steps.decode(best[:count]) == text


def test_a_score_is_minus_the_nats_of_a_step_with_the_end_as_a_step():
    fitted = model().fit(None, WORDS)
    total = fitted.log_likelihood(None, WORDS).sum()
    assert fitted.score(None, WORDS) == pytest.approx(total / sum(len(word) + 1 for word in WORDS))
    longer = model(learn_end=False).fit(None, WORDS)
    assert [len(nats) for nats in longer.step_nats(None, WORDS)] == [len(word) for word in WORDS]


def test_the_columns_of_step_nats_are_the_steps_and_the_end():
    fitted = model().fit(None, CHORDS)
    [nats] = fitted.step_nats(None, CHORDS[:1])
    assert nats.shape == (4, 2)
    assert nats[-1, 0] == 0.0
    assert (nats[:-1] > 0).all()
    batch = fitted._examples(None, CHORDS[:1]).batch(np.array([0]))
    z = fitted.network_.output(fitted.network_.outputs(batch)[:, 0]).astype(float)
    bits = batch.targets[:3, 0, :-1]
    expected = (np.logaddexp(0, z[:3, :-1]) - bits * z[:3, :-1]).sum(axis=1)
    np.testing.assert_allclose(nats[:3, 0], expected, rtol=1e-5)


def test_a_density_does_not_depend_on_the_units_of_training():
    fitted = model(standardize=False, dtype="float64").fit(None, NUMBERS)
    [nats] = fitted.step_nats(None, NUMBERS[:1])
    batch = fitted._examples(None, NUMBERS[:1]).batch(np.array([0]))
    z = fitted.network_.output(fitted.network_.outputs(batch)[:, 0])
    scale = np.exp(7 * np.tanh(z[:3, 2:4] / 7))
    error = (NUMBERS[0] - z[:3, :2]) / scale
    expected = (np.log(scale) + 0.5 * error**2 + 0.5 * np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(nats[:3, 0], expected)
    own = model(dtype="float64").fit(None, NUMBERS)
    thousand = model(dtype="float64").fit(None, [1000 * one for one in NUMBERS])
    difference = own.log_likelihood(None, NUMBERS) - thousand.log_likelihood(
        None, [1000 * one for one in NUMBERS]
    )
    np.testing.assert_allclose(difference, [3 * 2 * np.log(1000), 2 * np.log(1000)])


# ---- gradients


VECTORS = np.array([[0.5, -1.0], [2.0, 0.25], [0.0, 1.0], [-1.0, 3.0]])
CASES = {
    "tokens from nothing": (None, WORDS, {}),
    "tokens from classes as a state": (["a", "b", "a", "c"], WORDS, {}),
    "tokens from vectors as an input": (VECTORS, WORDS, {"condition_as": "input"}),
    "tokens as one-hot vectors, both": (VECTORS, WORDS, {"condition_as": "both", "embedding_size": None}),
    "tokens without an end": (VECTORS, WORDS, {"learn_end": False, "cell": "gru"}),
    "two layers of a GRU": (VECTORS, WORDS, {"cell": "gru", "num_layers": 2, "condition_as": "both"}),
    "two layers of an LSTM": (VECTORS, WORDS, {"num_layers": 2, "condition_as": "both"}),
    "a vanilla cell": (VECTORS, WORDS, {"cell": "rnn", "condition_as": "both"}),
    "sLSTM": (VECTORS, WORDS, {"cell": "slstm", "condition_as": "both"}),
    "minGRU": (VECTORS, WORDS, {"cell": "mingru"}),
    "minLSTM": (VECTORS, WORDS, {"cell": "minlstm"}),
    "an LSTM with a projection": (VECTORS, WORDS, {"cell_options": {"proj_size": 3}}),
    "labels": (VECTORS[:3], CHORDS, {"condition_as": "both"}),
    "labels without an end": (VECTORS[:3], CHORDS, {"learn_end": False}),
    "numbers with a scale": (VECTORS[:2], NUMBERS, {"condition_as": "both"}),
    "numbers with a scale, without an end": (None, NUMBERS, {"learn_end": False}),
    "numbers by squared error": (VECTORS[:2], NUMBERS, {"numbers_as": "squared"}),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_central_differences(case):
    X, y, settings = CASES[case]
    fitted = model(
        **{"hidden_size": 4, "embedding_size": 2, "dtype": "float64", "unknown_alpha": 0.0, "epochs": 1}
        | settings
    ).fit(X, y)
    network = fitted.network_
    if hasattr(network.output, "noise"):
        network.output.noise[:] = 1.0
    batch = fitted._examples(X, y).batch(np.arange(len(y)))
    network.zero_gradients()
    loss = network.loss_and_gradients(batch, 1.0)
    assert loss == pytest.approx(network.loss(batch))
    for name, value in network.parameters.items():
        copy = value.copy()

        def loss_of(name=name, copy=copy):
            network.parameters[name] = copy
            return network.loss(batch)

        assert_gradient(loss_of, copy, network.gradients[name])
        network.parameters[name] = copy


@pytest.mark.parametrize("case", ["tokens from vectors as an input", "labels", "numbers with a scale"])
def test_gradients_of_scheduled_sampling_take_the_drawn_steps_as_given(case, monkeypatch):
    X, y, settings = CASES[case]
    fitted = model(dtype="float64", unknown_alpha=0.0, **settings).fit(X, y)
    network = fitted.network_
    batch = fitted._examples(X, y).batch(np.arange(len(y)))
    network.probability = 0.7
    drawn = network.drawn_inputs(batch)
    assert (drawn != batch.inputs).any()
    assert (drawn[0] == batch.inputs[0]).all()
    monkeypatch.setattr(network, "drawn_inputs", lambda batch: drawn)
    network.zero_gradients()
    loss = network.loss_and_gradients(batch, 1.0)
    held = batch._replace(inputs=drawn)
    assert loss == pytest.approx(network.loss(held))
    for name, value in network.parameters.items():
        copy = value.copy()

        def loss_of(name=name, copy=copy):
            network.parameters[name] = copy
            return network.loss(held)

        assert_gradient(loss_of, copy, network.gradients[name])
        network.parameters[name] = copy


def test_gradients_are_those_of_pytorch(torch):
    y, X = [WORDS[i % 4] * (1 + i % 3) for i in range(7)], np.array([[0.5, -1.0]] * 3 + [[2.0, 1.0]] * 4)
    fitted = model(condition_as="both", num_layers=2, hidden_size=6, unknown_alpha=0.0).fit(X, y)
    network = fitted.network_
    batch = fitted._examples(X, y).batch(np.arange(7))
    network.zero_gradients()
    loss = network.loss_and_gradients(batch)
    own = {name: torch.tensor(value, requires_grad=True) for name, value in network.parameters.items()}
    rnn = torch.nn.LSTM(3 + 2, 6, num_layers=2)
    weights = {name: own[f"encoder.rnn.{name}"] for name, _ in rnn.named_parameters()}
    joined = [weights["weight_ih_l0"], own["encoder.rnn.weight_context_l0"]]
    weights["weight_ih_l0"] = torch.cat(joined, dim=1)
    condition = torch.tensor(batch.condition)
    x = own["encoder.embedding.weight"][torch.tensor(batch.inputs)]
    x = torch.cat([x, condition.expand(len(x), -1, -1)], dim=2)
    first = condition @ own["initial.weight"].T + own["initial.bias"]
    h, c = first.reshape(7, 2, 2, 6).permute(2, 1, 0, 3)
    y_torch, _ = torch.func.functional_call(rnn, weights, (x, (h.contiguous(), c.contiguous())))
    z = y_torch @ own["output.weight"].T + own["output.bias"]
    real = torch.tensor(batch.real)
    expected = torch.nn.functional.cross_entropy(z[real], torch.tensor(batch.targets)[real])
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, value in own.items():
        np.testing.assert_allclose(
            network.gradients[name], value.grad.numpy(), rtol=1e-3, atol=1e-6, err_msg=name
        )


def test_dropout_and_unknown_symbols_change_training_alone():
    fitted = model(dropout=0.5, unknown_alpha=2.0).fit(None, WORDS)
    batch = fitted._examples(None, WORDS).batch(np.arange(4))
    assert fitted.network_.loss(batch) == fitted.network_.loss(batch)
    losses = {fitted.network_.loss_and_gradients(batch) for _ in range(4)}
    assert len(losses) == 4


# ---- generation


def test_the_same_random_state_draws_the_same_sequences():
    fitted = model(epochs=3).fit(None, WORDS)
    texts = fitted.generate(count=6, random_state=3)
    assert texts == fitted.generate(count=6, random_state=3)
    assert texts[:2] == fitted.generate(count=2, random_state=3)
    assert texts != fitted.generate(count=6, random_state=4)
    assert fitted.generate(count=6, random_state=np.random.default_rng(3)) != texts


def test_count_is_for_each_row_of_the_condition():
    fitted = learn(["it", "en"] * 8, ["ciao", "hello"] * 8)
    texts = fitted.generate(["en", "it"], count=2, temperature=0.05, random_state=0)
    assert texts == ["hello", "hello", "ciao", "ciao"]


def test_a_prefix_is_continued():
    fitted = learn(None, ["abcd", "xbyz"] * 8)
    assert fitted.generate(prefix="ab", greedy=True) == ["cd"]
    assert fitted.generate(prefix="xb", greedy=True) == ["yz"]
    chords = learn(None, [CHORDS[0], [[62], [65, 69], [67]]] * 8)
    assert chords.generate(prefix=[[62]], greedy=True) == [[[65, 69], [67]]]


def test_sequences_have_one_step_at_least_and_max_length_at_most():
    fitted = model().fit(None, WORDS)
    lengths = {len(text) for text in fitted.generate(count=200, max_length=3, random_state=0)}
    assert lengths == {1, 2, 3}
    assert max(len(text) for text in fitted.generate(count=50, random_state=0)) <= 2 * fitted.longest_ == 12


def test_without_an_end_all_have_the_length_asked_for():
    for y in (WORDS, CHORDS, NUMBERS):
        fitted = model(learn_end=False).fit(None, y)
        assert [len(one) for one in fitted.generate(count=3, max_length=7, random_state=0)] == [7] * 3
        assert len(fitted.predict()[0]) == fitted.longest_


def test_truncation_limits_what_is_drawn():
    fitted = model().fit(None, CHORDS)
    for chords in fitted.generate(count=20, top_k=1, temperature=3.0, random_state=0):
        assert all(len(chord) <= 1 for chord in chords)
    texts = model().fit(None, WORDS)
    greedy = texts.generate(greedy=True)
    assert texts.generate(count=3, top_k=1, random_state=0) == greedy * 3
    assert texts.generate(count=3, top_p=1e-9, random_state=0) == greedy * 3


# ---- an estimator as the others


@pytest.mark.parametrize(
    ("X", "y", "settings"),
    [
        (["a", "b", "a", "c"], WORDS, {"condition_as": "both", "num_layers": 2}),
        (VECTORS[:3], CHORDS, {"labels": list(range(60, 72))}),
        (VECTORS[:2], NUMBERS, {"numbers_as": "squared"}),
        (None, [["a", 3], [3]], {"learn_end": False}),
    ],
)
def test_a_file_keeps_every_bit(tmp_path, X, y, settings):
    fitted = model(epochs=2, **settings).fit(X, y)
    fitted.save(tmp_path / "model.safetensors")
    loaded = SequenceGenerator.load(tmp_path / "model.safetensors")
    assert loaded.get_params() == fitted.get_params()
    assert (loaded.log_likelihood(X, y) == fitted.log_likelihood(X, y)).all()
    for one, two in zip(loaded.generate(X, random_state=0), fitted.generate(X, random_state=0), strict=True):
        np.testing.assert_array_equal(np.array(one, object), np.array(two, object))
    assert loaded.steps_ == fitted.steps_


def test_a_file_of_another_model_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    SequenceClassifier(hidden_size=2, epochs=1).fit(["a", "b"], [0, 1]).save(path)
    with pytest.raises(CheckpointError, match="expected a SequenceGenerator, got a SequenceClassifier"):
        SequenceGenerator.load(path)


def test_a_search_scores_vectors_of_a_pipeline(sklearn):
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = np.array([[0.0, 9.0], [1.0, 7.0]] * 6), ["no", "yes"] * 6
    pipeline = make_pipeline(StandardScaler(), model(epochs=20, hidden_size=8, learning_rate=0.03))
    search = GridSearchCV(pipeline, {"sequencegenerator__condition_as": ["state", "both"]}, cv=2)
    search.fit(X, y)
    assert search.best_score_ > -1.5
    assert search.predict(X[:2]) == ["no", "yes"]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("noise", [1.0, 2.0, 3.0], "noise: expected 2 numbers, got 3"),
        ("noise", [1.0, 0.0], r"noise\[1\]: expected"),
        ("longest", 0, "longest: expected"),
        ("condition", {"classes": ["a"], "mean": [0.0], "scale": [1.0]}, "classes or vectors, got both"),
        ("condition", {"classes": None, "mean": [0.0], "scale": None}, "mean and scale of equal length"),
        ("steps", {"kind": "pictures"}, "kind: expected one of"),
        ("steps", {"kind": "labels", "labels": [1, 1]}, "labels: expected at least one, each once"),
    ],
)
def test_a_file_with_wrong_values_is_refused(part, change, message):
    fitted = model().fit(VECTORS[:2], NUMBERS)
    with pytest.raises(ValueError, match=message):
        model()._restore({**fitted._learned(), part: change})


def test_settings_are_those_of_an_estimator():
    clone = pytest.importorskip("sklearn.base").clone
    given = model(labels=[1, 2], condition_as="both")
    assert clone(given).get_params() == given.get_params()
    assert given.set_params(condition_as="input").condition_as == "input"


def test_fits_with_one_random_state_are_equal():
    one, two = model(dropout=0.2).fit(None, WORDS), model(dropout=0.2).fit(None, WORDS)
    assert (one.network_.parameters.flat == two.network_.parameters.flat).all()


def test_a_failed_fit_leaves_the_old_model():
    fitted = model().fit(None, WORDS)
    before = fitted.log_likelihood(None, WORDS)
    with pytest.raises(ValueError, match=r"y\[1\]: expected at least one step"):
        fitted.fit(None, ["a", ""])
    assert (fitted.log_likelihood(None, WORDS) == before).all()


def test_a_second_fit_forgets_the_first():
    fitted = model().fit(["a", "b"], ["one", "two"])
    fitted.fit(None, CHORDS)
    assert fitted.steps_ == "labels"
    assert fitted.conditions_ is None
    fresh = model().fit(None, CHORDS)
    assert (fitted.network_.parameters.flat == fresh.network_.parameters.flat).all()


def test_partial_fit_continues():
    fitted = model().partial_fit(None, WORDS)
    assert fitted.n_iter_ == 1
    first = fitted.network_.loss(fitted._examples(None, WORDS).batch(np.arange(4)))
    for _ in range(10):
        fitted.partial_fit(None, WORDS)
    assert fitted.n_iter_ == 11
    assert fitted.network_.loss(fitted._examples(None, WORDS).batch(np.arange(4))) < first


def test_a_validation_set_stops_the_training_early():
    fitted = model(epochs=40, early_stopping=True, n_iter_no_change=2, learning_rate=1e-30)
    fitted.fit(None, WORDS, validation=(None, WORDS))
    assert fitted.n_iter_ == 3
    assert fitted.history_["validation_score"][0] == pytest.approx(fitted.score(None, WORDS))


# ---- bad input


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (WORDS, None, r"y: expected the sequences to learn, got None .* write fit\(None, sequences\)"),
        (["a"], WORDS, r"y: expected 1 entries, one for each sequence of X, got 4"),
        (None, ["a", ""], r"y\[1\]: expected at least one step, got an empty sequence"),
        ([[0.0, np.nan]] * 4, WORDS, r"X\[0\]: expected finite numbers, got NaN"),
        ([[0.0], [1.0, 2.0], [1.0], [1.0]], WORDS, r"X\[1\]: expected 1 numbers, got 2"),
        (np.zeros((4, 2, 2)), WORDS, r"X\[0\]: expected a vector \[C\], got \[2, 2\]; X is what each"),
        (None, [np.array([[1.0], [np.inf]])], r"y\[0\]: expected finite numbers, got inf at step 1"),
        (None, [[[1.0, 2.0], [3.0]]], r"y\[0\]: expected the same number"),
        (None, [[[], []]], r"y: expected at least one label, got none at any step"),
    ],
)
def test_wrong_values_are_named(X, y, message):
    with pytest.raises(ValueError, match=message):
        model().fit(X, y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([0.5, 1.5, 2.0, 3.0], WORDS, r"X: expected classes .* np.reshape\(X, \(-1, 1\)\)"),
        ([[None], [1], [2], [3]], WORDS, r"X\[0\]: expected a vector of numbers"),
        (["a", 1, "b", "c"], WORDS, r"X: expected labels that are all str or all integers"),
        (None, "text", r"y: expected a list of sequences, got one str"),
        (None, [[{1}, 3]], r"y\[0\]: expected|y: expected"),
    ],
)
def test_wrong_kinds_are_named(X, y, message):
    with pytest.raises(TypeError, match=message):
        model().fit(X, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"condition_as": "output"}, "condition_as: expected one of"),
        ({"numbers_as": "mean"}, "numbers_as: expected 'gaussian' or 'squared', got 'mean'"),
        ({"steps": "notes"}, "steps: expected one of"),
        ({"scheduled_sampling": 1.5}, "scheduled_sampling: expected"),
        ({"bidirectional": True}, "bidirectional: expected False"),
        ({"cell_options": {"context_size": 2}}, "cell_options: expected no context_size"),
        ({"cell_options": {"reverse": True}}, "cell_options: expected no reverse"),
        ({"labels": [1, 2]}, "labels: expected None unless steps have several labels"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        model(**settings).fit(None, WORDS)


def test_predicting_before_fitting_is_refused():
    for call in (
        lambda: model().predict(),
        lambda: model().generate(),
        lambda: model().log_likelihood(None, WORDS),
        lambda: model().score(None, WORDS),
    ):
        with pytest.raises((NotFittedError, ValueError), match="not fitted"):
            call()


def test_conditions_must_be_those_of_training():
    plain, classes = model().fit(None, WORDS), model().fit([1, 2, 1, 2], WORDS)
    vectors = model().fit(VECTORS, WORDS)
    with pytest.raises(ValueError, match="X: expected None, as the model was fitted without a condition"):
        plain.predict(["a"])
    with pytest.raises(ValueError, match="X: expected a list of classes as in training, got None"):
        classes.predict()
    with pytest.raises(ValueError, match=r"X: expected vectors \[N, 2\] as in training, got None"):
        vectors.generate()
    with pytest.raises(ValueError, match=r"X\[1\]: expected a label seen in training, one of 1, 2, got 3"):
        classes.predict([1, 3])
    with pytest.raises(ValueError, match=r"X\[0\]: expected 2 numbers, got 3"):
        vectors.predict([[1.0, 2.0, 3.0]])


def test_labels_that_are_not_among_all_are_named():
    fitted = model().fit(None, CHORDS)
    with pytest.raises(ValueError, match=r"y\[0\]\[1\]\[0\]: expected a label seen in training.*got 99"):
        fitted.log_likelihood(None, [[[60], [99]]])
    with pytest.raises(ValueError, match=r"y\[0\]\[0\]: expected each label once, got .*np.flatnonzero"):
        model(steps="labels").fit(None, [np.eye(3, dtype=int)])
    assert np.isfinite(model(labels=range(128)).fit(None, CHORDS).score(None, [[[60], [99]]]))


def test_sampling_that_makes_no_sense_is_refused():
    chords, numbers = model().fit(None, CHORDS), model().fit(None, NUMBERS)
    with pytest.raises(ValueError, match="top_p: expected None, as a step has several labels"):
        chords.generate(top_p=0.5)
    with pytest.raises(ValueError, match="top_k: expected None, as steps are numbers"):
        numbers.generate(top_k=2)
    with pytest.raises(ValueError, match="temperature"):
        chords.generate(temperature=-1.0)
    with pytest.raises(ValueError, match="count"):
        chords.generate(count=0)
    with pytest.raises(TypeError, match="random_state: expected an int"):
        chords.generate(random_state="seed")


def test_the_models_are_public():
    assert fr.models.SequenceGenerator is SequenceGenerator
