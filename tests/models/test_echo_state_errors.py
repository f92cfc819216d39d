"""Echo state networks refuse what cannot work, say what to do instead, and lose nothing."""

import sys

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models import EchoStateClassifier, EchoStateNetwork, EchoStateRegressor, NotFittedError
from fastrnn.models.reservoir.topologies import RecurrentWeights, make_weights

X = np.random.default_rng(0).normal(size=(60, 2))
Y = X[:, 0]
TINY = {"hidden_size": 10, "random_state": 0}
NOT_FINITE = X.copy()
NOT_FINITE[7, 1] = np.nan


def refused(call, message, kind=ValueError):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def weights(density, size=10):
    return make_weights("random", size, 0.9, density=density, rewiring=0.0, rng=np.random.default_rng(0))


def test_a_spectral_radius_needs_a_matrix_with_eigenvalues():
    refused(
        lambda: weights(1e-6),
        "spectral_radius: expected a matrix that can be scaled to 0.9, got one of zeros; raise density=1e-06",
    )
    lower = RecurrentWeights(*np.tril_indices(4, -1), np.ones(6), 4)
    refused(
        lambda: lower.scaled(0.9, "density=0.03"),
        "spectral_radius: expected a matrix that can be scaled to 0.9, got a nilpotent one, whose "
        "eigenvalues are all 0, as its 6 nonzero entries form no cycle; raise density=0.03",
    )
    units = np.arange(3)
    cycle = RecurrentWeights(units, np.roll(units, 1), np.ones(3), 3)
    np.testing.assert_allclose(cycle.scaled(0.5, "density").values, 0.5)
    with pytest.raises(ValueError, match="got one of zeros"):
        EchoStateNetwork(**TINY, density=1e-6).fit(X, Y)


@pytest.mark.parametrize("topology", ["random", "small_world", "cycle", "orthogonal"])
def test_recurrent_weights_have_the_spectral_radius_and_the_density(topology):
    rng = np.random.default_rng(1)
    for size in (40, 320):
        made = make_weights(topology, size, 0.7, density=0.1, rewiring=0.3, rng=rng)
        assert np.abs(np.linalg.eigvals(made.dense())).max() == pytest.approx(0.7, rel=1e-6)
        expected = {"cycle": 1 / size, "orthogonal": 1.0}.get(topology, 0.1)
        assert made.density == pytest.approx(expected, rel=0.2)


def test_a_small_world_without_rewiring_is_a_ring_and_with_it_is_not():
    rng = np.random.default_rng(0)
    ring = make_weights("small_world", 12, 0.9, density=1 / 3, rewiring=0.0, rng=rng).dense() != 0
    distance = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    assert (ring == np.isin(np.minimum(distance, 12 - distance), (1, 2))).all()
    moved = make_weights("small_world", 12, 0.9, density=1 / 3, rewiring=1.0, rng=rng).dense() != 0
    assert moved.sum() == ring.sum()
    assert (moved == moved.T).all()
    assert not np.diag(moved).any()
    assert (moved != ring).any()


def test_orthogonal_weights_are_a_rotation_times_the_radius():
    W = make_weights("orthogonal", 20, 0.5, density=1.0, rewiring=0.0, rng=np.random.default_rng(0)).dense()
    np.testing.assert_allclose(W @ W.T, 0.25 * np.eye(20), atol=1e-12)


def test_without_a_ridge_a_singular_system_is_refused_with_its_rank_and_a_ridge_to_try():
    model = EchoStateNetwork(**TINY, ridge=0.0)
    refused(
        lambda: model.fit(X[:8], Y[:8]),
        "ridge: expected above 0, as the 12 columns of states have rank 7 (8 rows of training); "
        "try ridge=1e-08",
    )
    assert np.isfinite(EchoStateNetwork(**TINY, ridge=1e-8).fit(X[:8], Y[:8]).predict(X)).all()
    assert np.isfinite(model.fit(X, Y).predict(X)).all()


