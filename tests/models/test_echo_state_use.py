"""Echo state networks in use: generation, memory, training on, files."""

import copy
import pickle

import numpy as np
import pytest
from tests.gradient_check import assert_slope

import fastrnn as fr


def network(**settings):
    return fr.models.EchoStateNetwork(**{"hidden_size": 20, "washout": 5, "random_state": 0, **settings})


def series(steps=120, seed=0):
    x = np.random.default_rng(seed).normal(size=(steps, 2))
    return x, np.stack([np.roll(x[:, 0], 1) * x[:, 1], np.roll(x[:, 1], 2)], axis=1)


WAVE = np.sin(0.3 * np.arange(700)) * np.cos(0.05 * np.arange(700))
TOPOLOGIES = ["random", "small_world", "cycle", "orthogonal"]


# ---- closed loop


def test_a_generated_path_follows_the_series_and_several_run_at_once():
    model = network(hidden_size=100, washout=50, ridge=1e-8).fit(WAVE[:600])
    path = model.generate(100, warmup=WAVE[:600])
    assert path.shape == (100,)
    np.testing.assert_allclose(path[:40], WAVE[600:640], atol=0.05)
    several = model.generate(30, warmup=[WAVE[:200], WAVE[:333]])
    np.testing.assert_array_equal(several[1], model.generate(30, warmup=WAVE[:333]))
    np.testing.assert_array_equal(several[0], model.generate(30, warmup=WAVE[:200]))


def test_a_generated_step_is_the_prediction_that_reads_the_steps_before():
    model = network().fit(WAVE[:300])
    path = model.generate(3, warmup=WAVE[:200])
    again = model.predict(np.concatenate([WAVE[:200], path]))
    np.testing.assert_allclose(path, again[199:202], rtol=0, atol=1e-12)


def test_output_feedback_is_teacher_forced_in_training_and_closed_in_prediction():
    x, y = series()
    model = network(feedback_scaling=0.3).fit(x, y[:, 0])
    layer = model.network_.to_dense().layers[0].parameters
    readout = model.network_.readout.parameters
    assert layer["weight_ih_l0"].shape == (20, 3)
    h, last, expected = np.zeros(20), 0.0, []
    for one in x:
        u = np.append(one, last)
        h = np.tanh(layer["weight_ih_l0"] @ u + layer["weight_hh_l0"] @ h)
        last = float((readout["weight"] @ np.append(one, h) + readout["bias"])[0])
        expected.append(last)
    np.testing.assert_allclose(model.predict(x), expected, rtol=0, atol=1e-10)


def test_a_generator_without_inputs_goes_on_from_the_outputs_so_far():
    model = network(hidden_size=100, feedback_scaling=0.5, bias_scaling=0.2, washout=50, ridge=1e-8)
    model.fit(None, WAVE[:600])
    path = model.generate(50, warmup=WAVE[:600])
    np.testing.assert_allclose(path[:30], WAVE[600:630], atol=0.05)
    assert model.predict(steps=7).shape == (7,)


def test_generation_with_feedback_reads_inputs_too():
    x, y = series()
    model = network(feedback_scaling=0.1).fit(x, y)
    path = model.generate(10, warmup=y[:50], inputs=x[:60])
    assert path.shape == (10, 2)
    one_by_one = model.generate(1, warmup=y[:50], inputs=x[:51])
    np.testing.assert_array_equal(path[:1], one_by_one)


# ---- memory


def test_a_linear_orthogonal_reservoir_remembers_almost_as_many_inputs_as_it_has_units():
    model = network(hidden_size=25, topology="orthogonal", nonlinearity="identity", spectral_radius=0.8)
    capacity = model.memory_capacity(steps=3000)
    assert 23.8 < capacity.total < 24.1  # and one for the input of the step itself, delay 0
    assert capacity.by_delay.shape == (50,)
    assert capacity.by_delay[0] > 0.999 > 0.01 > capacity.by_delay[-1]
    assert network(hidden_size=25, input_scaling=2.0).memory_capacity(steps=3000).total < 15


