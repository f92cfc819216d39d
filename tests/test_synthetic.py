"""Synthetic data: exact values of tiny cases, properties of large ones, bad input."""

import re
from collections import Counter

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from fastrnn.data.synthetic import (
    adding_problem,
    character_addition,
    copy_memory,
    embedded_reber,
    legal_continuations,
    lorenz,
    mackey_glass,
    narma10,
    reber,
    temporal_order,
)

SEEDED = {
    "adding_problem": lambda seed: adding_problem(3, 10, seed=seed),
    "copy_memory": lambda seed: copy_memory(3, 5, seed=seed),
    "temporal_order": lambda seed: temporal_order(3, 20, seed=seed),
    "reber": lambda seed: reber(9, seed=seed),
    "embedded_reber": lambda seed: embedded_reber(9, seed=seed),
    "character_addition": lambda seed: character_addition(3, seed=seed),
    "narma10": lambda seed: narma10(9, seed=seed),
}
# The grammar once more, as Cleeremans et al. draw it: an expression instead of a graph.
REBER = "B(?:TS*X(?:XT*VP)*(?:S|XT*VV)|PT*V(?:PXT*V)*(?:PS|V))E"


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_the_same_seed_makes_the_same_data_and_a_generator_goes_on(make):
    def plain(data):
        return [np.asarray(part).tolist() for part in data]

    assert plain(make(7)) == plain(make(7)) == plain(make(np.random.default_rng(7)))
    random = np.random.default_rng(7)
    assert plain(make(random)) == plain(make(7))
    assert plain(make(random)) != plain(make(7)) != plain(make(8))


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_a_wrong_seed_is_refused(make):
    with pytest.raises(TypeError, match=r"seed: expected an integer, .*, got str"):
        make("7")
    with pytest.raises(ValueError, match=r"seed: expected 0 or more, got -1"):
        make(-1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adding_problem(0), "count: expected 1 or more, got 0"),
        (lambda: adding_problem(1, 1), "length: expected 2 or more, got 1"),
        (lambda: copy_memory(0), "count: expected 1 or more, got 0"),
        (lambda: copy_memory(1, 0), "delay: expected 1 or more, got 0"),
        (lambda: copy_memory(1, length=0), "length: expected 1 or more, got 0"),
        (lambda: copy_memory(1, symbols=1), "symbols: expected 2 or more, got 1"),
        (lambda: temporal_order(0), "count: expected 1 or more, got 0"),
        (lambda: temporal_order(1, 19), "length: expected 20 or more, got 19"),
        (lambda: temporal_order(1, relevant=4), "relevant: expected 2 .. 3, got 4"),
        (lambda: reber(0), "count: expected 1 or more, got 0"),
        (lambda: embedded_reber(-1), "count: expected 1 or more, got -1"),
        (lambda: character_addition(0), "count: expected 1 or more, got 0"),
        (lambda: character_addition(1, 0), "digits: expected 1 .. 18, got 0"),
        (lambda: character_addition(1, 19), "digits: expected 1 .. 18, got 19"),
        (lambda: narma10(0), "count: expected 1 or more, got 0"),
        (lambda: mackey_glass(0), "count: expected 1 or more, got 0"),
        (lambda: mackey_glass(1, tau=0.05), "tau: expected a finite number >= 0.1, got 0.05"),
        (lambda: mackey_glass(1, tau=float("nan")), "tau: expected a finite number >= 0.1, got nan"),
        (lambda: mackey_glass(1, step=0), "step: expected a finite number above 0, got 0"),
        (lambda: mackey_glass(1, substeps=0), "substeps: expected 1 or more, got 0"),
        (lambda: mackey_glass(1, step=12), "substeps: expected 12 or more for a step of 12, got 10"),
        (lambda: mackey_glass(1, discard=-1), "discard: expected 0 or more, got -1"),
        (lambda: mackey_glass(1, initial=0), "initial: expected a number in (0, 10], got 0"),
        (lambda: lorenz(0), "count: expected 1 or more, got 0"),
        (lambda: lorenz(1, step=0.1), "substeps: expected 5 or more for a step of 0.1, got 4"),
        (lambda: lorenz(1, initial=(1, 2)), "initial: expected 3 numbers, got (1, 2)"),
        (lambda: lorenz(1, initial=(0, 0, 101)), "initial[2]: expected a number in [-100, 100], got 101"),
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adding_problem(2.0), "count: expected an integer, got float"),
        (lambda: temporal_order(1, "100"), "length: expected an integer, got str"),
        (lambda: mackey_glass(1, tau="17"), "tau: expected a number, got str"),
        (lambda: lorenz(1, initial=(1, 2, "3")), "initial[2]: expected a number, got str"),
        (lambda: legal_continuations(5), "text: expected a str, got int"),
        (lambda: legal_continuations("B", embedded=1), "embedded: expected True or False, got int"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


# ---- long lags


@pytest.mark.parametrize("length", [2, 3, 7, 100])
def test_adding_marks_one_step_in_each_half(length):
    X, y = adding_problem(500, length, seed=0)
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((500, length, 2), np.float64, (500,), np.float64)
    numbers, marks = X[..., 0], X[..., 1]
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    assert set(np.unique(marks)) <= {0.0, 1.0}
    assert (marks[:, : length // 2].sum(axis=1) == 1).all()
    assert (marks[:, length // 2 :].sum(axis=1) == 1).all()
    np.testing.assert_allclose(y, (numbers * marks).sum(axis=1), rtol=0, atol=1e-15)
    assert (marks.sum(axis=0) > 0).all()  # no step is left out


def test_the_sum_has_mean_1_and_variance_a_sixth():
    _, y = adding_problem(40_000, 2, seed=1)
    assert abs(y.mean() - 1) < 5 * (1 / 6 / 40_000) ** 0.5
    assert abs(y.var() - 1 / 6) < 0.005


def test_copying_repeats_the_symbols_after_the_marker():
    X, y = copy_memory(300, delay=6, length=3, symbols=4, seed=0)
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((300, 12), np.int64, (300, 12), np.int64)
    assert (X[:, 3:8] == 4).all()
    assert (X[:, 8] == 5).all()
    assert (X[:, 9:] == 4).all()
    assert (y[:, :9] == 4).all()
    assert (y[:, 9:] == X[:, :3]).all()
    counts = np.bincount(X[:, :3].ravel(), minlength=6)
    assert counts[4:].tolist() == [0, 0]
    assert (abs(counts[:4] - 225) < 60).all()


def test_copying_after_the_shortest_delay_has_the_marker_at_once():
    X, y = copy_memory(1, delay=1, length=1, symbols=2, seed=0)
    assert X.tolist()[0][1:] == [3, 2]
    assert y.tolist()[0] == [2, 2, X[0, 0]]


@pytest.mark.parametrize(("relevant", "places"), [(2, (10, 50)), (3, (10, 33, 66))])
def test_temporal_order_has_its_letters_where_the_paper_has_them(relevant, places):
    X, y = temporal_order(2000, relevant=relevant, seed=0)
    seen = [Counter() for _ in places]
    for text, order in zip(X, y, strict=True):
        found = [(i, letter) for i, letter in enumerate(text) if letter in "XY"]
        assert "".join(letter for _, letter in found) == order
        for (i, _), counter in zip(found, seen, strict=True):
            counter[i] += 1
        assert re.fullmatch("E[abcdXY]+B", text)
    for first, counter in zip(places, seen, strict=True):
        assert set(counter) == set(range(first, first + 11))
    assert {len(text) for text in X} == set(range(100, 111))
    counts = Counter(y)
    assert len(counts) == 2**relevant
    assert all(abs(n - 2000 / 2**relevant) < 0.2 * 2000 / 2**relevant for n in counts.values())


# ---- grammars


def test_every_string_is_one_of_the_grammar():
    strings = reber(2000, seed=0)
    assert all(re.fullmatch(REBER, text) for text in strings)
    assert {"BTXSE", "BPVVE", "BPVPSE", "BTSXSE", "BTXXVVE"} <= set(strings)


def test_half_of_the_strings_take_each_branch():
    for strings in (reber(4000, seed=1), embedded_reber(4000, seed=1)):
        assert abs(sum(text[1] == "T" for text in strings) - 2000) < 160


def test_every_embedded_string_ends_as_it_began():
    strings = embedded_reber(2000, seed=0)
    assert all(re.fullmatch(f"B([TP]){REBER}\\1E", text) for text in strings)


@pytest.mark.parametrize("embedded", [False, True])
def test_the_legal_continuations_are_those_that_occur(embedded):
    strings = (embedded_reber if embedded else reber)(3000, seed=2)
    known = set(strings)
    occurring: dict[str, set[str]] = {}
    for text in known:
        for i, symbol in enumerate(text):
            occurring.setdefault(text[:i], set()).add(symbol)
    for text in strings[:300]:
        legal = legal_continuations(text, embedded=embedded)
        assert len(legal) == len(text) + 1
        assert legal[-1] == ""
        for i, symbol in enumerate(text):
            assert symbol in legal[i]
            assert occurring[text[:i]] <= set(legal[i])
            if i < 5:  # beginnings that occur so often that nothing legal is missing
                assert occurring[text[:i]] == set(legal[i])


@pytest.mark.parametrize(
    ("text", "embedded", "message"),
    [
        ("X", False, "text: expected B at place 0, got 'X' in 'X'"),
        ("BTT", False, "text: expected S or X at place 2, got 'T' in 'BTT'"),
        ("BTXSEE", False, "text: expected the end at place 5, got 'E' in 'BTXSEE'"),
        ("BTBTXSEPE", True, "text: expected T at place 7, got 'P' in 'BTBTXSEPE'"),
    ],
)
def test_an_illegal_symbol_is_named_with_its_place(text, embedded, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        legal_continuations(text, embedded=embedded)


# ---- sums


def test_the_sums_are_right_and_every_number_of_digits_occurs():
    X, y = character_addition(3000, 3, seed=0)
    widths = Counter()
    for text, total in zip(X, y, strict=True):
        a, b = text.split("+")
        assert str(int(a) + int(b)) == total
        assert (str(int(a)), str(int(b))) == (a, b)  # no 0 at the beginning
        widths[len(a), len(b)] += 1
    assert len(widths) == 9
    assert all(abs(n - 3000 / 9) < 90 for n in widths.values())
    assert any(text.startswith("0+") for text in X)


def test_numbers_of_eighteen_digits_do_not_overflow():
    X, y = character_addition(3000, 18, seed=0)
    assert max(map(len, y)) == 19
    assert all(sum(map(int, text.split("+"))) == int(total) for text, total in zip(X, y, strict=True))


# ---- series


def spectral_mackey_glass(count, tau, initial):
    """Return x(0), x(1), ...: polynomials on pieces of time, integrated exactly."""
    pieces, degree = 2, 24  # pieces a unit of time
    width = 1.0 / pieces
    nodes = chebyshev.chebpts1(degree + 1)
    found = []

    def past(t):
        i = int(np.floor(t / width + 1e-12))
        return initial if i < 0 else chebyshev.chebval(2 * (t / width - i) - 1, found[i])

    values, x = [initial], initial
    for piece in range(pieces * (count - 1)):
        local = (nodes + 1) / 2 * width
        delayed = np.array([past(piece * width + s - tau) for s in local])
        integrand = np.exp(0.1 * local) * 0.2 * delayed / (1 + delayed**10)
        coefficients = chebyshev.chebfit(nodes, integrand, degree)
        integral = chebyshev.chebint(coefficients, scl=width / 2, lbnd=-1)
        own = np.exp(-0.1 * local) * (x + chebyshev.chebval(nodes, integral))
        found.append(chebyshev.chebfit(nodes, own, degree))
        x = np.exp(-0.1 * width) * (x + chebyshev.chebval(1.0, integral))
        values.append(x)
    return np.array([values[0], *values[pieces::pieces]])


def test_mackey_glass_before_the_delay_is_the_exact_exponential():
    t = np.arange(18)
    level = 0.2 * 1.2 / (1 + 1.2**10) / 0.1
    exact = level + (1.2 - level) * np.exp(-0.1 * t)
    np.testing.assert_allclose(mackey_glass(18, discard=0), exact, rtol=0, atol=1e-10)


def test_mackey_glass_agrees_with_a_spectral_integration():
    exact = spectral_mackey_glass(100, 17.0, 1.2)
    found = mackey_glass(100, discard=0, substeps=40)
    assert (found.shape, found.dtype) == ((100,), np.float64)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-8)
    np.testing.assert_allclose(mackey_glass(100, discard=0), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tau", [17.0, 16.75])
def test_mackey_glass_is_of_order_4(tau):
    finest = mackey_glass(100, tau=tau, discard=0, substeps=64, initial=0.9)
    errors = [
        abs(mackey_glass(100, tau=tau, discard=0, substeps=n, initial=0.9) - finest).max() for n in (4, 8, 16)
    ]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 3.5).all(), (errors, orders)


def test_a_delay_between_internal_steps_is_interpolated():
    exact = spectral_mackey_glass(60, 3.3, 0.5)
    np.testing.assert_allclose(
        mackey_glass(60, tau=3.3, discard=0, initial=0.5, substeps=32), exact, atol=1e-6
    )
    at_once = mackey_glass(60, tau=1.0, discard=0, initial=0.5, substeps=1)  # a delay of one internal step
    np.testing.assert_allclose(at_once, spectral_mackey_glass(60, 1.0, 0.5), atol=1e-4)


def test_mackey_glass_discards_the_beginning_and_is_chaotic_but_bounded():
    whole = mackey_glass(2000, discard=0)
    np.testing.assert_array_equal(mackey_glass(500, discard=1500), whole[1500:])
    assert 0.2 < whole[500:].min() < 0.5
    assert 1.2 < whole[500:].max() < 1.4
    other = mackey_glass(2000, discard=0, initial=1.2 + 1e-6)
    assert abs(other - whole)[:100].max() < 1e-4
    assert abs(other - whole)[-200:].max() > 1e-3


def test_lorenz_is_of_order_4():
    finest = lorenz(50, discard=0, substeps=64)
    errors = [abs(lorenz(50, discard=0, substeps=n) - finest).max() for n in (1, 2, 4)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 3.7).all(), (errors, orders)


def test_lorenz_obeys_its_equations_and_visits_both_wings():
    series = lorenz(4000)
    assert (series.shape, series.dtype) == ((4000, 3), np.float64)
    x, y, z = lorenz(400, step=0.002, substeps=1).T
    for own, slope in ((x, 10 * (y - x)), (y, x * (28 - z) - y), (z, x * y - 8 / 3 * z)):
        central = (own[2:] - own[:-2]) / 0.004
        np.testing.assert_allclose(central, slope[1:-1], rtol=0, atol=0.3)
    assert 0.3 < (series[:, 0] > 0).mean() < 0.7
    assert 0 < series[:, 2].min() < series[:, 2].max() < 50
    np.testing.assert_array_equal(lorenz(20, discard=30), lorenz(50, discard=0)[30:])


def test_lorenz_stays_at_a_fixed_point():
    c = (8 / 3 * 27) ** 0.5
    np.testing.assert_allclose(lorenz(5, initial=(c, c, 27)), [[c, c, 27]] * 5, rtol=1e-9)


def test_narma_obeys_its_equation_at_each_step():
    u, y = narma10(3000, seed=3)
    assert (u.shape, u.dtype, y.shape, y.dtype) == ((3000,), np.float64, (3000,), np.float64)
    for t in range(10, 3000):
        expected = 0.3 * y[t - 1] + 0.05 * y[t - 1] * y[t - 10 : t].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        assert abs(y[t] - expected) < 1e-14
    assert (u >= 0).all()
    assert (u < 0.5).all()
    assert abs(u.mean() - 0.25) < 0.015
    assert 0.3 < y.mean() < 0.45


def test_inputs_that_let_narma_grow_are_drawn_again(monkeypatch):
    monkeypatch.setattr("fastrnn.data.synthetic.narma._LARGEST", 0.7)
    u, y = narma10(5000, seed=0)
    assert y.max() < 0.7
    assert narma10(5000, seed=0)[1].max() < 0.7
    t = np.arange(10, 5000)
    sums = np.array([y[i - 10 : i].sum() for i in t])
    np.testing.assert_allclose(
        y[10:], 0.3 * y[9:-1] + 0.05 * y[9:-1] * sums + 1.5 * u[1:-9] * u[10:] + 0.1, rtol=0, atol=1e-14
    )
