"""Parameter initialisation: values, unchanged parameters, errors."""

import re

import numpy as np
import pytest

import fastrnn as fr

CELLS = {
    "rnn": fr.RNN(6, 8, 2, bidirectional=True, dtype="float64", seed=0),
    "gru": fr.GRU(6, 8, 2, bidirectional=True, dtype="float64", seed=0),
    "lstm": fr.LSTM(6, 8, 2, bidirectional=True, dtype="float64", seed=0),
}
SEEDED = {
    "uniform": lambda module, seed: fr.init.uniform(module, 0.1, seed=seed),
    "xavier_uniform": lambda module, seed: fr.init.xavier_uniform(module, seed=seed),
    "xavier_normal": lambda module, seed: fr.init.xavier_normal(module, seed=seed),
    "orthogonal": lambda module, seed: fr.init.orthogonal(module, inputs=True, seed=seed),
}


def make_model():
    """Make a module of an embedding, layers with various parameters, and a linear layer on top."""
    stack = fr.Stack(
        fr.LSTM(6, 8, proj_size=5, peephole=True, learn_state=True, seed=0),
        fr.GRU(5, 4, layer_norm=True, seed=1),
    )
    return fr.layers.Composite(
        embedding=fr.Embedding(9, 6, seed=2), stack=stack, output=fr.Linear(4, 3, seed=3)
    )


def gates_of(layer, name):
    return np.split(layer.parameters[name], layer.gates)


def changed(module, action):
    """Return the names of the parameters that an action changes."""
    before = module.state_dict()
    action(module)
    return {name for name, value in module.parameters.items() if not np.array_equal(value, before[name])}


@pytest.mark.parametrize("action", SEEDED.values(), ids=SEEDED)
def test_a_seed_gives_the_same_numbers_each_time(action):
    results = []
    for seed in (1, 1, 2, np.random.default_rng(1)):
        model = make_model()
        action(model, seed)
        results.append(model.parameters.flat.copy())
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert np.array_equal(results[0], results[3])


