"""The reference's forward passes against the textbook equations, scalar by scalar, in plain Python."""

import math

import numpy as np
import pytest

from recurrent_cases import VARIANTS, make_case


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


def affine(weight, bias, vector, j):
    return sum(w * v for w, v in zip(weight[j], vector, strict=True)) + (0.0 if bias is None else bias[j])


def elman(a_x, a_h, h, nonlinearity):
    phi = math.tanh if nonlinearity == "tanh" else lambda a: max(a, 0.0)
    return ([phi(a_x(j) + a_h(j, h)) for j in range(len(h))],)


def gru(a_x, a_h, h, reset_after):
    H = len(h)
    r = [sigmoid(a_x(j) + a_h(j, h)) for j in range(H)]
    z = [sigmoid(a_x(H + j) + a_h(H + j, h)) for j in range(H)]
    if reset_after:
        n = [math.tanh(a_x(2 * H + j) + r[j] * a_h(2 * H + j, h)) for j in range(H)]
    else:
        rh = [r[j] * h[j] for j in range(H)]
        n = [math.tanh(a_x(2 * H + j) + a_h(2 * H + j, rh)) for j in range(H)]
    return ([(1 - z[j]) * n[j] + z[j] * h[j] for j in range(H)],)


def lstm(a_x, a_h, h, c):
    H = len(h)
    i, f, g, o = (
        [activation(a_x(k * H + j) + a_h(k * H + j, h)) for j in range(H)]
        for k, activation in enumerate((sigmoid, sigmoid, math.tanh, sigmoid))
    )
    c = [f[j] * c[j] + i[j] * g[j] for j in range(H)]
    return [o[j] * math.tanh(c[j]) for j in range(H)], c


CELLS = {"elman": elman, "gru": gru, "lstm": lstm}


def textbook(case):
    """Run each row separately, in plain Python."""
    T, N = case.x.shape[:2]
    weight_ih, weight_hh, bias_ih, bias_hh = (w if w is None else w.tolist() for w in case.weights)
    y, state_n = np.zeros((T, N, len(weight_hh[0]))), []
    for n in range(N):
        steps = range(T if case.lengths is None else case.lengths[n])
        initial = state = tuple(s[n].tolist() for s in case.state)
        for t in reversed(steps) if case.reverse else steps:
            if case.reset is not None and case.reset[t, n]:
                state = initial
            x = np.eye(len(weight_ih[0]))[case.x[t, n]] if case.x.ndim == 2 else case.x[t, n]

            def a_x(j, x=x):
                return affine(weight_ih, bias_ih, x, j)

            def a_h(j, h):
                return affine(weight_hh, bias_hh, h, j)

            state = CELLS[case.cell](a_x, a_h, *state, **case.options)
            y[t, n] = state[0]
        state_n.append(state)
    return y, [np.array(s) for s in zip(*state_n, strict=True)]


@pytest.mark.parametrize("bias", ["both", "ih", "hh", "none"])
@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_is_the_textbook(variant, reverse, ids, bias):
    case = make_case(variant, (6, 5, 3, 4), ids=ids, bias=bias, ragged=True, resets=True, reverse=reverse)
    y, state_n, tape = case.forward()
    expected_y, expected_state_n = textbook(case)
    np.testing.assert_allclose(y, expected_y, rtol=1e-12, atol=1e-14)
    for s, expected in zip(state_n, expected_state_n, strict=True):
        np.testing.assert_allclose(s, expected, rtol=1e-12, atol=1e-14)
    assert tape.y is y


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (17, 1, 3, 1), (1, 17, 1, 3), (3, 3, 17, 17)], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_is_the_textbook_at_odd_sizes(variant, sizes):
    case = make_case(variant, sizes)
    np.testing.assert_allclose(case.forward()[0], textbook(case)[0], rtol=1e-12, atol=1e-14)


def test_lstm_tape_holds_the_gates_in_order():
    case = make_case("lstm", ragged=True)
    _, _, tape = case.forward()
    i, f, g, o = (tape.gates[:, :, k] for k in range(4))
    c_before = np.concatenate([case.state[1][None], tape.c[:-1]])
    real = np.arange(len(tape.c))[:, None] < case.lengths
    np.testing.assert_allclose(tape.c[real], (f * c_before + i * g)[real], rtol=1e-14)
    np.testing.assert_allclose(tape.y, o * np.tanh(tape.c), rtol=1e-14)
    assert (g < 0).any()  # so it is the tanh gate
    assert (tape.gates[:, :, [0, 1, 3]] >= 0).all()
    assert not tape.gates[~real].any()
    assert not tape.c[~real].any()


def test_gru_tape_holds_the_gates_in_order():
    case = make_case("gru-after", ragged=True)
    _, _, tape = case.forward()
    r, z, n, hn = (tape.gates[:, :, k] for k in range(4))
    _, weight_hh, _, bias_hh = case.weights
    H = weight_hh.shape[1]
    h = np.concatenate([case.state[0][None], tape.y[:-1]])
    real = np.arange(len(tape.y))[:, None] < case.lengths
    np.testing.assert_allclose(hn[real], (h @ weight_hh[2 * H :].T + bias_hh[2 * H :])[real], rtol=1e-12)
    np.testing.assert_allclose(tape.y[real], ((1 - z) * n + z * h)[real], rtol=1e-14)
    a_r = case.x @ case.weights[0][:H].T + case.weights[2][:H] + h @ weight_hh[:H].T + bias_hh[:H]
    np.testing.assert_allclose(r[real], (1 / (1 + np.exp(-a_r)))[real], rtol=1e-12)
    assert not tape.gates[~real].any()
    assert make_case("gru-before").forward()[2].gates.shape == (5, 4, 3, 6)