def test_a_washout_longer_than_a_series_is_refused_with_both_numbers():
    refused(
        lambda: EchoStateNetwork(**TINY, washout=60).fit(X, Y),
        "X: expected more than 60 steps, the washout, got 60; lower washout",
    )
    refused(
        lambda: EchoStateNetwork(**TINY, washout=20).fit([X, X[:15]], [Y, Y[:15]]),
        "X[1]: expected more than 20 steps, the washout, got 15; lower washout, or leave it out",
    )
    classifier = EchoStateClassifier(**TINY, washout=3).fit([X[:9], X[9:20]], [0, 1])
    refused(
        lambda: classifier.predict([X, X[:2]]),
        "X[1]: expected more than 3 steps, the washout, got 2; lower washout, or leave it out",
    )


@pytest.mark.parametrize(
    "method", ["generate", "predict", "states", "score", "unfreeze", "fit_further", "save"]
)
def test_nothing_is_asked_of_a_model_before_it_is_fitted(method, tmp_path):
    given = {"generate": (3, Y), "unfreeze": (), "save": (tmp_path / "m",)}.get(method, (X,))
    sklearn = sys.modules.get("sklearn.exceptions")  # its own, where it is loaded
    kind = NotFittedError if sklearn is None else sklearn.NotFittedError
    with pytest.raises(kind, match=f"not fitted yet; call fit before {method}"):
        getattr(EchoStateNetwork(), method)(*given)


@pytest.mark.parametrize("kind", [EchoStateNetwork, EchoStateRegressor])
def test_numbers_that_are_not_finite_are_refused_with_their_place(kind):
    model = kind(**TINY)
    bad = NOT_FINITE if kind is EchoStateNetwork else [NOT_FINITE, X]
    y = Y if kind is EchoStateNetwork else [1.0, 2.0]
    with pytest.raises(ValueError, match=r"expected finite numbers, got (nan|NaN) at step 7"):
        model.fit(bad, y)
    model.fit(X if kind is EchoStateNetwork else [X, X[:9]], y)
    with pytest.raises(ValueError, match="expected finite numbers"):
        model.predict(bad)


def test_feedback_needs_targets():
    refused(
        lambda: EchoStateNetwork(**TINY, feedback_scaling=0.1).fit(X),
        "y: expected the targets, as feedback_scaling feeds them back, got None; write fit(X, y), or "
        "fit(None, y) without inputs",
    )
    refused(
        lambda: EchoStateNetwork(**TINY).fit(None, Y), "X: expected a series or a list of series, got None"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"readout": "rls", "forgetting": 0.0}, "forgetting: expected a number in (0, 1], got 0.0"),
        ({"readout": "rls", "forgetting": 1.01}, "forgetting: expected a number in (0, 1], got 1.01"),
        ({"forgetting": 0.9}, "forgetting: expected 1 with readout='ridge', got 0.9; use 'rls'"),
        ({"readout": "rls", "ridge": 0.0}, "ridge: expected a finite number above 0, got 0.0"),
        ({"readout": "rls", "ridge": "loo"},
         "ridge: expected a number above 0 with readout='rls', got 'loo'"),
        ({"ridge": "gcv"}, "ridge: expected 'loo', got 'gcv'"),
        ({"ridge": [1.0]}, "ridge: expected a number, 'loo' or at least 2 candidates, got 1"),
        ({"ridge": -1.0}, "ridge: expected a finite number >= 0, got -1.0"),
        ({"leak_rate": 0.0}, "leak_rate: expected a number in (0, 1], got 0.0"),
        ({"spectral_radius": 0.0}, "spectral_radius: expected a finite number above 0, got 0.0"),
        ({"spectral_radius": [0.9, 0.8]},
         "spectral_radius: expected a number or 1, one for each layer, got 2"),
        ({"density": 0.0}, "density: expected a number in (0, 1], got 0.0"),
        ({"input_scaling": [1.0]}, "input_scaling: expected a number or 2, one for each feature, got 1"),
        ({"topology": "ring"},
         "topology: expected one of 'random', 'small_world', 'cycle', 'orthogonal', got 'ring'"),
        ({"num_reservoirs": 2, "input_groups": [[0]]},
         "input_groups: expected 2, one for each reservoir (num_reservoirs), got 1"),
        ({"input_groups": [[2]]}, "input_groups[0]: expected columns in 0 .. 1, got 2"),
        ({"noise": -0.1}, "noise: expected a finite number >= 0, got -0.1"),
        ({"window": 0}, "window: expected 1 or more, got 0"),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_and_the_fitted_model_stays(settings, message):
    model = EchoStateNetwork(**TINY).fit(X, Y)
    before = model.predict(X)
    refused(lambda: model.set_params(**settings).fit(X, Y), message)
    np.testing.assert_array_equal(model.predict(X), before)


