"""Jacobians, their products and Lyapunov exponents against dense matrices, eigenvalues and differences."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.inspect.scaled_product import ScaledProduct
from fastrnn.inspect.trajectory import Trajectory
from variant_cases import parts_of

LAYERS = {
    "rnn": lambda **more: fr.RNN(2, 4, num_layers=2, seed=1, **more),
    "rnn skip": lambda **more: fr.RNN(2, 3, skip=2, seed=1, **more),
    "rnn relu reverse": lambda **more: fr.RNN(2, 4, nonlinearity="relu", reverse=True, seed=1, **more),
    "gru": lambda **more: fr.GRU(2, 4, seed=1, **more),
    "lstm": lambda **more: fr.LSTM(2, 3, num_layers=2, seed=1, **more),
    "lstm proj context": lambda **more: fr.LSTM(2, 3, proj_size=2, context_size=2, seed=1, **more),
    "jordan": lambda **more: fr.Jordan(2, 4, 3, hidden_recurrence=True, seed=1, **more),
    "lstm coupled relevance": lambda **more: fr.LSTM(2, 3, coupled=True, relevance=True, seed=1, **more),
    "mingru": lambda **more: fr.MinGRU(2, 4, seed=1, **more),
}


def dense_jacobian(layer, x, state, context):
    """Return ds_T / ds_0 of one sequence by central differences, [d, d]."""
    parts = [np.array(part) for part in parts_of(state)]

    def last():
        given = parts[0] if len(parts) == 1 else tuple(parts)
        found = layer(x, given, **context)[1]
        return np.concatenate([part.ravel() for part in parts_of(found)])

    columns = []
    for part in parts:
        for index in np.ndindex(*part.shape):
            kept = part[index]
            part[index] = kept + 1e-6
            above = last()
            part[index] = kept - 1e-6
            columns.append((above - last()) / 2e-6)
            part[index] = kept
    return np.array(columns).T


def one_run(layer, steps):
    random = np.random.default_rng(2)
    x = random.normal(size=(steps, 1, 2))
    state = [0.5 * random.normal(size=(layer.num_layers, *s)) for s in layer.spec.state_shapes(1)]
    context = {"context": random.normal(size=(steps, 1, 2))} if layer.options.context_size else {}
    return x, state[0] if len(state) == 1 else tuple(state), context


@pytest.mark.parametrize("name", LAYERS)
def test_jacobians_are_those_of_central_differences(name):
    layer = LAYERS[name](dtype="float64")
    x, state, context = one_run(layer, 3)
    values = np.linalg.svd(dense_jacobian(layer, x, state, context), compute_uv=False)
    logs = fr.inspect.jacobian_product(layer, x, state, **context)[0]
    large = values > 1e-6
    assert large.sum() >= (1 if "relu" in name else 3)
    np.testing.assert_allclose(np.exp(logs[large]), values[large], rtol=1e-4)
    assert (np.exp(logs[~large]) < 1e-6).all()

    norms = fr.inspect.jacobian_norms(layer, x, state, **context)[:, 0]
    order = slice(None, None, -1) if layer.options.reverse else slice(None)
    for t, norm in enumerate(norms):
        step = x[order][t : t + 1]
        own = {"context": context["context"][t : t + 1]} if context else {}
        expected = np.linalg.norm(dense_jacobian(layer, step, state, own), 2)
        assert norm == pytest.approx(expected, rel=1e-6)
        state = layer(step, state, **own)[1]


@pytest.mark.parametrize("name", LAYERS)
def test_the_copy_in_float64_runs_as_the_layer_does_in_inference(name):
    layer = LAYERS[name](batch_first=True, state_dropout=0.0 if name == "mingru" else 0.3)
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 2)).astype("float32")
    context = random.normal(size=(2, 2)).astype("float32") if layer.options.context_size else None
    run = Trajectory(layer, x, context=context)
    given = {} if context is None else {"context": context}
    last = np.concatenate(
        [np.moveaxis(part, 1, 0).reshape(2, -1) for part in parts_of(layer(x, **given)[1])], axis=1
    )
    np.testing.assert_allclose(run.states()[-1], last, atol=1e-6)


def test_exponents_of_a_linear_network_are_logarithms_of_its_eigenvalues():
    layer = fr.RNN(1, 5, nonlinearity="identity", dtype="float64", seed=0)
    values = np.array([1.1, 0.9, -0.7, 0.4, 0.1])
    basis = np.random.default_rng(0).normal(size=(5, 5))
    layer.load_state_dict(
        {**layer.state_dict(), "weight_hh_l0": basis @ np.diag(values) @ np.linalg.inv(basis)}
    )
    x = np.ones((400, 1))
    found = fr.inspect.lyapunov_exponents(layer, x, settle=200)
    np.testing.assert_allclose(found, np.log(np.abs(values)), atol=1e-10)
    largest = fr.inspect.lyapunov_exponents(layer, x, count=2, settle=200, every=7)
    np.testing.assert_allclose(largest, found[:2], atol=1e-10)


def test_exponents_of_a_resting_tanh_network_are_those_of_its_matrix():
    layer = fr.RNN(1, 4, num_layers=2, bias=False, dtype="float64", seed=3)
    found = fr.inspect.lyapunov_exponents(layer, np.zeros((1500, 1, 1)), settle=750)[0]
    matrices = [layer.parameters[f"weight_hh_l{i}"] for i in (0, 1)]
    moduli = np.abs(np.concatenate([fr.inspect.eigenvalues(W) for W in matrices]))
    np.testing.assert_allclose(found, -np.sort(-np.log(moduli)), atol=2e-3)


def test_the_product_of_a_normal_matrix_has_powers_of_its_singular_values():
    layer = fr.RNN(1, 6, nonlinearity="identity", dtype="float64", seed=0)
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    values = np.array([1.2, 1.2, 1.19, 0.5, 1e-3, 0.0])
    layer.load_state_dict({**layer.state_dict(), "weight_hh_l0": q @ np.diag(values) @ q.T})
    found = fr.inspect.jacobian_product(layer, np.zeros((1500, 1)))
    np.testing.assert_allclose(found[:5] / 1500, np.log(values[:5]), rtol=1e-9)
    assert found[5] < 1500 * np.log(1e-10)  # zero but for rounding


def test_a_dead_relu_network_passes_nothing():
    layer = fr.RNN(1, 3, nonlinearity="relu", dtype="float64", seed=0)
    x = np.full((20, 1), -1e3)
    layer.load_state_dict({**layer.state_dict(), "weight_ih_l0": np.ones((3, 1))})
    assert (fr.inspect.jacobian_product(layer, x) == -np.inf).all()
    assert (fr.inspect.lyapunov_exponents(layer, x) == -np.inf).all()
    assert not fr.inspect.jacobian_norms(layer, x).any()


def test_products_of_triangular_matrices_keep_small_singular_values():
    random = np.random.default_rng(4)
    product, exact = ScaledProduct(5), np.eye(5)
    for _ in range(4):
        factor = np.triu(random.normal(size=(5, 5)))
        product.multiply_left(factor)
        exact = factor @ exact
    np.testing.assert_allclose(
        np.exp(product.log_singular_values()), np.linalg.svd(exact, compute_uv=False), rtol=1e-10
    )
    same = ScaledProduct(3)
    for _ in range(2000):
        same.multiply_left(2.0 * np.eye(3))
    np.testing.assert_allclose(same.log_singular_values(), 2000 * np.log(2.0), rtol=1e-12)


def test_a_run_begins_with_the_learned_state():
    layer = fr.GRU(2, 3, learn_state=True, dtype="float64", seed=1)
    layer.load_state_dict({**layer.state_dict(), "initial_h": np.full((1, 3), 0.7)})
    x = np.random.default_rng(0).normal(size=(4, 2))
    given = fr.inspect.jacobian_product(layer, x, np.full((1, 3), 0.7))
    np.testing.assert_array_equal(fr.inspect.jacobian_product(layer, x), given)


def test_looking_leaves_the_layer_as_it_was():
    layer = fr.LSTM(3, 4, input_dropout=0.5, seed=1)
    layer.gradients.flat[...] = 3
    parameters, drawn = layer.parameters.flat.copy(), layer.rng.bit_generator.state
    x = np.random.default_rng(0).normal(size=(8, 2, 3)).astype("float32")
    assert fr.inspect.lyapunov_exponents(layer, x).shape == (2, 8)
    assert fr.inspect.jacobian_product(layer, np.array([0, 2, 1])).shape == (8,)
    assert (layer.gradients.flat == 3).all()
    np.testing.assert_array_equal(layer.parameters.flat, parameters)
    assert layer.rng.bit_generator.state == drawn


@pytest.mark.parametrize(
    ("layer", "kind", "message"),
    [
        (lambda: fr.GRU(3, 4, bidirectional=True), ValueError, "expected one direction, got a bidirectional"),
        (lambda: fr.GRU(3, 4, zoneout=0.1), ValueError, "expected no zoneout"),
        (lambda: fr.Linear(3, 4), TypeError, "layer: expected a recurrent layer such as LSTM, got Linear"),
    ],
)
def test_layers_without_a_map_from_state_to_state_are_refused(layer, kind, message):
    with pytest.raises(kind, match=message):
        fr.inspect.lyapunov_exponents(layer(), np.zeros((3, 1, 3), "float32"))


def test_impossible_counts_are_refused():
    layer, x = fr.GRU(3, 4, seed=0), np.zeros((5, 3), "float32")
    for name, value in (("count", 5), ("count", 0), ("settle", 5), ("every", 0)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            fr.inspect.lyapunov_exponents(layer, x, **{name: value})
    with pytest.raises(ValueError, match="x: expected at least one step"):
        fr.inspect.jacobian_norms(layer, x[:0])


def test_a_run_that_is_not_finite_has_no_jacobians():
    layer, x = fr.GRU(3, 4, seed=0), np.zeros((5, 3), "float32")
    state = np.full((1, 4), np.nan, "float32")
    x[2] = np.inf
    grows = fr.RNN(3, 1, nonlinearity="relu", dtype="float64", seed=0)
    grows.parameters["weight_hh_l0"] = [[1e200]]
    grows.parameters["bias_ih_l0"] = [1.0]
    for look in (fr.inspect.jacobian_norms, fr.inspect.jacobian_product, fr.inspect.lyapunov_exponents):
        with pytest.raises(ValueError, match="x: expected a run with finite states, got others after step 2"):
            look(layer, x)
        with pytest.raises(ValueError, match="state: expected finite numbers"):
            look(layer, x[:2], state)
        with pytest.raises(ValueError, match="after step 2: an input is not finite, or the states grow"):
            look(grows, np.zeros((5, 3)))


def test_power_norms_are_between_the_radius_and_the_largest_singular_value():
    W = np.random.default_rng(0).normal(size=(6, 6)) / 3
    norms = fr.inspect.power_norms(W, 30)
    expected = [np.linalg.norm(np.linalg.matrix_power(W, t), 2) for t in range(31)]
    np.testing.assert_allclose(norms, expected, rtol=1e-12)
    t = np.arange(31)
    assert (norms <= np.linalg.norm(W, 2) ** t * (1 + 1e-12)).all()
    assert (norms >= fr.inspect.spectral_radius(W) ** t * (1 - 1e-12)).all()
    assert fr.inspect.power_norms(np.eye(3, k=1), 4).tolist() == [1, 1, 1, 0, 0]
    assert fr.inspect.power_norms(np.zeros((2, 2)), 2).tolist() == [1, 0, 0]
    assert fr.inspect.power_norms(1e200 * np.eye(2), 2)[2] == np.inf
    with pytest.raises(ValueError, match="W: expected a square matrix"):
        fr.inspect.power_norms(np.zeros((2, 3)), 2)