def test_a_fitted_model_measures_its_own_reservoir():
    model = network(topology="cycle").fit(WAVE)
    weight = model.network_.readout.parameters["weight"].copy()
    first, again = (model.memory_capacity(10, steps=500).by_delay for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(model.network_.readout.parameters["weight"], weight)


# ---- training on


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_first_predictions_after_unfreezing_are_those_before(topology):
    x, y = series()
    model = network(topology=topology, leak_rate=0.6).fit(x, y)
    before, kept = model.predict(x), copy.deepcopy(model)
    assert model.unfreeze() is model
    np.testing.assert_allclose(model.predict(x), before, rtol=0, atol=1e-10)
    assert (model.unfrozen_, kept.unfrozen_) == (True, False)
    np.testing.assert_array_equal(kept.predict(x), before)


@pytest.mark.parametrize(
    "settings", [{"leak_rate": 0.5, "density": 1.0}, {"num_layers": 2, "num_reservoirs": 2, "density": 1.0}]
)
def test_the_gradients_of_an_unfrozen_network_are_those_of_its_loss(settings):
    x, y = series(40)
    model = network(hidden_size=6, **settings).fit(x, y).unfreeze()
    check_gradients(model, model._examples(model._data([x, x[:31]], [y, y[:31]])))


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_the_gradients_through_a_pooling_are_those_of_its_loss(pooling):
    X = [series(steps, seed=steps)[0] for steps in (9, 14, 11)]
    model = fr.models.EchoStateRegressor(
        hidden_size=5, density=1.0, pooling=pooling, washout=2, random_state=0
    )
    model.fit(X, [1.0, 2.0, -1.0]).unfreeze()
    check_gradients(model, model._examples(model._data(X, [1.5, 2.0, -1.5])))


def check_gradients(model, examples):
    net = model.network_
    batch = examples.batch(np.arange(len(examples)))
    net.zero_gradients()
    loss = net.loss_and_gradients(batch, 1.0)
    assert loss == pytest.approx(net.loss(batch), rel=1e-12)
    gradients = {name: value.copy() for name, value in net.gradients.items()}
    with net.parameters.edit() as views:
        for name, view in views.items():
            random = np.random.default_rng(0)
            if not name.endswith("bias_hh_l0"):
                assert_slope(lambda: net.loss(batch), view, gradients[name], random)


def test_windows_with_carried_states_have_the_loss_of_the_whole_series():
    x, y = series(150)
    model = network(hidden_size=15, washout=12, ridge=0.1).fit([x, x[:77]], [y, y[:77]]).unfreeze()
    model.set_params(window=10)
    examples = model._examples(model._data([x, x[:77]], [y, y[:77]]))
    losses = [(batch.weight, model.network_.loss(batch)) for _, batch in examples.batches(4)]
    assert sum(weight for weight, _ in losses) == 2 * (150 - 12 + 77 - 12)
    mean = sum(weight * loss for weight, loss in losses) / sum(weight for weight, _ in losses)
    assert mean == pytest.approx(model.history_["loss"][0], rel=1e-9)


@pytest.mark.parametrize("settings", [{}, {"feedback_scaling": 0.1}, {"num_layers": 2}])
def test_training_on_lowers_the_loss_and_moves_the_reservoir(settings):
    x, y = series(400)
    model = network(ridge=0.1, epochs=4, learning_rate=0.003, window=50, **settings).fit(x, y)
    start = model.history_["loss"][0]
    weight = model.network_.to_dense().layers[0].parameters["weight_hh_l0"].copy()
    model.unfreeze().fit_further(x, y, validation=(x[:50], y[:50]))
    assert len(model.history_["loss"]) == model.n_iter_ == 5
    assert model.history_["loss"][-1] < model.history_["loss"][1] < 1.5 * start
    assert len(model.history_["validation_loss"]) == 4
    found = model.network_.layers[0].parameters["weight_hh_l0"]
    assert ((found == 0) == (weight == 0)).all()
    assert (found[weight != 0] != weight[weight != 0]).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_readout_may_be_solved_again_for_each_reservoir(early_stopping):
    x, y = series(400)
    settings = {"epochs": 6, "learning_rate": 0.003, "window": 50, "solve_readout": True}
    model = network(ridge=0.1, leak_rate=0.8, early_stopping=early_stopping, **settings).fit(x, y)
    start = model.history_["loss"][0]
    model.unfreeze().fit_further(x, y, validation=(x[:80], y[:80]))
    assert model.history_["loss"][1] == pytest.approx(start, rel=1e-3)  # up to what a step within changes
    parameters = model.network_.readout.parameters
    z = np.column_stack([x, model.states(x)])[5:]
    one = np.column_stack([np.ones(len(z)), z])
    penalty = np.diag([0.0, *[0.1] * z.shape[1]])
    best = np.linalg.solve(one.T @ one + penalty, one.T @ y[5:])
    np.testing.assert_allclose(parameters["weight"].T, best[1:], rtol=1e-8, atol=1e-10)
    assert np.mean((one @ best - y[5:]) ** 2) < 0.98 * start
    assert model.network_.frozen == ("group0_layer0.bias_hh_l0",)


def test_partial_fit_of_an_unfrozen_model_is_one_epoch_and_fit_starts_anew():
    x, y = series()
    model = network().fit(x, y)
    fresh = model.predict(x)
    model.unfreeze().partial_fit(x, y)
    assert model.n_iter_ == 2
    assert (model.predict(x) != fresh).any()
    model.fit(x, y)
    assert not model.unfrozen_
    np.testing.assert_array_equal(model.predict(x), fresh)


def test_a_classifier_learns_a_pattern_and_trains_on():
    random = np.random.default_rng(0)
    X = [np.sin(f * np.arange(30)) + 0.3 * random.normal(size=30) for f in (0.2, 0.35, 0.5) * 20]
    y = ["slow", "middle", "fast"] * 20
    model = fr.models.EchoStateClassifier(hidden_size=20, ridge=1.0, washout=3, random_state=0).fit(X, y)
    assert model.classes_.tolist() == ["fast", "middle", "slow"]
    assert model.score(X, y) > 0.8
    assert model.decision_function(X).shape == (60, 3)
    loss = model.history_["loss"][0]
    model.set_params(epochs=5, learning_rate=0.003, early_stopping=True).unfreeze().fit_further(X, y)
    assert model.history_["loss"][-1] < loss


def test_a_classifier_reads_symbols_and_two_classes_have_one_output():
    X = ["lili", "mimi", "nini", "lulu", "mumu", "nunu"] * 3
    y = [i % 6 < 3 for i in range(18)]
    model = fr.models.EchoStateClassifier(hidden_size=20, random_state=0).fit(X, y)
    assert model.predict(["kiki", "kuku"]).tolist() == [True, False]
    assert model.decision_function(X).shape == (18,)
    noisy = fr.models.EchoStateClassifier(hidden_size=20, noise=0.01, density=1.0, random_state=0)
    assert noisy.fit(X, y).score(X, y) == 1.0


# ---- files and copies


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"density": 1.0}, {"readout": "rls"}, {"ridge": "loo"}, {"num_layers": 2, "num_reservoirs": 2},
        {"topology": "cycle", "dtype": "float32"}, {"feedback_scaling": 0.1, "leak_rate": 0.3},
    ],
)  # fmt: skip
@pytest.mark.parametrize("unfrozen", [False, True])
def test_a_loaded_model_predicts_and_learns_on_to_the_same_bits(settings, unfrozen, tmp_path):
    x, y = series()
    model = network(**settings).fit(x, y)
    if unfrozen:
        model.unfreeze().partial_fit(x, y)
    model.save(tmp_path / "m.safetensors")
    loaded = fr.models.EchoStateNetwork.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.get_params() == model.get_params()
    assert (loaded.unfrozen_, loaded.ridge_, loaded.history_) == (unfrozen, model.ridge_, model.history_)
    assert loaded.ridge_errors_ == model.ridge_errors_
    assert loaded.network_.frozen == model.network_.frozen
    for one in (model, loaded):
        if unfrozen:
            one._optimizer, one.network_.rng = None, np.random.default_rng(0)
        if settings.get("ridge") == "loo":
            one.set_params(ridge=one.ridge_)
        one.partial_fit(x[:50], y[:50])
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


