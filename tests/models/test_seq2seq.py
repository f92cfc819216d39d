"""Sequences to sequences: gradients, search, attention, copies, files, and what is refused."""

from itertools import product

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models import Seq2Seq, SequenceClassifier
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.seq2seq_network import Seq2SeqBatch, Seq2SeqNetwork
from fastrnn.models.seq2seq_search import END, UNKNOWN, Limits, beam_targets, draw_targets
from gradient_check import assert_slope

SOURCE_LENGTHS, LENGTHS = np.array([4, 1, 3]), np.array([2, 5, 3])


def attention(model, X):
    return model.predict(X, return_attention=True)[1]


def make_network(
    *, context="state", attention="additive", input_feeding=False, cell="lstm", bidirectional=True,
    num_layers=1, dropout=0.0, label_smoothing=0.0, features=False, symbols=5, seed=3,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    shared = {"cell": cell, "hidden_size": 3, "num_layers": num_layers, "dtype": "float64", "rng": rng}
    encoder = SequenceEncoder(
        2 if features else 6, embedding_size=None if features else 3, bidirectional=bidirectional,
        dropout=dropout, cell_options=None, **shared,
    )  # fmt: skip
    options = {} if context == "state" else {"context_size": encoder.output_size}
    decoder = SequenceEncoder(
        symbols, embedding_size=2, bidirectional=False, dropout=dropout, cell_options=options,
        joined_size=3 if input_feeding else 0, **shared,
    )  # fmt: skip
    return Seq2SeqNetwork(
        encoder, decoder, symbols, context=context, attention=attention, input_feeding=input_feeding,
        label_smoothing=label_smoothing, rng=rng,
    )  # fmt: skip


def make_batch(features=False):
    random = np.random.default_rng(1)
    sources = random.normal(size=(4, 3, 2)) if features else random.integers(0, 6, size=(4, 3))
    targets = random.integers(0, 5, size=(5, 3))
    inputs = np.concatenate([np.full((1, 3), END), targets[:-1]])
    return Seq2SeqBatch(sources, SOURCE_LENGTHS, inputs, targets, LENGTHS)


CASES = [
    {"attention": None},
    {"attention": None, "context": "input", "cell": "gru", "bidirectional": False},
    {"attention": None, "context": "both", "num_layers": 2},
    {"label_smoothing": 0.1},
    {"cell": "gru", "bidirectional": False, "context": "input"},
    {"context": "both", "num_layers": 2},
    {"attention": "multiplicative", "features": True},
    {"attention": "multiplicative", "cell": "gru", "context": "both", "num_layers": 2},
    {"input_feeding": True},
    {"input_feeding": True, "cell": "gru", "context": "both", "bidirectional": False},
    {"input_feeding": True, "attention": "multiplicative", "context": "input", "num_layers": 2},
    {"input_feeding": True, "dropout": 0.3, "num_layers": 2},
    {"cell": "slstm"},
    {"cell": "minlstm", "input_feeding": True},
]


@pytest.mark.parametrize("options", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_gradients_are_those_of_central_differences(options):
    network, batch = make_network(**options), make_batch(options.get("features", False))
    random = np.random.default_rng(5)
    flat = network.parameters._writable_flat()
    flat += 0.3 * random.normal(size=flat.shape)
    network.zero_gradients()

    def loss():
        network.rng.bit_generator.state = drawn
        return 0.7 * network.loss_and_gradients(batch)

    drawn = network.rng.bit_generator.state
    network.loss_and_gradients(batch, 0.7)
    wanted = {name: gradient.copy() for name, gradient in network.gradients.items()}
    for name in wanted:
        with network.parameters.edit() as views:
            assert_slope(loss, views[name], wanted[name], random)
        assert np.abs(wanted[name]).max() > 0, name


@pytest.mark.parametrize("options", CASES[:11], ids=lambda case: "-".join(map(str, case.values())))
def test_what_stands_in_the_padding_changes_nothing_and_loss_is_that_of_training(options):
    network, batch = make_network(**{**options, "label_smoothing": 0.0}), make_batch("features" in options)
    other = batch._replace(sources=batch.sources.copy(), inputs=batch.inputs.copy())
    other.sources[SOURCE_LENGTHS[1] :, 1] = 2
    other.inputs[LENGTHS[0] :, 0] = 4
    np.testing.assert_array_equal(network.nats(batch), network.nats(other))
    network.zero_gradients()
    assert network.loss_and_gradients(batch) == pytest.approx(network.loss(batch), rel=1e-12)


def every_target(network, source, longest):
    """Return all targets of at most `longest` symbols with their log-probabilities, by the network's loss."""
    known = [symbol for symbol in range(5) if symbol not in (END, UNKNOWN)]
    result = {}
    for size in range(longest + 1):
        for target in product(known, repeat=size):
            inputs, outputs = np.array([[END, *target], [*target, END]])[:, :, None]
            batch = Seq2SeqBatch(
                source[:, None], np.array([len(source)]), inputs, outputs, np.array([size + 1])
            )
            result[target] = -network.nats(batch).sum()
    return result


@pytest.mark.parametrize("options", [{}, {"attention": None, "context": "both"}, {"input_feeding": True}])
@pytest.mark.parametrize("penalty", [0.0, 1.5])
def test_a_wide_beam_finds_what_brute_force_finds(options, penalty):
    network, batch = make_network(**options), make_batch()
    network.parameters._writable_flat()[...] *= 3  # far from uniform
    found = beam_targets(network, batch.sources, SOURCE_LENGTHS, Limits(3, False), 60, penalty)
    for row, one in enumerate(found):
        targets = every_target(network, batch.sources[: SOURCE_LENGTHS[row], row], 3)
        best = max(targets, key=lambda own: targets[own] / ((6 + len(own)) / 6) ** penalty)
        assert tuple(one.ids) == best
        assert one.log_probability == pytest.approx(targets[best], abs=1e-9)


@pytest.mark.parametrize("options", [{}, {"attention": None}, {"input_feeding": True}])
def test_a_beam_of_one_is_the_greedy_search(options):
    network, batch = make_network(**options), make_batch()
    network.parameters._writable_flat()[...] *= 3
    beam = beam_targets(network, batch.sources, SOURCE_LENGTHS, Limits(6, True), 1, 0.0)
    greedy = fr.decode.Sampling(0.0)
    drawn = draw_targets(network, batch.sources, SOURCE_LENGTHS, Limits(6, True), greedy, None)
    for one, other in zip(beam, drawn, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-12)
        if one.weights is not None:
            np.testing.assert_array_equal(one.weights, other.weights)


TEXTS = ["ab", "ba", "abb", "bab", "aab", "bb", "aa", "bba", "abab"] * 8
REVERSED = [text[::-1].upper() for text in TEXTS]


def small(**options):
    options = {"hidden_size": 24, "epochs": 40, "learning_rate": 0.01, "random_state": 0, **options}
    return Seq2Seq(**options)


@pytest.fixture(scope="module")
def model():
    return small().fit(TEXTS, REVERSED)


@pytest.mark.parametrize(
    "options",
    [
        {"attention": None, "reverse_source": True},
        {"attention": "multiplicative", "context": "both", "cell": "gru", "epochs": 60},
        {"input_feeding": True, "context": "input", "beam_size": 2},
    ],
)
def test_it_learns_to_reverse_texts(options):
    assert small(**options).fit(TEXTS, REVERSED).score(TEXTS, REVERSED) == 1.0


def test_targets_have_the_kind_of_those_in_training():
    words = [" ".join(text) for text in REVERSED]
    model = small(level="word", epochs=30).fit([" ".join(text) for text in TEXTS], words)
    assert model.predict(["a b b"]) == ["B B A"]
    assert model.score(["a  b b"], ["B B  A"]) == 1.0
    numbers = small(epochs=30).fit(TEXTS, [[ord(letter) for letter in text] for text in REVERSED])
    assert numbers.predict(["ab"]) == [[66, 65]]


def test_a_prediction_does_not_depend_on_its_neighbours(model):
    for beam in (1, 3):
        model.beam_size = beam
        together = model.predict(["abab", "b", "abba", "aabbab"])
        assert together == [model.predict([text])[0] for text in ["abab", "b", "abba", "aabbab"]]
        weights = attention(model, ["abab", "b", "abba"])
        np.testing.assert_array_equal(weights[1], attention(model, ["b"])[0])
    model.beam_size = 1


@pytest.mark.parametrize("reverse", [False, True])
def test_attention_rows_sum_to_one_in_the_order_of_the_source(reverse):
    X = [["xyz"[i % 3] for i in range(k, k + n)] for k in range(3) for n in (1, 2, 3, 4)] * 4
    model = small(reverse_source=reverse, epochs=60, bidirectional=False, context="input").fit(X, X)
    (weights,) = attention(model, [list("xyzx")])
    assert weights.shape == (4, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    beam = attention(model.set_params(beam_size=2), [list("xyzx")])[0]
    np.testing.assert_allclose(beam, weights, atol=1e-6)
    # Without reading backwards, the same network gives the mirrored source the mirrored weights.
    (forwards,) = attention(model.set_params(beam_size=1, reverse_source=False), [list("xyzx")[::-1]])
    (as_before,) = attention(model, [list("xyzx")])
    np.testing.assert_array_equal(weights, forwards[:, ::-1] if reverse else as_before)


@pytest.mark.parametrize("reverse", [False, True])
def test_copy_writes_the_word_of_the_source_for_an_unknown_one(reverse):
    names = [f"name{i}" for i in range(60)]
    X = [["call", name] if i % 2 else [name, "speaks"] for i, name in enumerate(names)]
    y = [["rufe", name] if i % 2 else [name, "spricht"] for i, name in enumerate(names)]
    options = {"min_count": 2, "epochs": 60, "bidirectional": False, "hidden_size": 16}
    model = small(copy=True, reverse_source=reverse, **options).fit(X, y)
    new, wanted = [["call", "Zoe"], ["Ada", "speaks"]], [["rufe", "Zoe"], ["Ada", "spricht"]]
    assert model.predict(new) == wanted
    assert model.score(new, wanted) == 1.0
    plain = model.set_params(copy=False)
    assert all(word in ("rufe", "spricht") for target in plain.predict(new) for word in target)


def test_log_likelihood_is_that_of_the_loss_and_a_target_that_is_found(model):
    X, y = ["abab", "b", "aab"], ["BABA", "B", "BBBB"]
    each = model.log_likelihood(X, y)
    loss = model.network_.loss(model._examples(X, y).batch(np.arange(3)))
    assert -each.sum() / (5 + 2 + 5) == pytest.approx(loss, rel=1e-5)
    (found,) = model._search(["abab"])
    assert model.predict(["abab"]) == ["BABA"]
    assert found.log_probability == pytest.approx(each[0], abs=1e-4)


def test_samples_repeat_with_the_same_random_state(model):
    X = ["ababb"] * 40
    drawn = model.sample(X, random_state=3, temperature=3.0)
    assert drawn == model.sample(X, random_state=3, temperature=3.0)
    assert drawn != model.sample(X, random_state=4, temperature=3.0)
    assert model.sample(X, top_k=1) == model.predict(X)
    model.max_length = 2
    assert {len(one) for one in model.sample(X, random_state=3, temperature=5.0)} <= {0, 1, 2}
    assert len(model.predict(["abab"])[0]) <= 2
    model.max_length = None


@pytest.mark.parametrize("options", [{}, {"attention": None, "context": "both"}, {"input_feeding": True}])
def test_a_file_holds_the_whole_model(tmp_path, options):
    made = small(epochs=2, **options).fit(TEXTS, REVERSED)
    made.save(tmp_path / "model.safetensors")
    again = Seq2Seq.load(tmp_path / "model.safetensors")
    assert again.predict(TEXTS[:9]) == made.predict(TEXTS[:9])
    np.testing.assert_array_equal(again.log_likelihood(TEXTS, REVERSED), made.log_likelihood(TEXTS, REVERSED))
    assert again.longest_ == 4
    with pytest.raises(fr.train.CheckpointError, match="Seq2Seq"):
        SequenceClassifier.load(tmp_path / "model.safetensors")


def test_the_same_random_state_gives_the_same_model_and_partial_fit_goes_on():
    one, other = (small(epochs=2, dropout=0.2).fit(TEXTS, REVERSED) for _ in range(2))
    np.testing.assert_array_equal(one.network_.parameters.flat, other.network_.parameters.flat)
    assert one.partial_fit(TEXTS, REVERSED).n_iter_ == 3
    first = small().partial_fit(TEXTS, REVERSED)
    assert first.n_iter_ == 1
    assert first.history_["loss"][0] > first.partial_fit(TEXTS, REVERSED).history_["loss"][1]


REFUSED = [
    ({"attention": "dot"}, TEXTS, REVERSED, "attention: expected"),
    ({"context": "first"}, TEXTS, REVERSED, "context: expected"),
    ({"attention": None, "input_feeding": True}, TEXTS, REVERSED, "input_feeding: .*attention='additive'"),
    ({"attention": None, "copy": True}, TEXTS, REVERSED, "copy: .*attention='additive'"),
    ({"input_feeding": 1}, TEXTS, REVERSED, "input_feeding: expected"),
    ({"copy": "yes"}, TEXTS, REVERSED, "copy: expected"),
    ({"reverse_source": None}, TEXTS, REVERSED, "reverse_source: expected"),
    ({"label_smoothing": 1.0}, TEXTS, REVERSED, "label_smoothing: expected"),
    ({"beam_size": 0}, TEXTS, REVERSED, "beam_size: expected"),
    ({"length_penalty": -1}, TEXTS, REVERSED, "length_penalty: expected"),
    ({"max_length": 0}, TEXTS, REVERSED, "max_length: expected"),
    ({"cell_options": {"context_size": 3}}, TEXTS, REVERSED, "cell_options: .*context='input'"),
    ({}, TEXTS, REVERSED[:-1], r"y: expected 72 entries.*got 71: X\[71\] has none"),
    ({}, TEXTS, None, "y: requires y to be passed"),
    ({}, ["ab", ""], ["a", "b"], r"X\[1\]: expected at least one step, got an empty sequence"),
    ({}, ["ab", "b"], ["", "b"], r"y\[0\]: expected at least one step, got an empty sequence"),
    ({}, ["ab", "b"], [[0.5, 0.1], [0.2]], "y: expected texts, or lists of str or int, got features"),
    ({}, "ab", ["b", "a"], r"X: .*write \[X\]"),
]


@pytest.mark.parametrize(("options", "X", "y", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_wrong_settings_and_data_are_refused_and_nothing_is_lost(options, X, y, message):
    model = small(**{"epochs": 1, **options})
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, y)
    assert not hasattr(model, "network_")


def test_what_a_fitted_model_cannot_do_is_refused(model):
    with pytest.raises(ValueError, match="not fitted"):
        Seq2Seq().predict(["a"])
    plain = small(epochs=1, attention=None).fit(TEXTS, REVERSED)
    with pytest.raises(ValueError, match="return_attention: expected False"):
        attention(plain, ["ab"])
    with pytest.raises(ValueError, match="y: expected 2 entries"):
        model.log_likelihood(["ab", "b"], ["BA"])
    with pytest.raises(ValueError, match=r"X\[1\]: expected at least one step"):
        model.predict(["ab", ""])
    before = model.predict(["ab"])
    with pytest.raises(ValueError, match="epochs"):
        model.set_params(epochs=0).fit(TEXTS, REVERSED)
    model.epochs = 40
    assert model.predict(["ab"]) == before
