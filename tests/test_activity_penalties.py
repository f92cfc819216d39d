"""Activation regularization: by hand, in a training step and against central differences."""

import re

import numpy as np
import pytest

import fastrnn as fr
from gradient_check import assert_gradient

T, N, H = 5, 3, 4
LENGTHS = np.array([5, 1, 3])


def make_y(*shape):
    return np.random.default_rng(0).normal(size=shape or (T, N, H))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize(("ar", "tar"), [(0.0, 0.0), (2.0, 0.0), (0.0, 1.5), (2.0, 1.5)])
def test_gradients_are_central_differences(ar, tar, lengths):
    y = make_y()
    loss, dy = fr.activity_penalties(y, lengths, ar=ar, tar=tar)
    assert (loss > 0.0) == (ar + tar > 0.0)
    assert_gradient(lambda: fr.activity_penalties(y, lengths, ar=ar, tar=tar)[0], y, dy)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_losses_are_means_over_real_steps(lengths):
    y = make_y()
    rows = [y[:end, row] for row, end in enumerate([T] * N if lengths is None else lengths)]
    ar, _ = fr.activity_penalties(y, lengths, ar=3.0)
    tar, _ = fr.activity_penalties(y, lengths, tar=3.0)
    both, _ = fr.activity_penalties(y, lengths, ar=3.0, tar=3.0)
    np.testing.assert_allclose(ar, 3.0 * (np.concatenate(rows) ** 2).mean(), rtol=1e-14)
    changes = np.concatenate([np.diff(row, axis=0) for row in rows])
    np.testing.assert_allclose(tar, 3.0 * (changes**2).mean(), rtol=1e-14)
    np.testing.assert_allclose(both, ar + tar, rtol=1e-14)


def test_padding_is_ignored():
    y, noise = make_y(), make_y()
    noise[np.arange(T)[:, None] >= LENGTHS] = np.nan
    loss, dy = fr.activity_penalties(y, LENGTHS, ar=1.0, tar=1.0)
    loss_, dy_ = fr.activity_penalties(noise, LENGTHS, ar=1.0, tar=1.0)
    assert loss == loss_
    assert np.array_equal(dy, dy_)
    assert not dy[np.arange(T)[:, None] >= LENGTHS].any()


def test_one_step_has_no_change():
    y = make_y(1, N, H)
    assert fr.activity_penalties(y, tar=1.0)[0] == 0.0
    loss, dy = fr.activity_penalties(y, ar=1.0, tar=1.0)
    assert loss == fr.activity_penalties(y, ar=1.0)[0]
    assert np.array_equal(dy, 2 * y / y.size)


def test_float32_stays_and_the_sum_is_float64():
    y = make_y(200, 40, 30)
    loss, dy = fr.activity_penalties(y.astype(np.float32), ar=1.0, tar=1.0)
    exact, wide = fr.activity_penalties(y, ar=1.0, tar=1.0)
    assert dy.dtype == np.float32
    assert abs(loss / exact - 1.0) < 1e-7
    np.testing.assert_allclose(dy, wide, rtol=1e-5, atol=1e-10)


def test_y_is_left_as_it_was():
    y = make_y()
    y.flags.writeable = False
    _, dy = fr.activity_penalties(y, ar=1.0, tar=1.0)
    assert not np.shares_memory(y, dy)
    assert fr.activity_penalties(y.tolist(), ar=1.0)[0] == fr.activity_penalties(y, ar=1.0)[0]


def test_it_goes_through_a_layer_with_the_loss():
    rnn = fr.LSTM(2, H, dtype="float64", seed=0)
    x = np.random.default_rng(1).normal(size=(T, N, 2))

    def loss():
        return fr.activity_penalties(rnn(x, lengths=LENGTHS)[0], LENGTHS, ar=2.0, tar=1.0)[0]

    y, _, tape = rnn.forward(x, lengths=LENGTHS)
    dx, _ = rnn.backward(tape, fr.activity_penalties(y, LENGTHS, ar=2.0, tar=1.0)[1])
    assert_gradient(loss, x, dx)
    with rnn.parameters.edit() as views:
        assert_gradient(loss, views["weight_hh_l0"], rnn.gradients["weight_hh_l0"])


@pytest.mark.parametrize(
    ("y", "lengths", "options", "error", "text"),
    [
        (make_y(5, 4), None, {}, ValueError, "y: expected [T, N, H], got [5, 4]"),
        (
            make_y(0, 3, 4),
            None,
            {},
            ValueError,
            "y: expected at least one step, sequence and unit, got [0, 3, 4]",
        ),
        (make_y().astype(np.float16), None, {}, TypeError, "y: expected float32 or float64, got float16"),
        (make_y(), [5, 5], {}, ValueError, "lengths: expected [3], got [2]"),
        (make_y(), [5, -1, 5], {}, ValueError, "lengths: expected 0 .. 5, got -1 at position 1"),
        (make_y(), [5.0, 1.0, 5.0], {}, TypeError, "lengths: expected integers, got float64"),
        (make_y(), None, {"ar": -1.0}, ValueError, "ar: expected a finite number >= 0, got -1.0"),
        (make_y(), None, {"tar": float("nan")}, ValueError, "tar: expected a finite number >= 0, got nan"),
        (make_y(), None, {"tar": "1"}, TypeError, "tar: expected a number, got str"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_does_not_take(y, lengths, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        fr.activity_penalties(y, lengths, **options)