@pytest.mark.parametrize("action", SEEDED.values(), ids=SEEDED)
def test_only_matrices_and_biases_change(action):
    names = changed(make_model(), lambda module: action(module, 0))
    kinds = {name.rpartition(".")[2] for name in names}
    assert kinds >= {"weight_ih_l0", "weight_hh_l0", "weight"}
    assert kinds <= {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight", "bias"}
    others = {name.rpartition(".")[2] for name in make_model().parameters} - kinds
    assert others >= {"weight_hr_l0", "weight_peephole_l0", "initial_h", "gain_ih_l0"}


@pytest.mark.parametrize("action", SEEDED.values(), ids=SEEDED)
def test_a_layer_runs_with_what_it_was_given(action):
    rnn = fr.GRU(3, 4, seed=0)
    x = np.ones((2, 1, 3), np.float32)
    stream = rnn.stream()
    before = rnn(x)[0]
    action(rnn, 1)
    assert not np.array_equal(rnn(x)[0], before)
    assert np.array_equal([stream.step(x_t) for x_t in x], rnn(x)[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: fr.RNN(3, 5, 2, bidirectional=True, seed=seed),
        lambda seed: fr.LSTM(3, 5, dtype="float64", seed=seed),
        lambda seed: fr.Linear(3, 5, seed=seed),
        lambda seed: fr.MinGRU(3, 5, seed=seed),
    ],
    ids=["rnn", "lstm", "linear", "mingru"],
)
def test_uniform_is_how_layers_start(make):
    module = make(seed=1)
    fr.init.uniform(module, seed=2)
    assert np.array_equal(module.parameters.flat, make(seed=2).parameters.flat)


def test_uniform_has_its_bound():
    model = make_model()
    fr.init.uniform(model, 0.05, seed=0)
    for name in ("embedding.weight", "stack.layer0.weight_ih_l0", "stack.layer1.bias_hh_l0", "output.bias"):
        assert 0.03 < abs(model.parameters[name]).max() <= 0.05


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_xavier_goes_by_the_gates_own_shape(cell, gain):
    layer = type(CELLS[cell])(300, 200, dtype="float64", seed=0)
    fr.init.xavier_uniform(layer, gain, seed=1)
    for name, size in (("weight_ih_l0", 500), ("weight_hh_l0", 400)):
        bound = gain * np.sqrt(6 / size)
        for gate in gates_of(layer, name):
            assert 0.999 * bound < abs(gate).max() <= bound
            assert abs(gate.var() / (gain**2 * 2 / size) - 1) < 0.05
    fr.init.xavier_normal(layer, gain, seed=1)
    for name, size in (("weight_ih_l0", 500), ("weight_hh_l0", 400)):
        for gate in gates_of(layer, name):
            assert abs(gate).max() > gain * np.sqrt(6 / size)
            assert abs(gate.var() / (gain**2 * 2 / size) - 1) < 0.05
    assert not layer.parameters["bias_ih_l0"].any()
    assert not layer.parameters["bias_hh_l0"].any()


@pytest.mark.parametrize("cell", CELLS)
def test_each_gates_recurrent_matrix_is_orthogonal(cell):
    layer = CELLS[cell]
    names = changed(layer, lambda module: fr.init.orthogonal(module, 1.5, seed=1))
    assert names == {name for name in layer.parameters if name.startswith("weight_hh")}
    seen = []
    for name in sorted(names):
        for gate in gates_of(layer, name):
            np.testing.assert_allclose(gate @ gate.T, 1.5**2 * np.eye(8), atol=1e-12)
            seen.append(gate.tobytes())
    assert len(set(seen)) == len(seen) == 4 * layer.gates


def test_matrices_that_are_not_square_have_orthogonal_rows_or_columns():
    model = make_model()
    fr.init.orthogonal(model, inputs=True, seed=0)
    layer = model.stack.layer0
    for gate in gates_of(layer, "weight_ih_l0") + gates_of(layer, "weight_hh_l0"):  # [8, 6], [8, 5]
        np.testing.assert_allclose(gate.T @ gate, np.eye(gate.shape[1]), atol=1e-6)
    wide = model.output.parameters["weight"]  # [3, 4]
    np.testing.assert_allclose(wide @ wide.T, np.eye(3), atol=1e-6)


def test_orthogonal_matrices_are_uniform_among_all():
    """Check the signs: without those of R, one sign would be more frequent on the diagonal."""
    signs = []
    for seed in range(300):
        linear = fr.Linear(2, 2, dtype="float64", seed=0)
        fr.init.orthogonal(linear, inputs=True, seed=seed)
        signs.append(linear.parameters["weight"][0, 0] > 0)
    assert 0.4 < np.mean(signs) < 0.6


def test_an_irnn_carries_its_state_on():
    rnn = fr.RNN(3, 4, 2, bidirectional=True, nonlinearity="relu", dtype="float64", seed=0)
    names = changed(rnn, lambda module: fr.init.identity(module, 0.5))
    assert names == {name for name in rnn.parameters if not name.startswith("weight_ih")}
    for name, value in rnn.parameters.items():
        if name.startswith("weight_hh"):
            assert np.array_equal(value, 0.5 * np.eye(4))
        elif name.startswith("bias"):
            assert not value.any()
    single = fr.RNN(3, 4, nonlinearity="relu", seed=0)
    fr.init.identity(single)
    state = np.array([[[1.0, 2.0, 0.0, 4.0]]], np.float32)
    assert np.array_equal(single(np.zeros((50, 1, 3), np.float32), state)[1], state)


def test_an_irnn_in_a_model_leaves_the_output_alone():
    model = fr.layers.Composite(rnn=fr.RNN(3, 4, seed=0), output=fr.Linear(4, 2, seed=1))
    names = changed(model, fr.init.identity)
    assert names == {"rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"}


@pytest.mark.parametrize("options", [{}, {"relevance": True}, {"peephole": True}], ids=str)
def test_the_forget_gates_bias_is_what_is_asked_for(options):
    rnn = fr.LSTM(3, 4, 2, bidirectional=True, dtype="float64", seed=0, **options)
    before = rnn.state_dict()
    fr.init.forget_bias(rnn, 2.5)
    forget = np.arange(len(before["bias_ih_l0"])) // 4 == 1  # i, f, g, o
    for name, value in rnn.parameters.items():
        if name.startswith("bias"):
            assert (value[forget] == (2.5 if name.startswith("bias_ih") else 0.0)).all()
            assert np.array_equal(value[~forget], before[name][~forget])
        else:
            assert np.array_equal(value, before[name])


def test_the_forget_gate_is_the_one_that_the_cell_uses():
    rnn = fr.LSTM(3, 4, dtype="float64", seed=0)
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    fr.init.forget_bias(rnn, 30.0)
    gates = rnn.forward(x)[2].layers[0].gates
    assert (gates[:, :, 1] > 0.999).all()
    assert (gates[:, :, [0, 3]] < 0.999).all()


def refused(action, module, error, text):
    before = module.parameters.flat.copy() if isinstance(module, fr.layers.Module) else None
    with pytest.raises(error, match=re.escape(text)):
        action(module)
    if before is not None:
        assert np.array_equal(module.parameters.flat, before)


def test_invalid_arguments_are_refused():
    rnn, gru, lstm, linear = fr.RNN(3, 4), fr.GRU(4, 4), fr.LSTM(3, 4), fr.Linear(3, 4)
    mixed = fr.Stack(fr.RNN(3, 4), fr.GRU(4, 4))
    for action in (fr.init.uniform, fr.init.xavier_normal, fr.init.orthogonal, fr.init.identity):
        refused(action, {}, TypeError, "module: expected a Module, got dict")
    refused(fr.init.identity, gru, ValueError, "module: expected RNN layers, got GRU")
    refused(fr.init.identity, mixed, ValueError, "module: expected RNN layers, got GRU")
    refused(fr.init.identity, linear, ValueError, "module: expected RNN layers, got none")
    projected = fr.RNN(3, 4, proj_size=2)
    refused(fr.init.identity, projected, ValueError, "weight_hh_l0: expected a square matrix, got [4, 2]")
    refused(fr.init.forget_bias, gru, TypeError, "module: expected LSTM or SLSTM layers, got GRU")
    refused(fr.init.forget_bias, linear, TypeError, "module: expected LSTM or SLSTM layers, got none")
    bare = fr.Stack(fr.LSTM(3, 4), fr.LSTM(4, 4, bias=False))
    refused(fr.init.forget_bias, bare, ValueError, "module: expected a bias, got LSTM(4, 4, bias=False)")
    coupled = fr.LSTM(3, 4, coupled=True)
    text = "module: expected a forget gate of its own, got LSTM(3, 4, coupled=True)"
    refused(fr.init.forget_bias, coupled, ValueError, text)
    text = "module: expected a weight_hh, got none; inputs=True includes other matrices"
    refused(fr.init.orthogonal, linear, ValueError, text)
    refused(
        lambda m: fr.init.uniform(m, 0.0), rnn, ValueError, "bound: expected a finite number above 0, got 0.0"
    )
    refused(lambda m: fr.init.uniform(m, "1"), rnn, TypeError, "bound: expected a number, got str")
    refused(
        lambda m: fr.init.orthogonal(m, -1.0),
        rnn,
        ValueError,
        "gain: expected a finite number above 0, got -1.0",
    )
    refused(lambda m: fr.init.identity(m, None), rnn, TypeError, "scale: expected a number, got NoneType")
    refused(lambda m: fr.init.forget_bias(m, "1"), lstm, TypeError, "value: expected a number, got str")
