"""Losses of real numbers: squared and absolute error, Huber's and the quantile loss, and their gradients."""

from __future__ import annotations

import numpy as np

from fastrnn.reference._arrays import Floats, check_floats, check_shape


def squared_error(predictions: Floats, targets: Floats) -> tuple[Floats, Floats]:
    r"""Compute :math:`L = (x - y)^2` of each prediction x, and its gradient.

    Parameters
    ----------
    predictions, targets : ndarray [...], float32 or float64

    Returns
    -------
    losses, dpredictions : ndarray [...]
        Neither summed nor averaged.

    Examples
    --------
    >>> import numpy as np
    >>> [array.tolist() for array in squared_error(np.array([3.0]), np.array([1.0]))]
    [[4.0], [4.0]]
    """
    residual = _residual(predictions, targets)
    return residual**2, 2 * residual


def absolute_error(predictions: Floats, targets: Floats) -> tuple[Floats, Floats]:
    r"""Compute :math:`L = |x - y|` of each prediction x, and its gradient: 0 where :math:`x = y`.

    Parameters
    ----------
    predictions, targets : ndarray [...], float32 or float64

    Returns
    -------
    losses, dpredictions : ndarray [...]
        Neither summed nor averaged.

    Examples
    --------
    >>> import numpy as np
    >>> [array.tolist() for array in absolute_error(np.array([1.0, 2.0]), np.array([4.0, 2.0]))]
    [[3.0, 0.0], [-1.0, 0.0]]
    """
    residual = _residual(predictions, targets)
    return abs(residual), np.sign(residual)


def huber(predictions: Floats, targets: Floats, delta: float = 1.0) -> tuple[Floats, Floats]:
    r"""Compute Huber's loss of each prediction, and its gradient.

    .. math::

        L = r^2 / 2 \text{ where } |r| = |x - y| \le \delta,\quad \delta (|r| - \delta / 2) \text{ elsewhere}

    Parameters
    ----------
    predictions, targets : ndarray [...], float32 or float64
    delta : float

    Returns
    -------
    losses, dpredictions : ndarray [...]
        Neither summed nor averaged.

    References
    ----------
    Huber (1964), "Robust Estimation of a Location Parameter".

    Examples
    --------
    >>> import numpy as np
    >>> [array.tolist() for array in huber(np.array([3.0, 1.5]), np.array([1.0, 1.0]))]
    [[1.5, 0.125], [1.0, 0.5]]
    """
    residual = _residual(predictions, targets)
    far = np.abs(residual) > delta
    losses = np.where(far, delta * (np.abs(residual) - delta / 2), residual**2 / 2)
    return losses.astype(predictions.dtype), np.clip(residual, -delta, delta)


def quantile_loss(predictions: Floats, targets: Floats, quantiles: Floats) -> tuple[Floats, Floats]:
    r"""Compute the quantile (pinball) loss of each prediction of each quantile, and its gradient.

    .. math::

        L = \max(\tau (y - x), (\tau - 1) (y - x))

    Parameters
    ----------
    predictions : ndarray [..., Q], float32 or float64
    targets : ndarray [...]
    quantiles : ndarray [Q]
        Each tau.

    Returns
    -------
    losses, dpredictions : ndarray [..., Q]
        Neither summed nor averaged; the gradient where x = y is 0.

    References
    ----------
    Koenker, Bassett (1978), "Regression Quantiles".

    Examples
    --------
    >>> import numpy as np
    >>> losses, slopes = quantile_loss(np.array([[1.0, 3.0]]), np.array([2.0]), np.array([0.25, 0.75]))
    >>> losses.tolist(), slopes.tolist()
    ([[0.25, 0.25]], [[-0.25, 0.25]])
    """
    check_floats("predictions", predictions, (*predictions.shape[:-1], len(quantiles)))
    check_shape("targets", targets, predictions.shape[:-1])
    residual = predictions - targets[..., None]
    slopes = np.where(residual > 0, 1 - quantiles, np.where(residual < 0, -quantiles, 0))
    return (residual * slopes).astype(predictions.dtype), slopes.astype(predictions.dtype)


def _residual(predictions: Floats, targets: Floats) -> Floats:
    check_floats("predictions", predictions, predictions.shape)
    check_shape("targets", targets, predictions.shape)
    residual: Floats = predictions - targets
    return residual
