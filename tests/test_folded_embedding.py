"""Recurrent layers after an embedding, run with one product per id: the same outputs and gradients."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers.recurrent.folded_embedding import ProjectedStack
from gradient_check import assert_slope

CELLS = {
    "rnn": (fr.RNN, {}),
    "gru-after": (fr.GRU, {}),
    "gru-before": (fr.GRU, {"reset_after": False}),
    "lstm": (fr.LSTM, {}),
}
T, N, V, E, H = 15, 4, 7, 5, 19


def make(cell, dtype="float64", **options):
    make_rnn, more = CELLS[cell]
    embedding = fr.Embedding(V, E, dtype=dtype, seed=1)
    rnn = make_rnn(E, H, 2, dtype=dtype, seed=2, **more, **options)
    random = np.random.default_rng(3)
    ids = random.integers(V, size=(T, N))
    return embedding, rnn, ids, random.normal(size=(T, N, H * rnn.directions)).astype(dtype)


def arrays_of(value):
    return value if isinstance(value, tuple) else (value,)


OPTIONS = [{}, {"bidirectional": True}, {"bias": False}, {"dropout": 0.3}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_have_the_same_bits(cell, dtype, options):
    embedding, rnn, ids, _ = make(cell, dtype, **options)
    state = rnn(embedding(ids))[1]
    plain = rnn(embedding(ids), state)
    projected = ProjectedStack(embedding, rnn)
    for one, two in zip(plain, projected(ids, state), strict=True):
        assert [a.tobytes() for a in arrays_of(one)] == [a.tobytes() for a in arrays_of(two)]
    random = rnn.rng.bit_generator.state
    y, _, _ = rnn.forward(embedding(ids), state)
    rnn.rng.bit_generator.state = random
    assert projected.forward(ids, state)[0].tobytes() == y.tobytes()


@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_the_same_but_for_rounding(cell, options, every):
    embedding, rnn, ids, dy = make(cell, **options)
    random = rnn.rng.bit_generator.state
    x, embedding_tape = embedding.forward(ids)
    _, _, tape = rnn.forward(x)
    dx, _ = rnn.backward(tape, dy)
    embedding.backward(embedding_tape, dx)
    expected = [module.gradients.flat.copy() for module in (embedding, rnn)]
    rnn.rng.bit_generator.state = random
    projected = ProjectedStack(embedding, rnn)
    _, _, tape = projected.forward(ids, checkpoint_every=every)
    projected.backward(tape, dy)  # adds
    for module, once in zip((embedding, rnn), expected, strict=True):
        np.testing.assert_allclose(module.gradients.flat, 2 * once, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_central_differences(cell):
    embedding, rnn, ids, dy = make(cell)

    def loss():
        return float((ProjectedStack(embedding, rnn)(ids)[0] * dy).sum())

    projected = ProjectedStack(embedding, rnn)
    projected.backward(projected.forward(ids)[2], dy)
    random = np.random.default_rng(0)
    for module in (embedding, rnn):
        with module.parameters.edit() as views:
            for name, gradient in module.gradients.items():
                assert_slope(loss, views[name], gradient, random)


def test_a_model_folds_its_embedding_and_computes_the_same_loss():
    model = fr.LanguageModel(V, hidden_size=H, embedding_size=E, dtype="float64", seed=0)
    ids = np.random.default_rng(0).integers(V, size=(T + 1, N))
    assert ids[:-1].size >= 2 * V
    loss, _ = model.loss_and_gradients(ids[:-1], ids[1:])
    gradients = model.gradients.flat.copy()
    model._projected = lambda *_: None
    model.gradients.zero()
    assert model.loss_and_gradients(ids[:-1], ids[1:])[0] == loss == model.loss(ids[:-1], ids[1:])[0]
    np.testing.assert_allclose(model.gradients.flat, gradients, rtol=1e-11, atol=1e-13)
