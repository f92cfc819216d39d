"""Finite input gives finite output and gradients: cells at extreme gates, losses at extreme logits."""

from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from fastrnn.layers import AdaptiveSoftmax, Softmax
from variant_cases import VARIANTS, batch, make, parts_of

EXTREMES = (-1e4, -100.0, -50.0, -1.0, 0.0, 1.0, 50.0, 100.0, 1e4)
PLAIN = {
    "rnn": (fr.RNN, {}),
    "rnn relu": (fr.RNN, {"nonlinearity": "relu"}),
    "gru": (fr.GRU, {}),
    "gru before": (fr.GRU, {"reset_after": False}),
    "lstm": (fr.LSTM, {}),
    "slstm": (fr.SLSTM, {}),
}
DTYPES = ("float32", "float64")


def exact_minlstm(a, b, n, before):
    """Return h, and its derivatives by the gates' sums a (of f) and b (of i), n and h', from 60 digits."""
    with localcontext(prec=60):
        a, b, n, before = (Decimal(float(v)) for v in (a, b, n, before))
        f, i = 1 / (1 + (-a).exp()), 1 / (1 + (-b).exp())
        share = i / (f + i)
        slope = (n - before) * share * (1 - share)
        results = (
            before + share * (n - before),
            -slope / (1 + a.exp()),
            slope / (1 + b.exp()),
            share,
            1 - share,
        )
        return [float(value) for value in results]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", ["kernels", "reference"])
