"""The LSTM cell: one step, the forward pass and backpropagation through time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import Booleans, Floats, Integers, State, Weights, check_cell
from fastrnn.reference.activations import dsigmoid, dtanh, sigmoid, tanh
from fastrnn.reference.kept_gates import kept_gates
from fastrnn.reference.products import product_of
from fastrnn.reference.time_loop import (
    Tape,
    bias_gradient,
    initial_state,
    make_time_loop,
    project,
    recurrent_weights,
    split_gates,
    start_backward,
    weight_gradient,
)


def _cell(a: Floats, c: Floats, gates: Floats) -> tuple[Floats, Floats]:
    """Return the new h and c from pre-activations a [N, 4*H] and c; put i, f, g, o into gates [N, 4, H]."""
    a_i, a_f, a_g, a_o = split_gates(a, 4)
    gates[:, 0] = i = sigmoid(a_i)
    gates[:, 1] = f = sigmoid(a_f)
    gates[:, 2] = g = tanh(a_g)
    gates[:, 3] = o = sigmoid(a_o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


def lstm_step(x: npt.NDArray[Any], state: State, weights: Weights, *, precision: str = "float32") -> State:
    r"""Compute one step of the LSTM cell, with forget gate and without peepholes.

    .. math::

        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) && \text{input gate} \\
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) && \text{forget gate} \\
        g_t &= \tanh (W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) && \text{candidate} \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) && \text{output gate} \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    The gates' rows of the weights are in the order i, f, g, o, as in PyTorch.

    Parameters
    ----------
    x : ndarray [N, D], float32 or float64, or [N], any integer dtype
        Features, or ids in 0 .. D - 1, which stand for one-hot vectors.
    state : tuple of two ndarray [N, H]
        (h, c), dtype of the weights.
    weights : tuple
        weight_ih [4*H, D], weight_hh [4*H, H], bias_ih [4*H] or None, bias_hh [4*H] or None;
        all float32 or all float64.
    precision : str
        Of the products: "float32", "bfloat16" or "int8"; the last two for float32 weights.

    Returns
    -------
    tuple of two ndarray [N, H]
        (h, c) after the step.

    Raises
    ------
    TypeError
        If the dtypes differ or are not float32 or float64.
    ValueError
        If the shapes do not fit, an id is out of range or `precision` is not for these weights.

    References
    ----------
    Hochreiter, Schmidhuber: Long short-term memory, Neural Computation 9 (1997) 1735-1780.
    Gers, Schmidhuber, Cummins: Learning to forget, Neural Computation 12 (2000) 2451-2471: the forget gate.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((4, 2)), np.zeros((4, 1)), np.array([0.0, 0.0, 20.0, 0.0]), None
    >>> h, c = lstm_step(np.ones((1, 2)), (np.zeros((1, 1)), np.ones((1, 1))), weights)
    >>> c.round(6).tolist(), h.round(6).tolist()  # c = 0.5 * 1 + 0.5 * tanh(20), h = 0.5 * tanh(c)
    ([[1.0]], [[0.380797]])
    """
    check_cell(x, weights, 4, ("N",))
    h, c = initial_state(state, weights, len(x), 2)
    weight_ih, _, bias_ih, _ = weights
    weight_hh_t, bias_hh = recurrent_weights(weights, copy=False)
    multiply = product_of(precision, weight_ih.dtype)
    a = project(x, weight_ih, bias_ih, precision) + multiply(h, weight_hh_t.T) + bias_hh
    return _cell(a, c, np.empty((len(x), 4, h.shape[1]), h.dtype))


def lstm_forward(
    x: npt.NDArray[Any],
    weights: Weights,
    state: State | None = None,
    lengths: Integers | None = None,
    reset: Booleans | None = None,
    reverse: bool = False,
    *,
    precision: str = "float32",
) -> tuple[Floats, State, Tape]:
    r"""Run the LSTM over a sequence: `lstm_step` for each t, the input product for all t at once.

    Parameters
    ----------
    x : ndarray [T, N, D], float32 or float64, or [T, N], any integer dtype
        Features, or ids in 0 .. D - 1.
    weights : tuple
        weight_ih [4*H, D], weight_hh [4*H, H], bias_ih [4*H] or None, bias_hh [4*H] or None;
        all float32 or all float64.
    state : tuple of two ndarray [N, H], optional
        (h, c) to start from; zeros if not given.
    lengths : ndarray [N], any integer dtype, optional
        Real steps of each row, 0 .. T; steps after them are padding.
    reset : ndarray [T, N], bool, optional
        Where True, the row restarts at that step from its initial state.
    reverse : bool
        Run from each row's last real step to its first.
    precision : str
        Of the products: "float32", "bfloat16" or "int8"; the last two for float32 weights.

    Returns
    -------
    y : ndarray [T, N, H]
        h after each step, 0 on padding.
    state_n : tuple of two ndarray [N, H]
        (h, c) after each row's last step.
    tape : Tape
        What `lstm_backward` needs, with all gates and cells; with "bfloat16" the gates are rounded to
        multiples of 2**-14.

    Raises
    ------
    TypeError
        If the dtypes differ or are not float32 or float64.
    ValueError
        If the shapes do not fit, an id or a length is out of range or `precision` is not for these weights.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((4, 1)), np.zeros((4, 1)), np.array([20.0, 20.0, 20.0, 20.0]), None
    >>> y, (h, c), tape = lstm_forward(np.zeros((3, 2, 1)), weights, lengths=np.array([3, 2]))
    >>> tape.c[:, :, 0].round(6).tolist(), c[:, 0].round(6).tolist()  # open gates: c counts steps
    ([[1.0, 1.0], [2.0, 2.0], [3.0, 0.0]], [3.0, 2.0])
    """
    check_cell(x, weights, 4, ("T", "N"))
    loop = make_time_loop(x.shape[:2], lengths, reset, reverse)
    initial = state_t = initial_state(state, weights, x.shape[1], 2)
    weight_ih, _, bias_ih, _ = weights
    weight_hh_t, bias_hh = recurrent_weights(weights, copy=True)
    multiply = product_of(precision, weight_ih.dtype)
    a_x = loop.project(x, weight_ih, bias_ih, precision)
    y = np.empty((*loop.shape, len(weight_hh_t)), a_x.dtype)
    c_all = np.empty_like(y)
    gates = np.empty((*loop.shape, 4, len(weight_hh_t)), a_x.dtype)
    for t in loop.steps:
        h, c = loop.restart(t, state_t, initial)
        y[t], c_all[t] = h, c = _cell(a_x[t] + multiply(h, weight_hh_t.T) + bias_hh, c, gates[t])
        state_t = loop.hold_padding(t, (h, c), state_t)
    y, c_all, gates = loop.zero_padding(y), loop.zero_padding(c_all), loop.zero_padding(gates)
    return (
        y,
        state_t,
        Tape(x, y, initial, loop.lengths, reset, reverse, c_all, kept_gates(gates, precision, 4)),
    )


def lstm_backward(
    weights: Weights,
    tape: Tape,
    dy: Floats | None,
    dstate_n: State | None = None,
    *,
    precision: str = "float32",
) -> tuple[Floats | None, State, Weights]:
    r"""Backpropagate through time for the LSTM.

    With :math:`a` the arguments of the activations, going back through time,

    .. math::

        dh_t &\mathrel{+}= dy_t \\
        dc_t &\mathrel{+}= dh_t \odot o_t \odot (1 - \tanh^2 c_t) \\
        da_{i} &= dc_t \odot g_t \odot i_t (1 - i_t) \\
        da_{f} &= dc_t \odot c_{t-1} \odot f_t (1 - f_t) \\
        da_{g} &= dc_t \odot i_t \odot (1 - g_t^2) \\
        da_{o} &= dh_t \odot \tanh(c_t) \odot o_t (1 - o_t) \\
        dc_{t-1} &= dc_t \odot f_t \\
        dh_{t-1} &= W_{hh}^\top da_t

    and then, over all steps at once, :math:`dx_t = W_{ih}^\top da_t`, :math:`dW_{ih} = \sum_t da_t x_t^\top`,
    :math:`dW_{hh} = \sum_t da_t h_{t-1}^\top`, :math:`db_{ih} = db_{hh} = \sum_t da_t`.

    Parameters
    ----------
    weights : tuple
        Those of the forward pass.
    tape : Tape
        From `lstm_forward`; not changed.
    dy : ndarray [T, N, H] or None
        Gradient of `y`; None for zeros. Its padding is ignored.
    dstate_n : tuple of two ndarray [N, H], optional
        Gradient of `state_n`; zeros if not given.
    precision : str
        Of the products: "float32" or "bfloat16".

    Returns
    -------
    dx : ndarray [T, N, D] or None
        0 on padding; None where x is ids.
    dstate : tuple of two ndarray [N, H]
        Gradient of the initial state.
    dweights : tuple
        Gradients of the weights, None for a bias that is None.

    Raises
    ------
    TypeError
        If the dtypes differ.
    ValueError
        If the shapes do not fit, the tape is of another cell or `precision` is not for these weights.

    References
    ----------
    Graves, Schmidhuber: Framewise phoneme classification with bidirectional LSTM and other neural network
    architectures, Neural Networks 18 (2005) 602-610: the full gradient.
    Greff et al.: LSTM: a search space odyssey, IEEE TNNLS 28 (2017) 2222-2232, section II-B.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((4, 1)), np.zeros((4, 1)), np.array([20.0, 0.0, 20.0, 20.0]), None
    >>> y, _, tape = lstm_forward(np.zeros((3, 1, 1)), weights)
    >>> _, (dh, dc), _ = lstm_backward(weights, tape, None, (np.zeros((1, 1)), np.ones((1, 1))))
    >>> dc.tolist()  # the forget gate is half open, three times
    [[0.125]]
    """
    if tape.c is None or tape.gates is None:
        raise ValueError("tape: expected one of lstm_forward, got one without c and gates")
    check_cell(tape.x, weights, 4, ("T", "N"))
    loop, dy, dstate = start_backward(tape, dy, dstate_n)
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    multiply = product_of(precision, weight_hh.dtype, training=True)
    num_steps, batch_size, H = tape.y.shape
    dinitial = tuple(np.zeros_like(s) for s in tape.state)
    c_before = loop.previous(tape.c, tape.state[1])
    tanh_c = tanh(tape.c)
    da = np.empty_like(tape.gates)
    for t in reversed(loop.steps):
        i, f, g, o = tape.gates[t].swapaxes(0, 1)
        dh = dstate[0] + dy[t]
        dc = dstate[1] + dh * o * dtanh(tanh_c[t])
        da[t, :, 0] = dc * g * dsigmoid(i)
        da[t, :, 1] = dc * c_before[t] * dsigmoid(f)
        da[t, :, 2] = dc * i * dtanh(g)
        da[t, :, 3] = dh * tanh_c[t] * dsigmoid(o)
        dbefore = multiply(da[t].reshape(batch_size, 4 * H), weight_hh.T), dc * f
        dstate = loop.hold_padding(t, loop.restart_backward(t, dbefore, dinitial), dstate)
    da = loop.zero_padding(da).reshape(num_steps, batch_size, 4 * H)
    dx, dweight_ih = loop.project_backward(tape.x, weight_ih, da, precision)
    dweight_hh = weight_gradient(da, loop.previous(tape.y, tape.state[0]), multiply)
    dweights = dweight_ih, dweight_hh, bias_gradient(da, bias_ih), bias_gradient(da, bias_hh)
    return dx, (dinitial[0] + dstate[0], dinitial[1] + dstate[1]), dweights
