"""The network of Seq2Seq: gradients, PyTorch, the same bits in any batch, how often symbols are drawn."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn.decode import Sampling, log_probabilities
from fastrnn.models import Seq2Seq
from fastrnn.models.seq2seq_search import END, UNKNOWN, Limits, beam_targets, draw_targets
from gradient_check import assert_slope

SOURCES = ["abca", "b", "cabac"]
TARGETS = ["yz", "zzyz", "y"]


def make_model(sources=SOURCES, dtype="float64", **settings):
    """Return a model that is about to be trained: its parameters are random."""
    settings = {"cell": "gru", "hidden_size": 2, "embedding_size": 2, "unknown_alpha": 0.0, **settings}
    model = Seq2Seq(dtype=dtype, random_state=3, **settings)
    model._learn(sources, TARGETS, model._generator())
    return model


def make_batch(model, sources=SOURCES):
    return model._examples(sources, TARGETS).batch(np.arange(3))


FEATURES = [np.random.default_rng(row).normal(size=(len(text), 2)) for row, text in enumerate(SOURCES)]
CASES = {
    "input feeding without an embedding": {"input_feeding": True, "context": "input", "embedding_size": None},
    "one-hot vectors": {"embedding_size": None},
    "unknown symbols": {"unknown_alpha": 1.0},
    "a projected LSTM": {"cell": "lstm", "cell_options": {"proj_size": 1}},
    "features, with dropout": {"sources": FEATURES, "dropout": 0.3, "attention": None, "context": "both"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_gradients_are_the_central_differences_of_the_loss(case):
    sources = CASES[case].get("sources", SOURCES)
    model = make_model(**CASES[case])
    network, batch = model.network_, make_batch(model, sources)
    kept = network.rng.bit_generator.state

    def loss():
        network.rng.bit_generator.state = kept  # the same dropout, and the same symbols unknown
        return network.loss_and_gradients(batch, 0.7) * 0.7

    network.zero_gradients()
    loss()
    gradients = {name: gradient.copy() for name, gradient in network.gradients.items()}
    assert all(gradient.any() for gradient in gradients.values())
    random = np.random.default_rng(0)
    for name, gradient in gradients.items():
        with network.parameters.edit() as views:
            assert_slope(loss, views[name], gradient, random)


@pytest.mark.torch
@pytest.mark.parametrize("input_feeding", [False, True])
def test_the_loss_and_gradients_are_those_of_the_model_in_pytorch(torch, input_feeding):
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # benchmarks/ is not installed
    from benchmarks.torch_models import seq2seq as theirs

    model = make_model(cell="lstm", hidden_size=3, input_feeding=input_feeding)
    batch, network = make_batch(model), model.network_
    network.zero_gradients()
    twin = theirs.twin_of(model)
    loss = twin(*theirs.as_tensors(batch))
    assert network.loss_and_gradients(batch) == pytest.approx(float(loss.detach()), rel=1e-12)
    assert network.loss(batch) == pytest.approx(float(loss.detach()), rel=1e-12)
    loss.backward()
    expected = {name: parameter.grad.numpy() for name, parameter in twin.named_parameters()}
    found = dict(theirs.as_theirs(model, network.gradients))
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("settings", [{}, {"input_feeding": True}, {"attention": None, "context": "both"}])
def test_what_padding_holds_changes_no_bit(settings):
    model = make_model(dtype="float32", **settings)
    network, batch = model.network_, make_batch(model)
    other = batch._replace(sources=batch.sources.copy(), inputs=batch.inputs.copy())
    other.sources[np.arange(len(batch.sources))[:, None] >= batch.source_lengths] = 2
    other.inputs[~batch.real] = 3
    results = []
    for own in (batch, other):
        network.zero_gradients()
        results.append((network.loss_and_gradients(own), network.gradients.flat.copy(), network.nats(own)))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("settings", [{}, {"input_feeding": True}, {"attention": None, "context": "both"}])
def test_a_target_has_the_same_loss_alone_and_in_a_batch(settings):
    model = make_model(dtype="float32", **settings)
    together = model.network_.nats(make_batch(model))
    examples = model._examples(SOURCES, TARGETS)
    for row in range(3):
        alone = model.network_.nats(examples.batch(np.array([row])))
        np.testing.assert_array_equal(alone[:, 0], together[: len(alone), row])


def test_a_beam_finds_the_same_for_a_source_alone_and_in_a_batch():
    model = make_model(hidden_size=8)
    x = np.random.default_rng(0).integers(1, 4, size=(5, 12))
    lengths = np.random.default_rng(1).integers(1, 6, size=12)
    limits = Limits(6, unknown=False)
    together = beam_targets(model.network_, x, lengths, limits, 3, 0.6)
    for row, one in enumerate(together):
        size = lengths[row]
        (alone,) = beam_targets(model.network_, x[:size, [row]], lengths[[row]], limits, 3, 0.6)
        np.testing.assert_array_equal(alone.ids, one.ids)
        assert alone.log_probability == one.log_probability
        np.testing.assert_array_equal(alone.weights, one.weights)


def test_symbols_are_drawn_as_often_as_they_are_likely():
    model = make_model()
    count = 4000
    x, lengths = np.full((1, count), 1), np.ones(count, np.int64)
    random = np.random.default_rng(0)
    found = draw_targets(
        model.network_,
        x,
        lengths,
        Limits(2, unknown=False),
        Sampling(),
        lambda rows: random.random(len(rows)),
    )
    assert not any(UNKNOWN in one.ids for one in found)
    first = np.bincount([one.ids[0] if len(one.ids) else END for one in found], minlength=4) / count
    y, encoded = model.network_.encoder(x[:, :1], lengths[:1])
    start = model.network_.start(encoded)
    d, _ = model.network_.decoder(np.array([[END]]), None, state=start.state, context=start.context)
    a, _ = model.network_.attend(d, model.network_.attention.prepare(y, lengths[:1]))
    p = np.exp(log_probabilities(model.network_.output(a[0]))[0])
    p[UNKNOWN] = 0
    np.testing.assert_allclose(first, p / p.sum(), atol=0.03)
