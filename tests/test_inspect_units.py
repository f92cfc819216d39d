"""The ranking of units: it finds a unit that is planted, and says honestly how well it does."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.inspect import Trace, chance_correlations, properties, rank_units, trace
from fastrnn.inspect.units import area_under_curve, best_threshold, correlations

random = np.random.default_rng(0)
TEXT = "".join(random.choice(list("ab (\n)"), size=400))


@pytest.fixture(autouse=True)
def same_numbers(monkeypatch):
    """Let each test draw the same numbers, whichever ran before."""
    monkeypatch.setitem(globals(), "random", np.random.default_rng(1))


def made_up(signals, symbols=TEXT):
    """Return a trace with given states, by layer and name."""
    layers = tuple(dict.fromkeys(layer for layer, _ in signals))
    states = {layer: {n: s for (own, n), s in signals.items() if own == layer} for layer in layers}
    steps = len(next(iter(signals.values())))
    nothing = {layer: {} for layer in layers}
    return Trace(tuple(symbols[:steps]), None, layers, nothing, states, np.zeros((steps, 1)), None)


def noise(steps=400, units=50):
    return random.normal(size=(steps, units)).astype(np.float32)


def test_a_planted_unit_is_found_and_its_correlation_is_that_of_the_held_out_part():
    position = properties.line_position(TEXT)
    signals = {("l0", "h"): noise(), ("l1", "c"): noise()}
    signals["l1", "c"][:, 17] = -0.3 * position + 0.1 * noise()[:, 0]
    seen = made_up(signals)
    best, second, *_ = rank_units(seen, position)
    assert best[:3] == ("l1", "c", 17)
    for part, value in ((slice(None, 200), best.ranked_by), (slice(200, None), best.correlation)):
        expected = np.corrcoef(signals["l1", "c"][part, 17].astype(float), position[part])[0, 1]
        np.testing.assert_allclose(value, expected, rtol=1e-9)
        assert expected < -0.9
    assert abs(second.ranked_by) < 0.3
    assert best[5:] == (None, None, None)
    assert rank_units(seen, properties.line_position) == rank_units(seen, position)


def test_the_correlation_of_every_unit_is_pearsons():
    signal, values = noise(5000, 7) + 100, random.normal(size=(3, 5000))
    values[random.random((3, 5000)) < 0.3] = np.nan
    found = correlations(signal, values)
    for own, given in zip(found, values, strict=True):
        steps = ~np.isnan(given)
        expected = [np.corrcoef(signal[steps, u].astype(float), given[steps])[0, 1] for u in range(7)]
        np.testing.assert_allclose(own, expected, rtol=1e-8)


def test_a_constant_unit_correlates_with_nothing():
    signal = np.full((50, 4), 0.1, np.float32)
    signal[:, 1], signal[25:, 3] = np.arange(50), 7.3
    values = np.stack([np.arange(50.0), np.where(np.arange(50) < 25, np.arange(50.0), np.nan)])
    whole, half = correlations(signal, values)
    assert (whole[[0, 2]].tolist(), half[[0, 2, 3]].tolist()) == ([0, 0], [0, 0, 0])
    assert (whole[1], half[1]) == (pytest.approx(1), pytest.approx(1))
    assert whole[3] > 0.8


def test_steps_without_a_value_do_not_count():
    signal = noise(100, 3)
    values = signal[:, 1].astype(float).copy()
    signal[::3] = 9
    values[::3] = np.nan
    best, *_ = rank_units(made_up({("l0", "h"): signal}), values)
    assert (best.unit, best.correlation) == (1, pytest.approx(1))


def test_a_property_of_two_values_has_an_area_and_a_threshold():
    holds = properties.inside_brackets(TEXT)
    signal = noise()
    signal[:, 3] = 2 - 4 * holds
    seen = made_up({("l0", "h"): signal})
    for given in (holds, holds == 1, 5 * holds - 2):
        best, second, *_ = rank_units(seen, given)
        assert (best.unit, best.correlation, best.auc, best.threshold, best.accuracy) == (
            3,
            pytest.approx(-1),
            0,
            0,
            1,
        )
        assert 0.3 < second.auc < 0.7
        assert 0 < second.accuracy < 1


def test_what_is_chosen_by_chance_does_not_hold_on_the_rest():
    signal, values = random.normal(size=(60, 3000)), random.normal(size=60)
    seen = made_up({("l0", "h"): signal})
    best, *_ = rank_units(seen, values)
    assert abs(best.ranked_by) > 0.5 > 0.4 > abs(best.correlation)
    (whole, *_) = rank_units(seen, values, held_out=0)
    assert whole.correlation == whole.ranked_by
    chance = chance_correlations(seen, values, shifts=5)
    assert (chance.shape, abs(whole.correlation) < 1.3 * chance.max()) == ((5,), True)
    signal[:, 5] = values
    assert chance_correlations(seen, values, shifts=5, seed=1).max() < 0.7
    np.testing.assert_array_equal(chance, chance_correlations(seen, values, shifts=5))


def test_layers_names_and_their_number_can_be_chosen():
    seen = trace(fr.LSTM(6, 4, num_layers=2, seed=0), np.array(["ab (\n)".index(s) for s in TEXT]))
    position = properties.line_position(TEXT)
    every = rank_units(seen, position, count=None)
    assert len(every) == 2 * 6 * 4
    assert [abs(one.ranked_by) for one in every] == sorted(
        [abs(one.ranked_by) for one in every], reverse=True
    )
    few = rank_units(seen, position, layers=("l1",), names=("c", "f"), count=None)
    assert few == [one for one in every if one.layer == "l1" and one.name in "cf"]
    assert rank_units(seen, position, count=3) == every[:3]
    assert chance_correlations(seen, position, layers=("l1",), names=("f",), shifts=2).shape == (2,)


def test_the_threshold_puts_as_many_steps_right_as_any():
    for rising in (True, False):
        for _ in range(20):
            values, holds = random.integers(0, 6, size=12).astype(float), random.random(12) < 0.5
            found = best_threshold(values, holds, rising=rising)

            def right(threshold, values=values, holds=holds, rising=rising):
                return ((values > threshold) == (holds if rising else ~holds)).sum()

            assert right(found) == max(map(right, np.arange(-1, 7) + 0.5))


def test_the_area_is_that_of_all_pairs():
    values, holds = random.integers(0, 5, size=30).astype(float), random.random(30) < 0.4
    above = values[holds][:, None] - values[~holds]
    assert area_under_curve(values, holds) == pytest.approx((np.sign(above) + 1).mean() / 2)


SEEN = made_up({("l0", "h"): noise(20, 2)})
LAST, ODD = np.arange(20) == 19, np.arange(20) % 2
IDS = trace(fr.GRU(2, 3), [0, 1])
RANKED = "different values in the steps ranked by, got 0 everywhere; trace a longer text, or write held_out=0"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: rank_units(SEEN, np.zeros(19)), ValueError, r"a number for each of 20 steps, got \[19\]"),
        (
            lambda: rank_units(SEEN, np.zeros(20)),
            ValueError,
            "property: expected different values, got 0 every",
        ),
        (lambda: rank_units(SEEN, np.full(20, np.nan)), ValueError, "expected different values, got none"),
        (lambda: rank_units(SEEN, LAST), ValueError, RANKED),
        (lambda: rank_units(SEEN, LAST[::-1]), ValueError, "in the held-out steps, got 0 everywhere"),
        (
            lambda: rank_units(SEEN, np.where(LAST, np.inf, 0)),
            ValueError,
            "finite numbers or NaN, got inf at step",
        ),
        (lambda: rank_units(SEEN, list("ab" * 10)), TypeError, "property: expected numbers or bool, got <U1"),
        (lambda: rank_units(SEEN, ODD, layers=("l7",)), ValueError, "layers: expected some of l0, got 'l7'"),
        (lambda: rank_units(SEEN, ODD, names="h"), TypeError, r"names: .*write \('h',\)"),
        (lambda: rank_units(SEEN, ODD, names=("c",)), ValueError, "names: expected some of h, got 'c'"),
        (lambda: rank_units(SEEN, ODD, held_out=1), ValueError, "held_out: expected"),
        (lambda: rank_units("text", LAST), TypeError, "trace: expected a Trace, got str"),
        (lambda: rank_units(IDS, properties.is_upper), ValueError, "has no symbols, got a fun"),
    ],
)
def test_what_cannot_be_ranked_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_scale_of_a_property_changes_nothing(scale):
    seen, wanted = made_up({("l0", "h"): noise()}), random.normal(size=400)
    (plain,), (scaled,) = (rank_units(seen, factor * wanted, count=1) for factor in (1.0, scale))
    assert scaled == pytest.approx(plain)


def test_a_trace_that_is_not_finite_is_not_ranked():
    states = noise()
    states[3, 2] = np.nan
    for rank in (rank_units, chance_correlations):
        with pytest.raises(ValueError, match="trace: expected finite numbers, got others in h of l0"):
            rank(made_up({("l0", "h"): states}), np.arange(400))
