"""The vanilla recurrent cell of Elman: one step, the forward pass and backpropagation through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import Booleans, Floats, Integers, State, Weights, check_cell
from fastrnn.reference.activations import drelu, dtanh, relu, tanh
from fastrnn.reference.products import product_of
from fastrnn.reference.time_loop import (
    Tape,
    bias_gradient,
    initial_state,
    make_time_loop,
    project,
    recurrent_weights,
    start_backward,
    weight_gradient,
)

# Each with its derivative as a function of its output.
_NONLINEARITIES: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "tanh": (tanh, dtanh),
    "relu": (relu, drelu),
}


def _nonlinearity(name: str) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    if name not in _NONLINEARITIES:
        raise ValueError(f'nonlinearity: expected "tanh" or "relu", got {name!r}')
    return _NONLINEARITIES[name]


def elman_step(
    x: npt.NDArray[Any],
    state: State,
    weights: Weights,
    *,
    nonlinearity: str = "tanh",
    precision: str = "float32",
) -> State:
    r"""Compute one step of the vanilla cell.

    .. math:: h_t = \phi(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}), \qquad \phi = \tanh \text{ or ReLU}

    Parameters
    ----------
    x : ndarray [N, D], float32 or float64, or [N], any integer dtype
        Features, or ids in 0 .. D - 1, which stand for one-hot vectors.
    state : tuple of one ndarray [N, H]
        (h,), dtype of the weights.
    weights : tuple
        weight_ih [H, D], weight_hh [H, H], bias_ih [H] or None, bias_hh [H] or None;
        all float32 or all float64.
    nonlinearity : str
        "tanh" or "relu".
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
        If the shapes do not fit, an id is out of range, `nonlinearity` is unknown or `precision` is not for
        these weights.

    References
    ----------
    Elman: Finding structure in time, Cognitive Science 14 (1990) 179-211.
    Goodfellow, Bengio, Courville: Deep Learning, MIT Press 2016, equations 10.8-10.9.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.ones((1, 2)), np.ones((1, 1)), None, None
    >>> (h,) = elman_step(np.array([[0.25, 0.5]]), (np.array([[0.25]]),), weights, nonlinearity="relu")
    >>> h.tolist()
    [[1.0]]
    """
    check_cell(x, weights, 1, ("N",))
    (h,) = initial_state(state, weights, len(x), 1)
    phi, _ = _nonlinearity(nonlinearity)
    weight_ih, _, bias_ih, _ = weights
    weight_hh_t, bias_hh = recurrent_weights(weights, copy=False)
    multiply = product_of(precision, weight_ih.dtype)
    return (phi(project(x, weight_ih, bias_ih, precision) + multiply(h, weight_hh_t.T) + bias_hh),)


def elman_forward(
    x: npt.NDArray[Any],
    weights: Weights,
    state: State | None = None,
    lengths: Integers | None = None,
    reset: Booleans | None = None,
    reverse: bool = False,
    *,
    nonlinearity: str = "tanh",
    precision: str = "float32",
) -> tuple[Floats, State, Tape]:
    r"""Run the vanilla cell over a sequence: `elman_step` for each t, the input product for all t at once.

    Parameters
    ----------
    x : ndarray [T, N, D], float32 or float64, or [T, N], any integer dtype
        Features, or ids in 0 .. D - 1.
    weights : tuple
        weight_ih [H, D], weight_hh [H, H], bias_ih [H] or None, bias_hh [H] or None;
        all float32 or all float64.
    state : tuple of one ndarray [N, H], optional
        (h,) to start from; zeros if not given.
    lengths : ndarray [N], any integer dtype, optional
        Real steps of each row, 0 .. T; steps after them are padding.
    reset : ndarray [T, N], bool, optional
        Where True, the row restarts at that step from its initial state.
    reverse : bool
        Run from each row's last real step to its first.
    nonlinearity : str
        "tanh" or "relu".
    precision : str
        Of the products: "float32", "bfloat16" or "int8"; the last two for float32 weights.

    Returns
    -------
    y : ndarray [T, N, H]
        h after each step, 0 on padding.
    state_n : tuple of one ndarray [N, H]
        (h,) after each row's last step.
    tape : Tape
        What `elman_backward` needs.

    Raises
    ------
    TypeError
        If the dtypes differ or are not float32 or float64.
    ValueError
        If the shapes do not fit, an id or a length is out of range, `nonlinearity` is unknown or `precision`
        is not for these weights.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.ones((1, 1)), np.full((1, 1), 0.5), None, None
    >>> y, (h,), tape = elman_forward(np.ones((3, 1, 1)), weights, nonlinearity="relu")
    >>> y.ravel().tolist(), h.tolist()
    ([1.0, 1.5, 1.75], [[1.75]])
    """
    check_cell(x, weights, 1, ("T", "N"))
    loop = make_time_loop(x.shape[:2], lengths, reset, reverse)
    initial = state_t = initial_state(state, weights, x.shape[1], 1)
    phi, _ = _nonlinearity(nonlinearity)
    weight_ih, _, bias_ih, _ = weights
    weight_hh_t, bias_hh = recurrent_weights(weights, copy=True)
    multiply = product_of(precision, weight_ih.dtype)
    a_x = loop.project(x, weight_ih, bias_ih, precision)
    y = np.empty((*loop.shape, len(weight_hh_t)), a_x.dtype)
    for t in loop.steps:
        (h,) = loop.restart(t, state_t, initial)
        y[t] = h = phi(a_x[t] + multiply(h, weight_hh_t.T) + bias_hh)
        state_t = loop.hold_padding(t, (h,), state_t)
    y = loop.zero_padding(y)
    return y, state_t, Tape(x, y, initial, loop.lengths, reset, reverse)


def elman_backward(
    weights: Weights,
    tape: Tape,
    dy: Floats | None,
    dstate_n: State | None = None,
    *,
    nonlinearity: str = "tanh",
    precision: str = "float32",
) -> tuple[Floats | None, State, Weights]:
    r"""Backpropagate through time for the vanilla cell.

    With :math:`a_t` the argument of :math:`\phi`, going back through time,

    .. math::

        dh_t &\mathrel{+}= dy_t \\
        da_t &= dh_t \odot \phi'(a_t), \qquad \tanh' = 1 - h_t^2, \quad \mathrm{ReLU}' = [h_t > 0] \\
        dh_{t-1} &= W_{hh}^\top da_t

    and then, over all steps at once, :math:`dx_t = W_{ih}^\top da_t`, :math:`dW_{ih} = \sum_t da_t x_t^\top`,
    :math:`dW_{hh} = \sum_t da_t h_{t-1}^\top`, :math:`db_{ih} = db_{hh} = \sum_t da_t`.

    Parameters
    ----------
    weights : tuple
        Those of the forward pass.
    tape : Tape
        From `elman_forward`; not changed.
    dy : ndarray [T, N, H] or None
        Gradient of `y`; None for zeros. Its padding is ignored.
    dstate_n : tuple of one ndarray [N, H], optional
        Gradient of `state_n`; zeros if not given.
    nonlinearity : str
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
        If the shapes do not fit, `nonlinearity` is unknown or `precision` is not for these weights.

    References
    ----------
    Werbos: Backpropagation through time: what it does and how to do it, Proc. IEEE 78 (1990) 1550-1560.
    Goodfellow, Bengio, Courville: Deep Learning, MIT Press 2016, section 10.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.ones((1, 1)), np.full((1, 1), 0.5), None, None
    >>> y, _, tape = elman_forward(np.ones((3, 1, 1)), weights, nonlinearity="relu")
    >>> dx, _, dweights = elman_backward(weights, tape, np.ones_like(y), nonlinearity="relu")
    >>> dx.ravel().tolist(), dweights[1].tolist()
    ([1.75, 1.5, 1.0], [[3.0]])
    """
    check_cell(tape.x, weights, 1, ("T", "N"))
    loop, dy, dstate = start_backward(tape, dy, dstate_n)
    _, dphi = _nonlinearity(nonlinearity)
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    multiply = product_of(precision, weight_hh.dtype, training=True)
    dinitial = tuple(np.zeros_like(s) for s in tape.state)
    derivative = dphi(tape.y)
    da = np.empty_like(tape.y)
    for t in reversed(loop.steps):
        (dh,) = dstate
        da[t] = (dh + dy[t]) * derivative[t]
        dbefore = (multiply(da[t], weight_hh.T),)
        dstate = loop.hold_padding(t, loop.restart_backward(t, dbefore, dinitial), dstate)
    da = loop.zero_padding(da)
    dx, dweight_ih = loop.project_backward(tape.x, weight_ih, da, precision)
    dweight_hh = weight_gradient(da, loop.previous(tape.y, tape.state[0]), multiply)
    dweights = dweight_ih, dweight_hh, bias_gradient(da, bias_ih), bias_gradient(da, bias_hh)
    return dx, (dinitial[0] + dstate[0],), dweights
