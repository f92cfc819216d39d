"""Softmax and logistic cross-entropy, alone and with the output layer. Losses are in nats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastrnn.reference._arrays import Floats, Integers, check_floats, check_ids, check_shape
from fastrnn.reference.activations import sigmoid
from fastrnn.reference.linear import linear_backward, linear_forward


def softmax_cross_entropy(logits: Floats, targets: Integers) -> tuple[Floats, Floats]:
    r"""Compute the cross-entropy of each row's softmax against its target, and the gradient of the logits.

    .. math::

        p_v = e^{a_v - m} / \sum_u e^{a_u - m},\quad m = \max_u a_u

        L = -\ln p_y, \qquad \partial L / \partial a_v = p_v - [v = y]

    The maximum is subtracted so that no exponential overflows (Goodfellow et al. 2016, section 4.1).

    Parameters
    ----------
    logits : ndarray [M, V], float32 or float64
    targets : ndarray [M], any integer dtype
        In 0 .. V - 1.

    Returns
    -------
    losses : ndarray [M], dtype of `logits`
        In nats; neither summed nor averaged.
    dlogits : ndarray [M, V], dtype of `logits`
        Of the sum of the losses; for their mean, divide by the same number.

    Raises
    ------
    TypeError
        If `logits` are not float32 or float64, or `targets` not integers.
    ValueError
        If the shapes do not fit or a target is outside 0 .. V - 1.

    References
    ----------
    Goodfellow, Bengio, Courville: Deep Learning, MIT Press 2016, equations 6.29-6.33.

    Examples
    --------
    >>> import numpy as np
    >>> losses, dlogits = softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> print(f"{losses[0]:.6f}", dlogits.tolist())
    1.386294 [[0.25, 0.25, -0.75, 0.25]]
    """
    check_floats("logits", logits, ("M", "V"))
    check_shape("targets", targets, (len(logits),))
    check_ids("targets", targets, logits.shape[1])
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    dlogits = np.exp(shifted)
    total = dlogits.sum(axis=1, keepdims=True)
    losses: Floats = np.log(total[:, 0]) - shifted[rows, targets]
    dlogits /= total
    dlogits[rows, targets] -= 1
    return losses, dlogits


class LinearCrossEntropy(NamedTuple):
    """What `linear_cross_entropy` returns: losses [M], dh [M, K], dweight [V, K] and dbias [V]."""

    losses: Floats
    dh: Floats
    dweight: Floats
    dbias: Floats


def linear_cross_entropy(
    h: Floats,
    weight: Floats,
    bias: Floats | None,
    targets: Integers,
    scale: float = 1.0,
    *,
    precision: str = "float32",
) -> LinearCrossEntropy:
    r"""Compute output layer, softmax and cross-entropy in one: :math:`L = -\ln \mathrm{softmax}(W h + b)_y`.

    Parameters
    ----------
    h : ndarray [M, K], float32 or float64
    weight : ndarray [V, K], dtype of `h`
    bias : ndarray [V], dtype of `h`, or None
    targets : ndarray [M], any integer dtype
        In 0 .. V - 1, or -1 for a row that is not counted (padding): its loss and its gradients are 0.
    scale : float
        Factor of the gradients, but not of the losses: 1 / (rows counted) for the mean loss.
    precision : str
        Of the three products: "float32" or "bfloat16". Softmax, losses and dbias are in the dtype of `h`.

    Returns
    -------
    LinearCrossEntropy
        Named tuple of losses [M] in nats, dh [M, K], dweight [V, K] and dbias [V], dtype of `h`.

    Raises
    ------
    TypeError
        If the floats differ in dtype or are not float32 or float64, or `targets` are not integers.
    ValueError
        If the shapes do not fit or a target is outside -1 .. V - 1.

    Examples
    --------
    >>> import numpy as np
    >>> h, weight = np.ones((2, 3)), np.zeros((4, 3))
    >>> result = linear_cross_entropy(h, weight, None, np.array([1, -1]))
    >>> print(result.losses.round(6).tolist(), result.dbias.tolist())
    [1.386294, 0.0] [0.25, -0.75, 0.25, 0.25]
    """
    check_floats("h", h, ("M", "K"))
    check_shape("targets", targets, (len(h),))
    counted = targets != -1
    losses, dh = np.zeros(len(h), h.dtype), np.zeros_like(h)
    logits = linear_forward(h[counted], weight, bias, precision=precision)
    losses[counted], dlogits = softmax_cross_entropy(logits, targets[counted])
    dlogits *= scale
    dh[counted], dweight, dbias = linear_backward(h[counted], weight, dlogits, precision=precision)
    return LinearCrossEntropy(losses, dh, dweight, dbias)


def binary_cross_entropy(
    logits: Floats, targets: Floats, pos_weight: Floats | float = 1.0, smoothing: float = 0.0
) -> tuple[Floats, Floats]:
    r"""Compute the logistic loss of each logit, and the gradient of the logits.

    .. math::

        L = w y \, s(-a) + (1 - y) \, s(a),\quad s(a) = \ln (1 + e^a) = \max(a, 0) + \ln (1 + e^{-|a|})

        \partial L / \partial a = (1 - y) \sigma(a) - w y \, \sigma(-a)

    Parameters
    ----------
    logits : ndarray [..., K], float32 or float64
    targets : ndarray [..., K], dtype of `logits`
        y, in 0 .. 1; or -1 where nothing is counted: loss and gradient are 0.
    pos_weight : ndarray [K] or float
        w, the weight of positive targets.
    smoothing : float
        e: y becomes (1 - e) y + e / 2.

    Returns
    -------
    losses : ndarray [..., K], dtype of `logits`
        In nats; neither summed nor averaged.
    dlogits : ndarray [..., K], dtype of `logits`
        Of the sum of the losses.

    Raises
    ------
    TypeError
        If `logits` are not float32 or float64.
    ValueError
        If the shapes do not fit.

    References
    ----------
    Goodfellow, Bengio, Courville: Deep Learning, MIT Press 2016, section 6.2.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> losses, dlogits = binary_cross_entropy(np.zeros((1, 2)), np.array([[1.0, 0.0]]), pos_weight=3.0)
    >>> print(losses.round(6).tolist(), dlogits.tolist())
    [[2.079442, 0.693147]] [[-1.5, 0.5]]
    """
    check_floats("logits", logits, ["K"] * logits.ndim)
    check_shape("targets", targets, logits.shape)
    y = (1 - smoothing) * targets + smoothing / 2
    yes, no = pos_weight * y, 1 - y
    counted = targets != -1
    losses = np.where(counted, yes * np.logaddexp(0, -logits) + no * np.logaddexp(0, logits), 0)
    dlogits = np.where(counted, no * sigmoid(logits) - yes * sigmoid(-logits), 0)
    return losses.astype(logits.dtype), dlogits.astype(logits.dtype)
