"""The gated recurrent unit: one step, the forward pass and backpropagation through time, for both resets.

The two variants differ in where the reset gate acts. ``reset_after=True`` gates the product W_hn h (PyTorch,
cuDNN); ``reset_after=False`` gates h before the product (the original paper, course notes). The update gate z
is the fraction of the old state that is kept, as in that paper and in PyTorch; texts that write
h = u n + (1 - u) h (Chung et al. 2014, course notes) have u = 1 - z.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import Booleans, Floats, Integers, State, Weights, check_cell
from fastrnn.reference.activations import dsigmoid, dtanh, sigmoid, tanh
from fastrnn.reference.kept_gates import kept_gates
from fastrnn.reference.products import Multiply, product_of
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

#: W_hh^T, b_hh and the function that multiplies.
Recurrent: TypeAlias = tuple[Floats, Floats, Multiply]


def _cell_reset_after(a_x: Floats, h: Floats, recurrent: Recurrent, gates: Floats) -> Floats:
    """Return the new h from W_ih x + b_ih [N, 3*H] and h; put r, z, n, W_hn h + b_hn into gates [N, 4, H]."""
    weight_hh_t, bias_hh, multiply = recurrent
    x_r, x_z, x_n = split_gates(a_x, 3)
    h_r, h_z, h_n = split_gates(multiply(h, weight_hh_t.T) + bias_hh, 3)
    gates[:, 0] = r = sigmoid(x_r + h_r)
    gates[:, 1] = z = sigmoid(x_z + h_z)
    gates[:, 2] = n = tanh(x_n + r * h_n)
    gates[:, 3] = h_n
    return (1 - z) * n + z * h


def _cell_reset_before(a_x: Floats, h: Floats, recurrent: Recurrent, gates: Floats) -> Floats:
    """Return the new h from W_ih x + b_ih [N, 3*H] and h [N, H]; put r, z, n into gates [N, 3, H]."""
    weight_hh_t, bias_hh, multiply = recurrent
    rz, cand = slice(0, 2 * h.shape[1]), slice(2 * h.shape[1], None)
    x_r, x_z, x_n = split_gates(a_x, 3)
    h_r, h_z = split_gates(multiply(h, weight_hh_t[:, rz].T) + bias_hh[rz], 2)
    gates[:, 0] = r = sigmoid(x_r + h_r)
    gates[:, 1] = z = sigmoid(x_z + h_z)
    gates[:, 2] = n = tanh(x_n + multiply(r * h, weight_hh_t[:, cand].T) + bias_hh[cand])
    return (1 - z) * n + z * h


def gru_step(
    x: npt.NDArray[Any],
    state: State,
    weights: Weights,
    *,
    reset_after: bool = True,
    precision: str = "float32",
) -> State:
    r"""Compute one step of the gated recurrent unit.

    .. math::

        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) && \text{reset gate} \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) && \text{update gate} \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) && \text{reset\_after} \\
        n_t &= \tanh(W_{in} x_t + b_{in} + W_{hn} (r_t \odot h_{t-1}) + b_{hn}) && \text{not reset\_after} \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    The gates' rows of the weights are in the order r, z, n, as in PyTorch.

    Parameters
    ----------
    x : ndarray [N, D], float32 or float64, or [N], any integer dtype
        Features, or ids in 0 .. D - 1, which stand for one-hot vectors.
    state : tuple of one ndarray [N, H]
        (h,), dtype of the weights.
    weights : tuple
        weight_ih [3*H, D], weight_hh [3*H, H], bias_ih [3*H] or None, bias_hh [3*H] or None;
        all float32 or all float64.
    reset_after : bool
        Reset the product of h (PyTorch, cuDNN), or h itself (the original paper).
    precision : str
        Of the products: "float32", "bfloat16" or "int8"; the last two for float32 weights.

    Returns
    -------
    tuple of one ndarray [N, H]
        (h,) after the step.

    Raises
    ------
    TypeError
        If the dtypes differ or are not float32 or float64.
    ValueError
        If the shapes do not fit, an id is out of range or `precision` is not for these weights.

    References
    ----------
    Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical machine translation,
    EMNLP 2014, equations 5-8: ``reset_after=False``.
    Chung, Gulcehre, Cho, Bengio: Empirical evaluation of gated recurrent neural networks on sequence
    modeling, arXiv:1412.3555 (2014): the name, and an update gate of 1 - z.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((3, 2)), np.zeros((3, 1)), np.array([0.0, 0.0, 20.0]), None
    >>> (h,) = gru_step(np.ones((1, 2)), (np.full((1, 1), 0.5),), weights)
    >>> h.round(6).tolist()  # 0.5 * tanh(20) + 0.5 * 0.5
    [[0.75]]
    """
    check_cell(x, weights, 3, ("N",))
    (h,) = initial_state(state, weights, len(x), 1)
    weight_ih, _, bias_ih, _ = weights
    cell, kept = (_cell_reset_after, 4) if reset_after else (_cell_reset_before, 3)
    gates = np.empty((len(x), kept, h.shape[1]), h.dtype)
    recurrent = (*recurrent_weights(weights, copy=False), product_of(precision, weight_ih.dtype))
    return (cell(project(x, weight_ih, bias_ih, precision), h, recurrent, gates),)


def gru_forward(
    x: npt.NDArray[Any],
    weights: Weights,
    state: State | None = None,
    lengths: Integers | None = None,
    reset: Booleans | None = None,
    reverse: bool = False,
    *,
    reset_after: bool = True,
    precision: str = "float32",
) -> tuple[Floats, State, Tape]:
    r"""Run the GRU over a sequence: `gru_step` for each t, the input product for all t at once.

    Parameters
    ----------
    x : ndarray [T, N, D], float32 or float64, or [T, N], any integer dtype
        Features, or ids in 0 .. D - 1.
    weights : tuple
        weight_ih [3*H, D], weight_hh [3*H, H], bias_ih [3*H] or None, bias_hh [3*H] or None;
        all float32 or all float64.
    state : tuple of one ndarray [N, H], optional
        (h,) to start from; zeros if not given.
    lengths : ndarray [N], any integer dtype, optional
        Real steps of each row, 0 .. T; steps after them are padding.
    reset : ndarray [T, N], bool, optional
        Where True, the row restarts at that step from its initial state. (Not the reset gate.)
    reverse : bool
        Run from each row's last real step to its first.
    reset_after : bool
        As in `gru_step`.
    precision : str
        Of the products: "float32", "bfloat16" or "int8"; the last two for float32 weights.

    Returns
    -------
    y : ndarray [T, N, H]
        h after each step, 0 on padding.
    state_n : tuple of one ndarray [N, H]
        (h,) after each row's last step.
    tape : Tape
        What `gru_backward` needs, with all gates; with "bfloat16" r, z and n are rounded to multiples of
        2**-14, and ``W_hn h + b_hn`` to bfloat16.

    Raises
    ------
    TypeError
        If the dtypes differ or are not float32 or float64.
    ValueError
        If the shapes do not fit, an id or a length is out of range or `precision` is not for these weights.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((3, 1)), np.zeros((3, 1)), np.array([0.0, 0.0, 20.0]), None
    >>> y, (h,), tape = gru_forward(np.zeros((3, 1, 1)), weights)
    >>> y.ravel().round(6).tolist()  # each step goes half of the way to 1
    [0.5, 0.75, 0.875]
    """
    check_cell(x, weights, 3, ("T", "N"))
    loop = make_time_loop(x.shape[:2], lengths, reset, reverse)
    initial = state_t = initial_state(state, weights, x.shape[1], 1)
    weight_ih, weight_hh, bias_ih, _ = weights
    cell, kept = (_cell_reset_after, 4) if reset_after else (_cell_reset_before, 3)
    recurrent = (*recurrent_weights(weights, copy=True), product_of(precision, weight_ih.dtype))
    a_x = loop.project(x, weight_ih, bias_ih, precision)
    y = np.empty((*loop.shape, weight_hh.shape[1]), a_x.dtype)
    gates = np.empty((*loop.shape, kept, weight_hh.shape[1]), a_x.dtype)
    for t in loop.steps:
        (h,) = loop.restart(t, state_t, initial)
        y[t] = h = cell(a_x[t], h, recurrent, gates[t])
        state_t = loop.hold_padding(t, (h,), state_t)
    y, gates = loop.zero_padding(y), loop.zero_padding(gates)
    return (
        y,
        state_t,
        Tape(x, y, initial, loop.lengths, reset, reverse, None, kept_gates(gates, precision, 3)),
    )


def gru_backward(
    weights: Weights,
    tape: Tape,
    dy: Floats | None,
    dstate_n: State | None = None,
    *,
    reset_after: bool = True,
    precision: str = "float32",
) -> tuple[Floats | None, State, Weights]:
    r"""Backpropagate through time for the GRU.

    With :math:`a` the arguments of the activations and :math:`q_t = W_{hn} h_{t-1} + b_{hn}`,
    going back through time,

    .. math::

        dh_t &\mathrel{+}= dy_t \\
        da_{n} &= dh_t \odot (1 - z_t) \odot (1 - n_t^2) \\
        da_{z} &= dh_t \odot (h_{t-1} - n_t) \odot z_t (1 - z_t)

    then with ``reset_after``

    .. math::

        dq_t &= da_{n} \odot r_t \\
        da_{r} &= da_{n} \odot q_t \odot r_t (1 - r_t) \\
        dh_{t-1} &= dh_t \odot z_t + W_{hr}^\top da_{r} + W_{hz}^\top da_{z} + W_{hn}^\top dq_t

    and without it, with :math:`s_t = r_t \odot h_{t-1}`,

    .. math::

        ds_t &= W_{hn}^\top da_{n} \\
        da_{r} &= ds_t \odot h_{t-1} \odot r_t (1 - r_t) \\
        dh_{t-1} &= dh_t \odot z_t + W_{hr}^\top da_{r} + W_{hz}^\top da_{z} + ds_t \odot r_t

    and then, over all steps at once, :math:`dx_t = W_{ih}^\top da_t`, :math:`dW_{ih} = \sum_t da_t x_t^\top`,
    :math:`db_{ih} = \sum_t da_t`; :math:`dW_{hh}` and :math:`db_{hh}` likewise with :math:`h_{t-1}`, but in
    the rows of n with :math:`dq_t` in place of :math:`da_n`, or with :math:`s_t` in place of :math:`h_{t-1}`.

    Parameters
    ----------
    weights : tuple
        Those of the forward pass.
    tape : Tape
        From `gru_forward`; not changed.
    dy : ndarray [T, N, H] or None
        Gradient of `y`; None for zeros. Its padding is ignored.
    dstate_n : tuple of one ndarray [N, H], optional
        Gradient of `state_n`; zeros if not given.
    reset_after : bool
        As in the forward pass.
    precision : str
        Of the products: "float32" or "bfloat16".

    Returns
    -------
    dx : ndarray [T, N, D] or None
        0 on padding; None where x is ids.
    dstate : tuple of one ndarray [N, H]
        Gradient of the initial state.
    dweights : tuple
        Gradients of the weights, None for a bias that is None.

    Raises
    ------
    TypeError
        If the dtypes differ.
    ValueError
        If the shapes do not fit, the tape is of another cell or the other variant, or `precision` is not for
        these weights.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.zeros((3, 1)), np.zeros((3, 1)), None, None
    >>> y, _, tape = gru_forward(np.zeros((3, 1, 1)), weights)
    >>> _, (dh,), _ = gru_backward(weights, tape, None, (np.ones((1, 1)),))
    >>> dh.tolist()  # half of the state is kept, three times
    [[0.125]]
    """
    kept = 4 if reset_after else 3
    if tape.gates is None or tape.gates.shape[2] != kept:
        raise ValueError(f"tape: expected one of gru_forward with reset_after={reset_after}")
    check_cell(tape.x, weights, 3, ("T", "N"))
    loop, dy, dstate = start_backward(tape, dy, dstate_n)
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    H = weight_hh.shape[1]
    multiply = product_of(precision, weight_hh.dtype, training=True)
    dinitial = tuple(np.zeros_like(s) for s in tape.state)
    h_before = loop.previous(tape.y, tape.state[0])
    da = np.empty((*loop.shape, 3, H), tape.y.dtype)  # of W_ih x + b_ih
    da_hh = np.empty_like(da) if reset_after else da  # of W_hh h + b_hh
    for t in reversed(loop.steps):
        r, z, n = tape.gates[t, :, :3].swapaxes(0, 1)
        dh = dstate[0] + dy[t]
        da[t, :, 2] = dh * (1 - z) * dtanh(n)
        da[t, :, 1] = dh * (h_before[t] - n) * dsigmoid(z)
        if reset_after:
            q = tape.gates[t, :, 3]
            da[t, :, 0] = da[t, :, 2] * q * dsigmoid(r)
            da_hh[t, :, :2] = da[t, :, :2]
            da_hh[t, :, 2] = da[t, :, 2] * r
            dh_before = dh * z + multiply(da_hh[t].reshape(-1, 3 * H), weight_hh.T)
        else:
            ds = multiply(da[t, :, 2], weight_hh[2 * H :].T)
            da[t, :, 0] = ds * h_before[t] * dsigmoid(r)
            d_rz = multiply(da[t, :, :2].reshape(-1, 2 * H), weight_hh[: 2 * H].T)
            dh_before = dh * z + ds * r + d_rz
        dstate = loop.hold_padding(t, loop.restart_backward(t, (dh_before,), dinitial), dstate)
    da_x, da_h = (loop.zero_padding(d).reshape(*loop.shape, 3 * H) for d in (da, da_hh))
    dx, dweight_ih = loop.project_backward(tape.x, weight_ih, da_x, precision)
    if reset_after:
        dweight_hh = weight_gradient(da_h, h_before, multiply)
    else:
        rz, n = da_h[:, :, : 2 * H], da_h[:, :, 2 * H :]
        s = tape.gates[:, :, 0] * h_before
        parts = weight_gradient(rz, h_before, multiply), weight_gradient(n, s, multiply)
        dweight_hh = np.concatenate(parts)
    dweights = dweight_ih, dweight_hh, bias_gradient(da_x, bias_ih), bias_gradient(da_h, bias_hh)
    return dx, (dinitial[0] + dstate[0],), dweights
