"""Forecasters: exact inverses, closed loop, quantiles that cover, and series that cannot be forecast."""

import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.forecast_network import ForecastBatch, ForecastNetwork
from fastrnn.models.series_transform import SeriesTransform
from gradient_check import assert_gradient

TINY = {"hidden_size": 8, "epochs": 6, "learning_rate": 0.02, "window": 16, "cell": "gru", "random_state": 0}
SINE = 50 + 10 * np.sin(np.arange(120) * 2 * np.pi / 12)


def model(**settings):
    return fr.models.Forecaster(**{**TINY, **settings})


def test_a_sine_is_continued_in_closed_loop():
    forecast = model(epochs=40, batch_size=8).fit(SINE[:96]).predict(24)
    assert np.abs(forecast - SINE[96:]).max() < 3


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("lags", [(), (1,), (12,), (1, 12)])
def test_a_transformation_is_inverted_exactly_at_once_and_step_by_step(log, lags):
    series = np.exp(np.random.default_rng(0).normal(size=(40, 2)))
    transform = SeriesTransform.learn([series], log=log, lags=lags)
    z, lost = transform.encode(series), sum(lags)
    np.testing.assert_allclose(transform.decode(z, transform.bases(series)), series[lost:], rtol=1e-12)
    memory = transform.memory(series, [20])
    steps = [transform.advance(z[None, step - lost], memory)[0] for step in range(20, 40)]
    np.testing.assert_allclose(steps, series[20:], rtol=1e-10)


def test_the_band_of_noise_covers_what_it_says():
    series = np.random.default_rng(0).normal(size=600).cumsum()
    found = model(difference=1, epochs=4).fit(series[:400]).backtest(series, 3, 400, paths=100)
    coverage = fr.models.interval_coverage(found.truth, found.quantiles[0.1], found.quantiles[0.9])
    assert 0.7 < coverage < 0.9
    assert found.truth.shape == found.quantiles[0.5].shape == (198, 3)


def test_the_first_step_of_closed_loop_is_the_one_step_forecast():
    fitted = model(difference=1).fit(SINE)
    one = fitted.one_step_predictions(SINE)
    assert np.isnan(one[:2]).all()
    np.testing.assert_allclose(one[100], fitted.predict(1, SINE[:100])[0], rtol=1e-5)
    np.testing.assert_allclose(fitted.predict(5), fitted.predict(5, SINE), rtol=1e-5)
    assert fitted.score(SINE) > 0.5


def test_no_forecast_reads_what_comes_later():
    fitted, changed = model(difference=1).fit(SINE), SINE.copy()
    changed[100:] += 7
    assert np.array_equal(
        fitted.one_step_predictions(SINE)[2:101], fitted.one_step_predictions(changed)[2:101]
    )


def test_what_is_known_beforehand_is_used():
    random = np.random.default_rng(0)
    known = random.integers(0, 2, size=200).astype(float)
    series = 5 + 3 * known + 0.1 * random.normal(size=200)
    fitted = model(epochs=10, batch_size=8).fit(series[:150], known[:150])
    assert fitted.score(series, known) > 0.9
    forecast = fitted.predict(50, exogenous=known[150:])
    assert np.abs(forecast - series[150:]).max() < 1.5
    with pytest.raises(ValueError, match=r"exogenous: expected 50 steps of 1 inputs, got None"):
        fitted.predict(50)
    with pytest.raises(ValueError, match=r"exogenous: expected shape \[50, 1\], got \[3, 1\]"):
        fitted.predict(50, exogenous=known[:3])


def test_several_series_of_several_columns_have_a_forecast_each():
    panel = [np.stack([SINE, -SINE], axis=1)[:60], np.stack([SINE, -SINE], axis=1)[5:50]]
    fitted = model(epochs=2).fit(panel)
    assert [one.shape for one in fitted.predict(4)] == [(4, 2), (4, 2)]
    bands = fitted.predict(4, panel, quantiles=(0.1, 0.9))
    assert (bands[0][0.1] <= bands[0][0.9]).all()
    assert [one.shape for one in fitted.one_step_predictions(panel)] == [(60, 2), (45, 2)]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_loaded_model_forecasts_the_same_bits(tmp_path, cell):
    fitted = model(cell=cell, transform="log", difference=12, epochs=1).fit(SINE, np.arange(120) % 12)
    fitted.save(tmp_path / "model.safetensors")
    loaded = fr.models.Forecaster.load(tmp_path / "model.safetensors")
    ahead, levels = np.arange(4), (0.1, 0.9)
    assert np.array_equal(loaded.predict(4, exogenous=ahead), fitted.predict(4, exogenous=ahead))
    for level in levels:
        one, other = (m.predict(4, exogenous=ahead, quantiles=levels)[level] for m in (loaded, fitted))
        assert np.array_equal(one, other)