def test_minlstm_is_right_where_both_gates_vanish(how, dtype):
    """Every pair of extreme gates, forward and backward, against 60 digits."""
    sums = np.array(
        [(a, b, n) for (a, b), n in zip(product(EXTREMES, repeat=2), [2.0, -1.5] * 41, strict=False)]
    )
    x, before = sums[None].astype(dtype), np.full((len(sums), 1), 0.75, dtype)
    dy = np.ones((1, len(sums), 1), dtype)
    if how == "kernels":
        rnn = fr.MinLSTM(3, 1, bias=False, dtype=dtype)
        rnn.load_state_dict({"weight_ih_l0": np.eye(3, dtype=dtype)})
        y, _, tape = rnn.forward(x, before[None])
        dx, dbefore = rnn.backward(tape, dy)
    else:
        weights = {"weight_ih": np.eye(3, dtype=dtype)}
        y, _, tape = reference.variant_forward("minlstm", x, weights, (before,))
        dx, (dbefore,), _ = reference.variant_backward("minlstm", weights, tape, dy)
    got = np.column_stack([y[0], dx[0], dbefore.reshape(-1, 1)]).astype(float)
    wanted = np.array([exact_minlstm(*row, 0.75) for row in sums])
    np.testing.assert_allclose(
        got, wanted, rtol=1e-6 if dtype == "float32" else 1e-14, atol=4 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_long_minlstm_of_extreme_gates_stays_finite(dtype):
    rnn = fr.MinLSTM(3, 17, 2, nonlinearity="positive", dtype=dtype, seed=0)
    x = np.random.default_rng(0).choice(EXTREMES, size=(200, 5, 3)).astype(dtype) * 100
    y, h, tape = rnn.forward(x)
    dx, dh = rnn.backward(tape, np.ones_like(y))
    assert all(np.isfinite(part).all() for part in (y, h, dx, dh, rnn.gradients.flat))
    stream = rnn.stream(5)
    assert np.array_equal([stream.step(x_t) for x_t in x], y)


def layer(name, dtype, scale):
    """Make a layer of a variant or a plain cell, with all parameters times `scale`."""
    if name in PLAIN:
        kind, options = PLAIN[name]
        rnn = kind(4, 5, 2, dtype=dtype, seed=0, **options)
    else:
        rnn = make(name, dtype=dtype, layers=2)
    with rnn.parameters.edit() as views:
        views.flat[...] *= scale
    return rnn


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*PLAIN, *VARIANTS])
def test_finite_input_gives_finite_output_and_gradients(name, dtype):
    for scale, size in product((0.0, 1.0, 20.0), (0.0, 1e-30, 1.0, 1e4)):
        rnn = layer(name, dtype, scale)
        x, more = batch(rnn, ("lengths", "reset", "state"))
        x = (np.sign(x) * size).astype(dtype)
        y, last, tape = rnn.forward(x, **more)
        dx, dstate = rnn.backward(tape, np.ones_like(y), last)
        parts = {"y": y, "dx": dx, "gradients": rnn.gradients.flat, "inference": rnn(x, **more)[0]}
        parts |= {f"last {k}": part for k, part in enumerate(parts_of(last))}
        parts |= {f"dstate {k}": part for k, part in enumerate(parts_of(dstate))}
        for what, part in parts.items():
            assert np.isfinite(part).all(), (what, scale, size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_learned_state_of_an_slstm_never_divides_by_zero(dtype):
    """With f = i = 1 and a learned n of -1, n would be 0 after the first step."""
    rnn = fr.SLSTM(2, 3, learn_state=True, dtype=dtype, seed=0)
    with rnn.parameters.edit() as views:
        views.flat[...] = 0
        views["bias_ih_l0"][3:6] = 100.0
        views["initial_c"][:, :6] = -1.0
    x = np.zeros((4, 2, 2), dtype)
    y, (_, memory), tape = rnn.forward(x)
    rnn.backward(tape, np.ones_like(y))
    assert np.array_equal(memory[0, :, 3:6], np.full((2, 3), 5, dtype))  # 1 and four steps
    assert np.isfinite(y).all()
    assert np.isfinite(rnn.gradients.flat).all()
    assert (rnn.gradients["initial_c"][0, 3:6] != 0).all()


@pytest.mark.parametrize("name", [name for name in VARIANTS if "norm" in name])
def test_the_normalisation_of_equal_numbers_is_their_bias(name):
    """Sums that are all equal have variance 0: the normalised numbers are 0, and the gradients finite."""
    rnn = make(name)
    with rnn.parameters.edit() as views:
        for parameter, view in views.items():
            if parameter.startswith("weight_") and "hr" not in parameter:
                view[...] = 0.5
    x, more = batch(rnn, ("state",))
    y, _, tape = rnn.forward(np.ones_like(x), **more)
    dx, _ = rnn.backward(tape, np.ones_like(y))
    assert all(np.isfinite(part).all() for part in (y, dx, rnn.gradients.flat))


@pytest.mark.parametrize("name", [*PLAIN, *VARIANTS])
def test_nan_in_a_row_stays_in_that_row(name):
    """NaN is passed on, not turned into a number, and other rows of the batch do not see it."""
    rnn = layer(name, "float32", 1.0)
    x, more = batch(rnn, ("state",))
    clean, _ = rnn(x, **more)
    x[2, 1, 0] = np.nan
    y, _ = rnn(x, **more)
    assert np.isnan(y[:, 1]).any()
    assert np.array_equal(np.delete(y, 1, axis=1), np.delete(clean, 1, axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_extreme_logits(dtype):
    largest = float(np.finfo(dtype).max) / 4
    for size in (1e4, 1e18, 1e30, largest):
        logits = np.array(
            [[0, size, -size, size / 2, 1], [size] * 5, [-size] * 5, [-size, 0, 1, 2, 3]], dtype
        )
        targets = np.array([1, 2, 3, 0])
        result = fr.softmax_cross_entropy(logits, targets)
        loss, dlogits = result[0], result[1]
        wanted = (
            0 + 2 * np.log(5) + float(logits[3, 4]) + np.log(np.exp([-3.0, -2, -1, 0]).sum()) + size
        ) / 4
        np.testing.assert_allclose(loss, wanted, rtol=1e-6)
        assert np.isfinite(dlogits).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_output_layers_of_extreme_inputs(dtype, smoothing):
    for size in (1e4, 1e18, 1e30):
        h = (np.random.default_rng(0).normal(size=(7, 3)) * size).astype(dtype)
        outputs = [Softmax(3, 50, dtype=dtype, seed=0)]
        if not smoothing:
            outputs.append(AdaptiveSoftmax(3, 50, [10, 20], dtype=dtype, seed=0))
        for output in outputs:
            losses, dh = output.losses_and_gradients(h, np.arange(7) * 7, smoothing=smoothing)
            assert all(np.isfinite(part).all() for part in (losses, dh, output.gradients.flat))
