"""Echo state networks: what is fitted in closed form is what the formulas say, in one pass or several."""

import copy

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models.reservoir import passes

RANDOM = np.random.default_rng(7)


def network(**settings):
    return fr.models.EchoStateNetwork(**{"hidden_size": 20, "washout": 5, "random_state": 0, **settings})


def series(steps=120, width=2, seed=0):
    x = np.random.default_rng(seed).normal(size=(steps, width))
    return x, np.stack([np.roll(x[:, 0], 1) * x[:, 1], np.roll(x[:, 1], 2)], axis=1)


def reference_states(model, x):
    """Return the states of a model with one layer, [T, H], step by step in NumPy."""
    network = model.network_.to_dense()
    layer = {name: value.astype(np.float64) for name, value in network.layers[0].parameters.items()}
    h, states = np.zeros(model.hidden_size), []
    for one in x:
        inside = layer["weight_ih_l0"] @ one + layer["weight_hh_l0"] @ h + layer["bias_ih_l0"]
        h = (1 - model.leak_rate) * h + model.leak_rate * np.tanh(inside)
        states.append(h)
    return np.array(states)


def ridge_solution(z, y, ridge):
    """Return weights and bias of the ridge regression with a free bias, from the augmented system."""
    one = np.column_stack([np.ones(len(z)), z])
    penalty = ridge * np.eye(one.shape[1])
    penalty[0, 0] = 0.0
    found = np.linalg.solve(one.T @ one + penalty, one.T @ y)
    return found[1:], found[0]


def test_the_states_are_those_of_the_equation():
    model = network(leak_rate=0.3, bias_scaling=0.4, density=1.0).fit(*series())
    x, _ = series(seed=1)
    np.testing.assert_allclose(model.states(x), reference_states(model, x), rtol=0, atol=1e-12)


def test_the_readout_is_the_ridge_regression_of_inputs_and_states():
    x, y = series()
    model = network(ridge=0.1, leak_rate=0.7).fit(x, y)
    z = np.column_stack([x, reference_states(model, x)])[5:]
    weight, bias = ridge_solution(z, y[5:], 0.1)
    parameters = model.network_.readout.parameters
    np.testing.assert_allclose(parameters["weight"].T, weight, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(parameters["bias"], bias, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(model.predict(x)[5:], z @ weight + bias, rtol=1e-9, atol=1e-9)
    loss = np.mean((z @ weight + bias - y[5:]) ** 2)
    assert model.history_["loss"] == pytest.approx([loss], rel=1e-9)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "num_reservoirs": 2}, {"feedback_scaling": 0.1}])
def test_partial_fit_on_parts_is_one_fit_on_all(settings):
    data = [series(steps, seed=steps) for steps in (30, 61, 17, 44)]
    xs, ys = [x for x, _ in data], [y for _, y in data]
    whole = network(**settings).fit(xs, ys)
    parts = network(**settings)
    for row in range(4):
        parts.partial_fit(xs[row : row + 1], ys[row : row + 1])
    assert parts.n_iter_ == 4
    weight = whole.network_.readout.parameters["weight"]
    np.testing.assert_allclose(parts.network_.readout.parameters["weight"], weight, rtol=1e-8, atol=1e-10)
    assert whole.partial_fit(xs, ys).n_iter_ == 2