def test_an_early_stop_holds_out_the_last_windows():
    fitted = model(early_stopping=True, n_iter_no_change=2, epochs=8).fit(SINE)
    assert len(fitted.history_["validation_loss"]) == fitted.n_iter_ <= 8
    with pytest.raises(ValueError, match=r"series: expected more than .* windows to hold out"):
        model(early_stopping=True).fit(SINE[:30])


@pytest.mark.parametrize(
    ("series", "settings", "message"),
    [
        ([1.0, np.nan, 2.0], {}, r"series: expected finite numbers, got nan at step 1"),
        ([SINE, [1.0, 2.0, np.inf]], {}, r"series\[1\]: expected finite numbers, got inf at step 2"),
        (SINE[:13], {"difference": 12}, r"series: expected at least 14 steps with difference=12, got 13"),
        ([1.0], {}, r"series: expected at least 2 steps, got 1"),
        (
            [1.0, 0.0, 2.0],
            {"transform": "log"},
            r"numbers above 0, as transform='log' needs, got 0 at step 1",
        ),
        ([SINE, np.ones((3, 2))], {}, r"series\[1\]: expected as many columns as series\[0\]"),
        (SINE, {"bidirectional": True}, r"bidirectional: expected False"),
        (SINE, {"transform": "root"}, r"transform: expected"),
        (SINE, {"difference": 0}, r"difference: expected"),
        ([], {}, r"series: expected at least one step"),
    ],
)
def test_what_cannot_be_forecast_is_named_and_the_old_model_is_kept(series, settings, message):
    fitted = model(epochs=1).fit(SINE)
    before = fitted.predict(2)
    with pytest.raises(ValueError, match=message):
        model(**settings).fit(series)
    fitted.set_params(**settings)
    with pytest.raises(ValueError, match=message):
        fitted.fit(series)
    assert np.array_equal(before, fitted.predict(2))


def test_forecasting_before_fitting_is_an_error():
    with pytest.raises(ValueError, match="call fit before predict"):
        fr.models.Forecaster().predict(3)


def test_the_gradients_are_those_of_the_loss():
    rng = np.random.default_rng(3)
    encoder = SequenceEncoder(
        3, embedding_size=None, cell="lstm", hidden_size=2, num_layers=1, bidirectional=False, dropout=0.0,
        cell_options=None, dtype="float64", rng=rng,
    )  # fmt: skip
    network = ForecastNetwork(encoder, 2, levels=np.array([0.25, 0.5, 0.75]), rng=rng)
    targets, lengths = rng.normal(size=(4, 3, 2)), np.array([4, 1, 3])
    batch = ForecastBatch(rng.normal(size=(4, 3, 3)), lengths, targets)
    network.zero_gradients()
    assert network.loss_and_gradients(batch, 2.5) == pytest.approx(network.loss(batch), rel=1e-12)
    gradients = {name: array.copy() for name, array in network.gradients.items()}
    for name, gradient in gradients.items():
        with network.parameters.edit() as views:
            assert_gradient(lambda: 2.5 * network.loss(batch), views[name], gradient)


@pytest.mark.parametrize(
    ("series", "error", "message"),
    [
        (np.arange(60.0) + 0j, TypeError, "series: expected numbers: got complex128"),
        (np.arange(60).astype("datetime64[D]"), TypeError, "series: expected numbers: got datetime64"),
        (np.array(3.0), TypeError, "series: expected a series or a list of series, got ndarray"),
    ],
)
def test_what_is_no_series_of_numbers_is_refused(series, error, message):
    with pytest.raises(error, match=re.escape(message)):
        model().fit(series)


def test_an_array_of_series_is_a_panel_and_a_single_level_is_not_a_sequence():
    long, short = np.sin(np.arange(60.0)), np.sin(np.arange(30.0))
    panel = np.empty(2, dtype=object)
    panel[0], panel[1] = long, short
    fitted, other = model(epochs=1).fit(panel), model(epochs=1).fit([long, short])
    assert np.array_equal(fitted.predict(2), other.predict(2))
    message = "quantiles: expected a sequence of levels, got float; write [0.5]"
    with pytest.raises(TypeError, match=re.escape(message)):
        fitted.predict(2, quantiles=0.5)
