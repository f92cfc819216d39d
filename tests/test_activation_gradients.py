"""Gradients at the ends of activations and clips: small ones keep their digits, ties are not clipped."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.reference.activations import dsigmoid, sigmoid


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_positive_keeps_its_digits(dtype):
    """Of minGRU's candidate at x: positive(x) is sigmoid(x) there, and its derivative almost that."""
    rnn = fr.MinGRU(1, 1, nonlinearity="positive", bias=False, dtype=dtype, seed=0)
    with rnn.parameters.edit() as views:
        views["weight_ih_l0"][...] = [[0], [1]]  # z is 1/2
    x = np.linspace(-30, -1, 40).astype(dtype).reshape(1, 40, 1)
    y, _, tape = rnn.forward(x)
    dx, _ = rnn.backward(tape, np.ones_like(y))
    wanted = 0.5 * dsigmoid(sigmoid(x.astype(float)))
    np.testing.assert_allclose(dx, wanted, rtol=10 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_c_equal_to_the_clip_is_not_clipped(dtype):
    """As in PyTorch's clamp. c is often equal to 1: that is where saturated gates lead it."""
    rnn = fr.LSTM(1, 3, cell_clip=1.0, bias=False, dtype=dtype, seed=0)
    with rnn.parameters.edit() as views:
        views["weight_ih_l0"][...] = 100
        views["weight_hh_l0"][...] = 0
    x = np.ones((1, 2, 1), dtype)
    state = np.zeros((1, 2, 3), dtype), np.zeros((1, 2, 3), dtype)
    _, (_, c), tape = rnn.forward(x, state)
    assert (c == 1).all()
    _, (_, dc) = rnn.backward(tape, None, (np.zeros_like(c), np.full_like(c, 7)))
    assert (dc == 7).all()
    _, (_, c), tape = rnn.forward(x, (state[0], np.full_like(c, 0.5)))  # clipped: 1.5
    assert (c == 1).all()
    _, (_, dc) = rnn.backward(tape, None, (np.zeros_like(c), np.full_like(c, 7)))
    assert not dc.any()