@pytest.mark.parametrize("settings", [{}, {"feedback_scaling": 0.1, "num_layers": 2}])
def test_a_stream_in_pieces_is_the_whole_series(settings):
    x, y = series(200)
    whole, stream = network(washout=20, **settings).fit(x, y), network(washout=20, **settings)
    stream.partial_fit(x[:21], y[:21])
    for begin, end in ((21, 22), (22, 90), (90, 200)):
        stream.partial_fit(x[begin:end], y[begin:end], carry=True)
    weight = whole.network_.readout.parameters["weight"]
    np.testing.assert_allclose(stream.network_.readout.parameters["weight"], weight, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("settings", [{}, {"input_to_readout": True}, {"density": 1.0, "leak_rate": 0.5}])
def test_states_are_made_a_few_steps_at_a_time_and_the_result_is_the_same(settings, monkeypatch):
    xs = [series(steps, seed=steps)[0] for steps in (150, 90, 150, 33)]
    ys = [x[:, 0] ** 2 for x in xs]
    settings = {"ridge": "loo", "input_to_readout": False, **settings}
    expected = network(**settings).fit(xs, ys)
    monkeypatch.setattr(passes, "_CHUNK", 1)  # 16 steps, the least
    monkeypatch.setattr(passes, "_TALL", 1)
    most = []
    states = fr.models.reservoir.network.ReservoirNetwork.states

    def watched(self, x, *rest):
        most.append(x.shape[0])
        return states(self, x, *rest)

    monkeypatch.setattr(fr.models.reservoir.network.ReservoirNetwork, "states", watched)
    found = network(**settings).fit(xs, ys)
    assert max(most) == 16
    weight = expected.network_.readout.parameters["weight"]
    np.testing.assert_allclose(found.network_.readout.parameters["weight"], weight, rtol=1e-7, atol=1e-9)
    assert found.ridge_ == expected.ridge_
    for one, other in zip(found.predict(xs), expected.predict(xs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def test_the_leave_one_out_errors_are_those_of_leaving_each_row_out():
    x, y = series(40)
    model = network(hidden_size=10, ridge=[1e-3, 0.3, 30.0]).fit(x, y)
    z = np.column_stack([x, reference_states(model, x)])[5:]
    expected = {}
    for ridge in (1e-3, 0.3, 30.0):
        errors = []
        for row in range(len(z)):
            kept = np.arange(len(z)) != row
            weight, bias = ridge_solution(z[kept], y[5:][kept], ridge)
            errors.append((z[row] @ weight + bias - y[5 + row]) ** 2)
        expected[ridge] = np.mean(errors)
    assert model.ridge_errors_ == pytest.approx(expected, rel=1e-8)
    assert model.ridge_ == min(expected, key=expected.get)
    weight, _ = ridge_solution(z, y[5:], model.ridge_)
    np.testing.assert_allclose(model.network_.readout.parameters["weight"].T, weight, rtol=1e-8)


def test_loo_chooses_from_15_powers_of_ten_and_repeats_the_noise():
    x, y = series(300)
    model = network(ridge="loo", noise=0.1).fit(x, y)
    assert len(model.ridge_errors_) == 15
    assert model.ridge_ == min(model.ridge_errors_, key=model.ridge_errors_.get)
    fixed = network(ridge=model.ridge_, noise=0.1).fit(x, y)
    weight = fixed.network_.readout.parameters["weight"]
    np.testing.assert_allclose(model.network_.readout.parameters["weight"], weight, rtol=1e-6, atol=1e-9)
    # The errors are those of the rows that the readout was fitted to: the best is near the training error.
    assert fixed.history_["loss"][0] < model.ridge_errors_[model.ridge_] < 2 * fixed.history_["loss"][0]


def test_rls_without_forgetting_converges_to_the_ridge_regression():
    x, y = series(400)
    settings = {"hidden_size": 30, "ridge": 0.01}
    ridge, rls = network(**settings).fit(x, y), network(readout="rls", **settings).fit(x, y)
    weight = ridge.network_.readout.parameters["weight"]
    np.testing.assert_allclose(rls.network_.readout.parameters["weight"], weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rls.predict(x), ridge.predict(x), atol=1e-6)


def test_rls_follows_a_system_that_changes_if_it_forgets():
    x = np.random.default_rng(0).normal(size=(600, 1))
    y = np.where(np.arange(600) < 300, 1.0, -1.0) * x[:, 0]
    plain = network(readout="rls", hidden_size=10).fit(x, y)
    forgetting = network(readout="rls", forgetting=0.95, hidden_size=10).fit(x, y)
    error = {model: np.abs(model.predict(x)[500:] - y[500:]).max() for model in (plain, forgetting)}
    assert error[forgetting] < 1e-3 < 0.5 < error[plain]


def test_rls_stays_stable_over_many_steps_with_forgetting():
    from fastrnn.models.reservoir.rls import RecursiveLeastSquares

    z = np.random.default_rng(0).normal(size=(4000, 6)) * 10.0 ** np.arange(0, -6, -1)  # badly scaled
    rls = RecursiveLeastSquares(6, 1, ridge=1e-6, forgetting=0.9)
    rls.add(z, z.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(rls.weight[1:, 0], 1.0, rtol=1e-4)
    assert np.isfinite(rls.root).all()


def test_rls_in_parts_is_rls_at_once():
    x, y = series(100)
    whole, parts = network(readout="rls", forgetting=0.99), network(readout="rls", forgetting=0.99)
    whole.fit(x, y)
    parts.partial_fit(x[:40], y[:40]).partial_fit(x[40:], y[40:], carry=True)
    np.testing.assert_allclose(parts.predict(x), whole.predict(x), rtol=1e-9, atol=1e-10)


def test_noise_is_added_in_training_only_and_by_the_seed():
    x, y = series()
    one, same, other = (network(noise=0.2, random_state=seed).fit(x, y) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.predict(x), same.predict(x))
    assert (one.predict(x) != other.predict(x)).any()
    np.testing.assert_array_equal(one.states(x), network().fit(x, y).states(x))
    quiet = np.abs(network(ridge=1e-9).fit(x, y).network_.readout.parameters["weight"]).max()
    assert (
        np.abs(network(ridge=1e-9, noise=0.2).fit(x, y).network_.readout.parameters["weight"]).max() < quiet
    )


def test_noise_is_within_the_nonlinearity():
    from fastrnn.models.reservoir.noise import NoisyReservoirs

    x, y = series(50)
    model = network(density=1.0, leak_rate=0.5).fit(x, y)
    noisy = NoisyReservoirs(model.network_, 0.3, np.random.default_rng(5))
    found = noisy.states(x[:, None], None)[0][0][:, 0]
    drawn = np.random.default_rng(5).normal(scale=0.3, size=(50, 1, 20))[:, 0]
    layer = model.network_.layers[0].parameters
    h = np.zeros(20)
    for step in range(50):
        inside = layer["weight_ih_l0"] @ x[step] + layer["weight_hh_l0"] @ h + drawn[step]
        h = 0.5 * h + 0.5 * np.tanh(inside)
        np.testing.assert_allclose(found[step], h, atol=1e-12)


def test_deep_reservoirs_read_the_layer_below_and_the_readout_reads_all():
    x, y = series()
    model = network(num_layers=3, num_reservoirs=2, spectral_radius=(0.9, 0.8, 0.7)).fit(x, y)
    assert model.states(x).shape == (120, 120)
    assert model.network_.readout.in_features == 2 + 120
    layers = model.network_.groups[1]
    below, _ = layers[0](x[:, None])
    np.testing.assert_array_equal(model.states(x)[:, 80:100], layers[1](below)[0][:, 0])
    assert network(num_layers=3, input_to_readout=False).fit(x, y).network_.readout.in_features == 60


def test_reservoirs_side_by_side_read_their_own_columns():
    x, y = series()
    model = network(num_reservoirs=2, input_groups=[[0], [1]]).fit(x, y)
    changed = x.copy()
    changed[:, 1] += 1.0
    before, after = model.states(x), model.states(changed)
    np.testing.assert_array_equal(before[:, :20], after[:, :20])
    assert (before[:, 20:] != after[:, 20:]).any()


def test_input_scaling_may_differ_between_features():
    x, y = series()
    model = network(input_scaling=[1.0, 0.0]).fit(x, y)
    assert (model.network_.layers[0].parameters["weight_ih_l0"][:, 1] == 0).all()


def test_float32_states_with_a_readout_from_float64_moments():
    x, y = series(300)
    wide, narrow = network(ridge=0.01).fit(x, y), network(ridge=0.01, dtype="float32").fit(x, y)
    assert narrow.network_.dtype == np.float32
    np.testing.assert_allclose(narrow.predict(x), wide.predict(x), atol=1e-3)


def test_one_seed_makes_one_model_and_a_generator_another_each_time():
    x, y = series()
    np.testing.assert_array_equal(network().fit(x, y).predict(x), network().fit(x, y).predict(x))
    generator = np.random.default_rng(0)
    model = network(random_state=generator)
    assert (model.fit(x, y).predict(x) != copy.copy(model).fit(x, y).predict(x)).any()
