"""The sLSTM cell: the forward pass and backpropagation through time; a step is a pass with T = 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import Booleans, Floats, Integers, State, Weights, check_cell, check_state
from fastrnn.reference.activations import dsigmoid, dtanh, sigmoid, tanh
from fastrnn.reference.products import product_of
from fastrnn.reference.time_loop import (
    Tape,
    bias_gradient,
    make_time_loop,
    recurrent_weights,
    split_gates,
    start_backward,
    weight_gradient,
)


def _parts(c: Floats) -> tuple[Floats, Floats, Floats]:
    """c, n and m of [..., 3*H]."""
    c, n, m = np.split(c, 3, axis=-1)
    return c, n, m


def _cell(a: Floats, memory: Floats, gates: Floats) -> tuple[Floats, Floats]:
    """From pre-activations a [N, 4*H] and c, n, m [N, 3*H]: the new h and c, n, m; fills gates [N, 4, H]."""
    c, n, m = _parts(memory)
    log_i, a_f, a_z, a_o = split_gates(a, 4)
    log_f = np.minimum(a_f, 0) - np.log1p(np.exp(-np.abs(a_f)))
    z = tanh(a_z)
    o = sigmoid(a_o)
    new_m = np.where(n > 0, np.maximum(log_f + m, log_i), log_i)
    i = np.exp(log_i - new_m)
    f = _forget(log_f, m, new_m)
    c = f * c + i * z
    n = f * n + i
    gates[:, 0], gates[:, 1], gates[:, 2], gates[:, 3] = i, log_f, z, o
    return o * (c / n), np.concatenate([c, n, new_m], axis=1)


def _forget(log_f: Floats, m: Floats, new_m: Floats) -> Floats:
    """f; where nothing is stored yet its exponent may be large: it is kept finite."""
    result: Floats = np.exp(np.minimum(log_f + m - new_m, 88 if log_f.dtype == np.float32 else 709))
    return result


def slstm_forward(
    x: npt.NDArray[Any],
    weights: Weights,
    state: State | None = None,
    lengths: Integers | None = None,
    reset: Booleans | None = None,
    reverse: bool = False,
) -> tuple[Floats, State, Tape]:
    r"""Run the sLSTM over a sequence.

    .. math::

        \tilde\imath_t &= W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi} && \text{log of the input gate} \\
        l_t &= \log \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) && \text{of the forget gate} \\
        z_t &= \tanh (W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) && \text{candidate} \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) && \text{output gate} \\
        m_t &= \max(l_t + m_{t-1}, \tilde\imath_t) && \tilde\imath_t \text{ where } n_{t-1} = 0 \\
        i_t &= \exp(\tilde\imath_t - m_t) \qquad f_t = \exp(l_t + m_{t-1} - m_t) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot z_t \qquad n_t = f_t \odot n_{t-1} + i_t \\
        h_t &= o_t \odot c_t / n_t

    Parameters
    ----------
    x, weights, lengths, reset, reverse
        As for `lstm_forward`; the gates stand in the order i, f, z, o.
    state : tuple of ndarray [N, H] and [N, 3*H], optional
        h, and c, n, m side by side; zeros if not given.

    Returns
    -------
    y : ndarray [T, N, H]
        h after each step, 0 on padding.
    state_n : tuple
        As `state`, after each row's last step.
    tape : Tape
        Its c is [T, N, 3*H], its gates are i, l, z, o.

    Raises
    ------
    TypeError, ValueError
        As `lstm_forward`.

    References
    ----------
    Beck et al.: xLSTM: extended long short-term memory, arXiv:2405.04517 (2024), equations 8 to 17.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((4, 1)), np.zeros((4, 1)), np.array([0.0, 20.0, 20.0, 20.0]), None
    >>> y, (h, c), tape = slstm_forward(np.zeros((3, 1, 1)), weights)
    >>> c.round(6).tolist()  # nothing is forgotten: n counts steps
    [[3.0, 3.0, 0.0]]
    """
    check_cell(x, weights, 4, ("T", "N"))
    loop = make_time_loop(x.shape[:2], lengths, reset, reverse)
    weight_ih, weight_hh, bias_ih, _ = weights
    H, N = weight_hh.shape[1], x.shape[1]
    zeros = np.zeros((N, H), weight_hh.dtype), np.zeros((N, 3 * H), weight_hh.dtype)
    if state is not None:
        check_state("state", state, zeros)
    initial = state_t = zeros if state is None else tuple(state)
    weight_hh_t, bias_hh = recurrent_weights(weights, copy=True)
    a_x = loop.project(x, weight_ih, bias_ih)
    y = np.empty((*loop.shape, H), a_x.dtype)
    memory_all = np.empty((*loop.shape, 3 * H), a_x.dtype)
    gates = np.empty((*loop.shape, 4, H), a_x.dtype)
    for t in loop.steps:
        h, memory = loop.restart(t, state_t, initial)
        y[t], memory_all[t] = h, memory = _cell(a_x[t] + h @ weight_hh_t + bias_hh, memory, gates[t])
        state_t = loop.hold_padding(t, (h, memory), state_t)
    y, memory_all, gates = loop.zero_padding(y), loop.zero_padding(memory_all), loop.zero_padding(gates)
    return y, state_t, Tape(x, y, initial, loop.lengths, reset, reverse, memory_all, gates)


def slstm_backward(
    weights: Weights, tape: Tape, dy: Floats | None, dstate_n: State | None = None
) -> tuple[Floats | None, State, Weights]:
    r"""Backpropagation through time for the sLSTM, with c, n and m as three independent inputs of a step.

    Walking back through time, with :math:`dm_t` as it comes in,

    .. math::

        dc_t &\mathrel{+}= dh_t \odot o_t / n_t \qquad dn_t \mathrel{-}= dh_t \odot o_t \odot c_t / n_t^2 \\
        di_t &= dc_t \odot z_t + dn_t \qquad df_t = dc_t \odot c_{t-1} + dn_t \odot n_{t-1} \\
        dm_t &\mathrel{-}= di_t \odot i_t + df_t \odot f_t \\
        dl_t &= df_t \odot f_t + [i_t < 1]\, dm_t \\
        d\tilde\imath_t = di_t \odot i_t + [i_t = 1]\, dm_t \\
        dc_{t-1} &= dc_t \odot f_t \qquad dn_{t-1} = dn_t \odot f_t \qquad dm_{t-1} = dl_t

    The third line is 0 where only h is used later: h does not change when c and n are divided by
    :math:`e^s` and s is added to m. The rest is that of `lstm_backward`.

    Parameters
    ----------
    weights, tape, dy, dstate_n
        As for `lstm_backward`; dstate_n as the state of `slstm_forward`.

    Returns
    -------
    dx, dstate, dweights
        As for `lstm_backward`.

    Raises
    ------
    TypeError, ValueError
        As `lstm_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((4, 1)), np.zeros((4, 1)), np.array([0.0, 20.0, 20.0, 20.0]), None
    >>> y, _, tape = slstm_forward(np.zeros((3, 1, 1)), weights)
    >>> _, (dh, dc), _ = slstm_backward(weights, tape, None, (np.zeros((1, 1)), np.ones((1, 3))))
    >>> dc[:, :2].round(6).tolist()
    [[1.0, 1.0]]
    """
    if tape.c is None or tape.gates is None:
        raise ValueError("tape: expected one of slstm_forward, got one without c and gates")
    check_cell(tape.x, weights, 4, ("T", "N"))
    loop, dy, dstate = start_backward(tape, dy, dstate_n)
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    num_steps, batch_size, H = tape.y.shape
    dinitial = tuple(np.zeros_like(s) for s in tape.state)
    before = loop.previous(tape.c, tape.state[1])
    da = np.empty_like(tape.gates)
    for t in reversed(loop.steps):
        i, log_f, z, o = tape.gates[t].swapaxes(0, 1)
        c, n, m = _parts(tape.c[t])
        c_before, n_before, m_before = _parts(before[t])
        if loop.real is not None:  # padding is zero on the tape
            n = np.where(loop.real[t, :, None], n, n.dtype.type(1))
        f = _forget(log_f, m_before, m)
        dh = dstate[0] + dy[t]
        dc, dn, dm = _parts(dstate[1])
        dc = dc + dh * o / n
        dn = dn - dh * o * c / n**2
        di = dc * z + dn
        df = dc * c_before + dn * n_before
        dm = dm - di * i - df * f
        dlog_f = df * f + np.where(i < 1, dm, 0)
        da[t, :, 0] = di * i + np.where(i < 1, 0, dm)
        da[t, :, 1] = dlog_f * -np.expm1(log_f)
        da[t, :, 2] = dc * i * dtanh(z)
        da[t, :, 3] = dh * c / n * dsigmoid(o)
        dmemory = np.concatenate([dc * f, dn * f, dlog_f], axis=1)
        dbefore = da[t].reshape(batch_size, 4 * H) @ weight_hh, dmemory
        dstate = loop.hold_padding(t, loop.restart_backward(t, dbefore, dinitial), dstate)
    da = loop.zero_padding(da).reshape(num_steps, batch_size, 4 * H)
    dx, dweight_ih = loop.project_backward(tape.x, weight_ih, da)
    dweight_hh = weight_gradient(da, loop.previous(tape.y, tape.state[0]), product_of("float32", da.dtype))
    dweights = dweight_ih, dweight_hh, bias_gradient(da, bias_ih), bias_gradient(da, bias_hh)
    return dx, (dinitial[0] + dstate[0], dinitial[1] + dstate[1]), dweights