@pytest.mark.parametrize("kind", [fr.models.EchoStateClassifier, fr.models.EchoStateRegressor])
def test_models_of_whole_sequences_are_saved_too(kind, tmp_path):
    X = [series(steps, seed=steps)[0] for steps in range(4, 16)]
    model = kind(hidden_size=10, random_state=0).fit(X, [0, 1] * 6)
    model.save(tmp_path / "m.safetensors")
    loaded = kind.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_a_damaged_pattern_or_moment_is_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    from fastrnn.train import CheckpointError

    x, y = series()
    path = tmp_path / "m.safetensors"
    network().fit(x, y).save(path)
    import json

    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    tensors = load_file(path)
    wrong = {"further.group0_layer0.columns": np.array([99] * 41), "further.zz": np.zeros((2, 2))}
    for name, value in wrong.items():
        save_file({**tensors, name: value}, path, header["__metadata__"])
        with pytest.raises(CheckpointError, match="expected"):
            fr.models.EchoStateNetwork.load(path)


def test_a_prediction_is_the_same_alone_and_among_others_and_changes_nothing():
    xs = [series(steps, seed=steps)[0] for steps in (50, 20, 35)]
    for settings in ({}, {"density": 1.0}):
        model = network(**settings).fit(*series())
        before = pickle.dumps(model.network_.state_dict())
        together = model.predict(xs)
        for x, found in zip(xs, together, strict=True):
            np.testing.assert_array_equal(model.predict(x), found)
        assert pickle.dumps(model.network_.state_dict()) == before


def test_settings_changed_after_fit_count_from_the_next_fit_on(tmp_path):
    X = [series(steps, seed=steps)[0] for steps in range(8, 20)]
    model = fr.models.EchoStateRegressor(hidden_size=10, washout=3, random_state=0).fit(X, range(12))
    before = model.predict(X)
    model.set_params(washout=6, pooling="last", leak_rate=0.2)
    np.testing.assert_array_equal(model.predict(X), before)
    model.save(tmp_path / "m.safetensors")
    loaded = fr.models.EchoStateRegressor.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), before)
    assert (model.fit(X, range(12)).predict(X) != before).any()