def test_a_failed_partial_fit_changes_nothing():
    model = EchoStateNetwork(**TINY, washout=2).fit(X, Y)
    before, sums = model.predict(X), model._accumulator.zz.copy()
    for bad in (NOT_FINITE, X[:2]):
        with pytest.raises(ValueError, match="expected"):
            model.partial_fit(bad, Y[: len(bad)])
    refused(
        lambda: model.partial_fit([X, X], [Y, Y], carry=True),
        "carry: expected 1 series, as in the last call, got 2",
    )
    np.testing.assert_array_equal(model.predict(X), before)
    np.testing.assert_array_equal(model._accumulator.zz, sums)
    assert model.n_iter_ == 1


def test_partial_fit_cannot_choose_a_ridge_and_the_first_call_has_nothing_to_go_on_from():
    refused(
        lambda: EchoStateNetwork(**TINY, ridge="loo").partial_fit(X, Y),
        "ridge: expected one number in partial_fit, as the choice among several reads all data twice; "
        "use fit, or take its ridge_",
    )
    refused(
        lambda: EchoStateNetwork(**TINY).partial_fit(X, Y, carry=True),
        "carry: expected False in the first call, which has nothing to go on from, got True",
    )


def test_training_on_needs_an_unfrozen_model_and_a_failure_leaves_its_weights():
    model = EchoStateNetwork(**TINY).fit(X, Y)
    refused(lambda: model.fit_further(X, Y), "fit_further: expected an unfrozen model; call unfreeze() first")
    model.unfreeze()
    with pytest.raises(ValueError, match=r"^validation: X: expected 60 steps, as there are targets, got 9$"):
        model.fit_further(X, Y, validation=(X[:9], Y))
    refused(
        lambda: model.set_params(solve_readout=True, early_stopping=True).fit_further(X, Y),
        "validation: expected a pair (X, y) with early_stopping and solve_readout, as the readout is solved "
        "on all of X, got None",
    )
    model.set_params(solve_readout=False, early_stopping=False)
    model.set_params(learning_rate=1e200, clip_norm=None)
    before = model.predict(X)
    with pytest.raises(fr.train.TrainingDiverged), np.errstate(all="ignore"):
        model.fit_further(X, Y)
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.n_iter_ == 1


def test_data_that_do_not_fit_the_model_are_refused():
    model = EchoStateNetwork(**TINY).fit(X, Y)
    refused(lambda: model.predict(X[:, :1]), "X: expected 2 columns as in training, got 1")
    refused(
        lambda: model.generate(3, X),
        "generate: expected a model whose outputs are its next inputs, got 2 inputs and 1 outputs; "
        "fit(series) without y makes one, or set feedback_scaling",
    )
    refused(lambda: model.fit(X, Y[:50]), "X: expected 50 steps, as there are targets, got 60")
    refused(lambda: model.fit([X, X], [Y]), "X: expected 1 series, got 2")
    refused(lambda: model.memory_capacity(),
            "memory_capacity: expected a model of one input without feedback, got 2 inputs and 0 outputs fed "
            "back")  # fmt: skip
    series = EchoStateNetwork(**TINY).fit(Y)
    refused(lambda: series.generate(3, X), "warmup: expected 1 columns as in training, got 2")
    refused(lambda: series.fit(Y[:1]), "X: expected at least 2 steps, one of them the last target, got 1")
