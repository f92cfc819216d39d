"""Sequence regressors: they learn numbers in any unit, and refuse targets that are none."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.classifier_network import PooledBatch, PooledNetwork
from gradient_check import assert_gradient

TINY = {"hidden_size": 8, "epochs": 25, "learning_rate": 0.03, "random_state": 0}


def data(count=60):
    random = np.random.default_rng(0)
    X = [random.normal(size=(random.integers(2, 8), 2)) for _ in range(count)]
    return X, np.array([[1000 + 50 * x[:, 0].mean(), x[:, 1].mean() / 100] for x in X])


def fitted(**settings):
    X, y = data()
    return fr.models.SequenceRegressor(**{**TINY, "pooling": "mean", **settings}).fit(X, y)


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber"])
def test_it_learns_several_numbers_of_different_units(loss):
    X, y = data()
    model = fitted(loss=loss)
    assert model.score(X, y) > 0.9
    assert model.predict(X).shape == (60, 2)


@pytest.mark.parametrize("pooling", ["last", "max", "attention"])
def test_it_learns_a_number_with_each_pooling(pooling):
    X, y = data()
    model = fr.models.SequenceRegressor(**TINY, pooling=pooling).fit(X, y[:, 0])
    assert model.predict(X).shape == (60,)
    assert model.score(X, y[:, 0]) > 0.8


def test_the_score_is_that_of_scikit_learn(sklearn):
    from sklearn.metrics import r2_score

    X, y = data()
    model = fitted()
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)), abs=1e-5)


def test_a_loaded_model_predicts_the_same_bits(tmp_path):
    X, _ = data()
    model = fitted(pooling="attention")
    model.save(tmp_path / "model.safetensors")
    loaded = fr.models.SequenceRegressor.load(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.get_params() == model.get_params()


def test_the_same_seed_gives_the_same_model_and_a_failed_fit_keeps_the_old_one():
    X, y = data()
    model, other = fitted(), fitted()
    before = model.predict(X)
    assert np.array_equal(before, other.predict(X))
    with pytest.raises(ValueError, match=r"y\[1\]: expected finite numbers, got NaN"):
        model.fit(X[:2], [1.0, np.nan])
    assert np.array_equal(before, model.predict(X))
    assert model.partial_fit(X, y) is model
    assert not np.array_equal(before, model.predict(X))


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([1.0], ValueError, r"y: expected 2 entries, one for each sequence of X, got 1: X\[1\] has none"),
        ([1.0, np.inf], ValueError, r"y\[1\]: expected finite numbers, got infinity"),
        ([1.0, "two"], TypeError, r"y\[1\]: expected a number or a row of numbers, got 'two'"),
        ([[1.0, 2.0], [3.0]], ValueError, r"y\[1\]: expected shape \[2\] as y\[0\], got \[1\]"),
        (None, ValueError, "requires y to be passed"),
    ],
)
def test_bad_targets_are_named_by_row(y, error, message):
    with pytest.raises(error, match=message):
        fr.models.SequenceRegressor(**TINY).fit([[0.5, 1.5], [2.5]], y)


def test_a_wrong_loss_and_another_number_of_columns_are_refused():
    with pytest.raises(ValueError, match=r"loss: expected .*squared"):
        fitted(loss="cubed")
    with pytest.raises(ValueError, match="y: expected 2 numbers for each sequence, got 1"):
        fitted(epochs=1).score(*[part[:2] for part in (data()[0], data()[1][:, 0])])


def test_predicting_before_fitting_is_an_error():
    with pytest.raises(ValueError, match="call fit before predict"):
        fr.models.SequenceRegressor().predict([[1.5]])


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_the_gradients_are_those_of_the_loss(loss, pooling):
    rng = np.random.default_rng(3)
    encoder = SequenceEncoder(
        2, embedding_size=None, cell="gru", hidden_size=2, num_layers=1, bidirectional=True, dropout=0.0,
        cell_options=None, dtype="float64", rng=rng,
    )  # fmt: skip
    network = PooledNetwork(encoder, 2, pooling=pooling, loss=loss, rng=rng)
    lengths = np.array([4, 1, 3])
    batch = PooledBatch(
        rng.normal(size=(4, 3, 2)), lengths, 1.5 * rng.normal(size=(3, 2)), np.array([1.0, 0.5, 2.0])
    )
    network.zero_gradients()
    assert network.loss_and_gradients(batch) == pytest.approx(network.loss(batch), rel=1e-12)
    gradients = {name: array.copy() for name, array in network.gradients.items()}
    for name, gradient in gradients.items():
        with network.parameters.edit() as views:
            assert_gradient(lambda: network.loss(batch), views[name], gradient)
