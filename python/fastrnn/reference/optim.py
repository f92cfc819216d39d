"""Optimiser steps with PyTorch's formulas. Each updates the parameters and its moments in place.

The moments start as zeros of the parameters' shape and dtype and belong to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn.reference._arrays import Floats, Integers


def sgd_step(
    p: Floats,
    g: Floats,
    m: Floats | None,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    r"""Take one step of stochastic gradient descent, with momentum or Nesterov momentum.

    .. math::

        g &\leftarrow g + \lambda p \\
        m &\leftarrow \mu m + g \\
        p &\leftarrow p - \eta \, m \qquad \text{or, with Nesterov momentum,} \quad p - \eta \, (g + \mu m)

    Parameters
    ----------
    p : ndarray, float32 or float64, any shape
        Parameters, changed in place.
    g : ndarray, shape and dtype of `p`
        Gradient, not changed.
    m : ndarray, shape and dtype of `p`, or None
        Momentum, changed in place; None only if `momentum` is 0.
    learning_rate : float
        :math:`\eta`.
    momentum : float
        :math:`\mu`.
    weight_decay : float
        :math:`\lambda`.
    nesterov : bool

    Raises
    ------
    ValueError
        If there is momentum but no `m`, or `nesterov` without momentum.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning,
    ICML 2013; here the learning rate is outside the momentum, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> p, m = np.array([1.0]), np.array([4.0])
    >>> sgd_step(p, np.array([2.0]), m, learning_rate=0.125, momentum=0.5)
    >>> p.tolist(), m.tolist()
    ([0.5], [4.0])
    """
    if nesterov and momentum == 0:
        raise ValueError("nesterov: needs momentum > 0")
    g = g + weight_decay * p
    if momentum != 0:
        if m is None:
            raise ValueError("m: expected an array, as momentum is not 0, got None")
        m *= momentum
        m += g
        g = g + momentum * m if nesterov else m
    p -= learning_rate * g


def rmsprop_step(
    p: Floats,
    g: Floats,
    v: Floats,
    learning_rate: float,
    alpha: float = 0.99,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    r"""Take one step of RMSprop (not centred, without momentum).

    .. math::

        g &\leftarrow g + \lambda p \\
        v &\leftarrow \alpha v + (1 - \alpha) g^2 \\
        p &\leftarrow p - \eta \, g / (\sqrt{v} + \epsilon)

    Parameters
    ----------
    p : ndarray, float32 or float64, any shape
        Parameters, changed in place.
    g : ndarray, shape and dtype of `p`
        Gradient, not changed.
    v : ndarray, shape and dtype of `p`
        Running mean of the squared gradient, changed in place.
    learning_rate : float
        :math:`\eta`.
    alpha : float
        Smoothing of `v`.
    epsilon : float
        :math:`\epsilon`, outside the root.
    weight_decay : float
        :math:`\lambda`.

    References
    ----------
    Tieleman, Hinton: Lecture 6.5, Neural Networks for Machine Learning, Coursera 2012.

    Examples
    --------
    >>> import numpy as np
    >>> p, v = np.array([1.0]), np.array([4.0])
    >>> rmsprop_step(p, np.array([2.0]), v, learning_rate=0.5, alpha=0.75, epsilon=0.0)
    >>> p.tolist(), v.tolist()
    ([0.5], [4.0])
    """
    g = g + weight_decay * p
    v *= alpha
    v += (1 - alpha) * g * g
    p -= learning_rate * g / (np.sqrt(v) + epsilon)


def adam_step(
    p: Floats,
    g: Floats,
    m: Floats,
    v: Floats,
    step: int,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    r"""Take one step of Adam, or of AdamW if the weight decay is `decoupled`.

    .. math::

        g &\leftarrow g + \lambda p && \text{Adam} \\
        p &\leftarrow p - \eta \lambda p && \text{AdamW} \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        p &\leftarrow p - \frac{\eta}{1 - \beta_1^t} \, m
            \Big/ \left( \sqrt{v} / \sqrt{1 - \beta_2^t} + \epsilon \right)

    Parameters
    ----------
    p : ndarray, float32 or float64, any shape
        Parameters, changed in place.
    g : ndarray, shape and dtype of `p`
        Gradient, not changed.
    m, v : ndarray, shape and dtype of `p`
        Running means of the gradient and of its square, changed in place.
    step : int
        t, from 1.
    learning_rate : float
        :math:`\eta`.
    beta1, beta2 : float
        Smoothing of `m` and of `v`.
    epsilon : float
        :math:`\epsilon`, outside the root and after the bias correction of `v`.
    weight_decay : float
        :math:`\lambda`.
    decoupled : bool
        Use AdamW.

    Raises
    ------
    ValueError
        If `step` is not positive.

    References
    ----------
    Kingma, Ba: Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.
    Loshchilov, Hutter: Decoupled weight decay regularization, ICLR 2019, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam_step(p, np.array([123.0]), m, v, step=1, learning_rate=0.25)
    >>> p.round(6).tolist()
    [0.75]
    """
    if step < 1:
        raise ValueError(f"step: expected a positive number, got {step}")
    if decoupled:
        p *= 1 - learning_rate * weight_decay
    else:
        g = g + weight_decay * p
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    denominator = np.sqrt(v) / math.sqrt(1 - beta2**step) + epsilon
    p -= learning_rate / (1 - beta1**step) * m / denominator


def adamw_step(
    p: Floats,
    g: Floats,
    m: Floats,
    v: Floats,
    step: int,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    r"""Take one step of AdamW: `adam_step` with decoupled weight decay, and PyTorch's default for it.

    Parameters
    ----------
    p, g, m, v, step, learning_rate, beta1, beta2, epsilon, weight_decay
        As in `adam_step`.

    Raises
    ------
    ValueError
        If `step` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adamw_step(p, np.array([0.0]), m, v, step=1, learning_rate=0.5, weight_decay=0.5)
    >>> p.tolist()
    [0.75]
    """
    adam_step(p, g, m, v, step, learning_rate, beta1, beta2, epsilon, weight_decay, decoupled=True)


def rows_step(
    take_step: Callable[..., None], rows: Integers, p: Floats, *arrays: Floats | None, **settings: Any
) -> None:
    """Take one step of any optimiser for some rows of a matrix: all other rows and their moments stand still.

    With `adam_step` and the steps of the whole run that is PyTorch's ``SparseAdam``, except that its epsilon
    is added before `v` is corrected.

    Parameters
    ----------
    take_step : callable
        `sgd_step`, `rmsprop_step` or `adam_step`.
    rows : ndarray [n], int
        Without duplicates.
    p : ndarray [V, E]
        Changed in place.
    *arrays : ndarray [V, E] or None
        The gradient, and the moments, which are changed in place.
    **settings
        All other arguments of `take_step`.

    Examples
    --------
    >>> import numpy as np
    >>> p, m = np.zeros((3, 1)), np.ones((3, 1))
    >>> rows_step(sgd_step, np.array([2]), p, np.ones((3, 1)), m, learning_rate=1.0, momentum=0.5)
    >>> p[:, 0].tolist(), m[:, 0].tolist()
    ([0.0, 0.0, -1.5], [1.0, 1.0, 1.5])
    """
    whole = (p, *arrays)
    parts = [None if array is None else array[rows] for array in whole]
    take_step(*parts, **settings)
    for array, part in zip(whole, parts, strict=True):
        if array is not None and part is not None:
            array[rows] = part
