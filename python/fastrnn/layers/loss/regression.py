"""Losses of real numbers: squared and absolute error, Huber's and the quantile loss, with gradients."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np

from fastrnn._arrays import FLOAT_DTYPES, Array, as_array, as_floats, check_shape, contiguous
from fastrnn._checks import as_number
from fastrnn._dispatch import kernels
from fastrnn.layers.loss.counted import counted_elements
from fastrnn.layers.loss.reduction import gradient_scale, reduce_losses

__all__ = ["huber", "mean_absolute_error", "mean_squared_error", "quantile_loss"]


@overload
def mean_squared_error(
    predictions: Any, targets: Any, *, mask: Any = None, lengths: Any = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[float, Array]: ...  # fmt: skip


@overload
def mean_squared_error(
    predictions: Any, targets: Any, *, mask: Any = None, lengths: Any = None,
    reduction: Literal["none"],
) -> tuple[Array, Array]: ...  # fmt: skip


def mean_squared_error(
    predictions: Any, targets: Any, *, mask: Any = None, lengths: Any = None, reduction: str = "mean"
) -> tuple[float | Array, Array]:
    """Return the mean of ``(prediction - target)**2`` and its gradient, as ``torch.nn.functional.mse_loss``.

    Parameters
    ----------
    predictions : array_like, float [...]
        float32 or float64; of a sequence [T, N, D] or [T, N].
    targets : array_like, int or float [...]
        Of the same shape; finite where they count.
    mask : array_like, bool, optional
        False where there is no target: of the shape of `predictions`, or of its first axes, such as [T, N].
    lengths : array_like, int [N], optional
        Steps of each sequence of [T, N, ...]; after them there is no target.
    reduction : {"mean", "sum", "none"}
        "none": the loss of each element.

    Returns
    -------
    loss : float
        Mean over the elements that count, in the square of the unit of the targets. With "none":
        ndarray, float [...].
    dpredictions : ndarray, float [...]
        Gradient of that loss, with "none" of the sum; zero where there is no target, whatever the prediction.

    Raises
    ------
    ValueError
        If a shape does not fit, a length is out of range, a target is not finite, or there is no target to
        take the mean of.
    TypeError
        If the predictions are neither float32 nor float64, or another argument is of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import mean_squared_error
    >>> predictions = np.array([[1.0, 5.0], [3.0, 5.0]])  # two steps of two sequences
    >>> loss, dpredictions = mean_squared_error(predictions, [[0, 3], [3, 0]], lengths=[2, 1])
    >>> round(loss, 6), dpredictions.round(3).tolist()
    (1.666667, [[0.667, 1.333], [0.0, 0.0]])
    """
    array = _predictions(predictions)
    return _reduced(array, _targets(targets, array), ("squared", None), mask, lengths, reduction)


@overload
def mean_absolute_error(
    predictions: Any, targets: Any, *, mask: Any = None, lengths: Any = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[float, Array]: ...  # fmt: skip


@overload
def mean_absolute_error(
    predictions: Any, targets: Any, *, mask: Any = None, lengths: Any = None,
    reduction: Literal["none"],
) -> tuple[Array, Array]: ...  # fmt: skip


def mean_absolute_error(
    predictions: Any, targets: Any, *, mask: Any = None, lengths: Any = None, reduction: str = "mean"
) -> tuple[float | Array, Array]:
    """Return the mean of ``|prediction - target|`` and its gradient, as ``torch.nn.functional.l1_loss``.

    Parameters
    ----------
    predictions, targets, mask, lengths, reduction
        As for `mean_squared_error`.

    Returns
    -------
    loss : float
        Mean over the elements that count, in the unit of the targets. With "none": ndarray, float [...].
    dpredictions : ndarray, float [...]
        Gradient of that loss, with "none" of the sum; zero where there is no target, and where a prediction
        equals its target.

    Raises
    ------
    ValueError, TypeError
        As `mean_squared_error`.

    Examples
    --------
    >>> from fastrnn.layers import mean_absolute_error
    >>> loss, dpredictions = mean_absolute_error([0.5, 3.0, 2.0, 1.0], [0, 4, 2, 1])
    >>> loss, dpredictions.tolist()
    (0.375, [0.25, -0.25, 0.0, 0.0])
    """
    array = _predictions(predictions)
    return _reduced(array, _targets(targets, array), ("absolute", None), mask, lengths, reduction)


@overload
def huber(
    predictions: Any, targets: Any, *, delta: float = 1.0, mask: Any = None, lengths: Any = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[float, Array]: ...  # fmt: skip


@overload
def huber(
    predictions: Any, targets: Any, *, delta: float = 1.0, mask: Any = None, lengths: Any = None,
    reduction: Literal["none"],
) -> tuple[Array, Array]: ...  # fmt: skip


def huber(
    predictions: Any,
    targets: Any,
    *,
    delta: float = 1.0,
    mask: Any = None,
    lengths: Any = None,
    reduction: str = "mean",
) -> tuple[float | Array, Array]:
    """Return the mean of Huber's loss and its gradient, as ``torch.nn.functional.huber_loss``.

    With r the prediction less the target, the loss is ``r**2 / 2`` where ``|r| <= delta`` and
    ``delta * (|r| - delta / 2)`` elsewhere: outliers count by their distance, not by its square.

    Parameters
    ----------
    predictions, targets, mask, lengths, reduction
        As for `mean_squared_error`.
    delta : float, default 1.0
        Greater than 0.

    Returns
    -------
    loss : float
        Mean over the elements that count. With "none": ndarray, float [...].
    dpredictions : ndarray, float [...]
        Gradient of that loss, with "none" of the sum; zero where there is no target.

    Raises
    ------
    ValueError, TypeError
        As `mean_squared_error`; ValueError if delta is not greater than 0.

    References
    ----------
    Huber (1964), "Robust Estimation of a Location Parameter".

    Examples
    --------
    >>> from fastrnn.layers import huber
    >>> loss, dpredictions = huber([0.5, 3.0], [0, 0])
    >>> loss, dpredictions.tolist()
    (1.3125, [0.25, 0.5])
    """
    bound = as_number("delta", delta, above=0.0)
    array = _predictions(predictions)
    kind = ("huber", np.array([bound], array.dtype))
    return _reduced(array, _targets(targets, array), kind, mask, lengths, reduction)


@overload
def quantile_loss(
    predictions: Any, targets: Any, quantiles: Any, *, mask: Any = None, lengths: Any = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[float, Array]: ...  # fmt: skip


@overload
def quantile_loss(
    predictions: Any, targets: Any, quantiles: Any, *, mask: Any = None, lengths: Any = None,
    reduction: Literal["none"],
) -> tuple[Array, Array]: ...  # fmt: skip


def quantile_loss(
    predictions: Any,
    targets: Any,
    quantiles: Any,
    *,
    mask: Any = None,
    lengths: Any = None,
    reduction: str = "mean",
) -> tuple[float | Array, Array]:
    """Return the mean quantile (pinball) loss of predicted quantiles and its gradient.

    The loss of a prediction x of the quantile tau is ``max(tau * (y - x), (tau - 1) * (y - x))``; its
    expected value is least where a fraction tau of the targets y lies below x.

    Parameters
    ----------
    predictions : array_like, float [..., Q]
        float32 or float64; of a sequence [T, N, Q].
    targets : array_like, int or float [...]
        One for the Q predictions; finite where they count.
    quantiles : array_like, float [Q]
        Each tau, greater than 0 and less than 1.
    mask : array_like, bool, optional
        False where there is no target: of the shape of `targets`, or of its first axes.
    lengths : array_like, int [N], optional
        Steps of each sequence of [T, N, ...]; after them there is no target.
    reduction : {"mean", "sum", "none"}
        "none": the loss of each element.

    Returns
    -------
    loss : float
        Mean over the targets that count and over the quantiles, in the unit of the targets. With
        "none": ndarray, float [..., Q].
    dpredictions : ndarray, float [..., Q]
        Gradient of that loss, with "none" of the sum; zero where there is no target, and where a prediction
        equals it.

    Raises
    ------
    ValueError
        If a shape does not fit, a quantile or length is out of range, a target is not finite, or there is no
        target to take the mean of.
    TypeError
        If the predictions are neither float32 nor float64, or another argument is of the wrong kind.

    References
    ----------
    Koenker, Bassett (1978), "Regression Quantiles".

    Examples
    --------
    >>> from fastrnn.layers import quantile_loss
    >>> loss, dpredictions = quantile_loss([[1.0, 2.5], [4.0, 6.0]], [2, 5], [0.1, 0.9])
    >>> round(loss, 6), dpredictions.round(6).tolist()
    (0.0875, [[-0.025, 0.025], [-0.025, 0.025]])
    """
    array = _predictions(predictions, ("...", "Q"))
    taus = _quantiles(quantiles, array.shape[-1], array.dtype)
    wanted = _targets(targets, array[..., 0] if array.shape[-1] else array.sum(-1))
    return _reduced(array, wanted, ("quantile", taus), mask, lengths, reduction)


def _predictions(predictions: Any, pattern: tuple[str, ...] = ("...",)) -> Array:
    array = as_array("predictions", predictions, np.dtype(np.float64))
    if array.dtype not in FLOAT_DTYPES:
        hint = "; write predictions.astype(np.float32)" if array.dtype.kind in "fiuV" else ""
        raise TypeError(f"predictions: expected float32 or float64, got {array.dtype}{hint}")
    return as_floats("predictions", array, array.dtype, pattern)


def _targets(targets: Any, like: Array) -> Array:
    """Return targets in the dtype and shape of `like`; the kernel checks that they are finite."""
    array = as_array("targets", targets, like.dtype)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"targets: expected integers or floats, got {array.dtype}")
    check_shape("targets", array, like.shape)
    return contiguous("targets", array.astype(like.dtype, copy=False))


def _quantiles(quantiles: Any, width: int, dtype: np.dtype[Any]) -> Array:
    array = as_array("quantiles", quantiles, dtype)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"quantiles: expected floats, got {array.dtype}")
    check_shape("quantiles", array, (width,))
    if width == 0:
        raise ValueError("quantiles: expected at least one, got none")
    wrong = ~((array > 0) & (array < 1))
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(
            f"quantiles: expected numbers between 0 and 1, neither included, got {array[place]} "
            f"at position {place}"
        )
    return np.ascontiguousarray(array, dtype)


def _reduced(
    predictions: Array,
    targets: Array,
    kind: tuple[str, Array | None],
    mask: Any,
    lengths: Any,
    reduction: str,
) -> tuple[float | Array, Array]:
    """Return the loss of the elements that count, and its gradient; `kind` with its delta or taus."""
    counted = counted_elements("targets", targets.shape, mask, lengths)
    if counted is not None:
        counted = np.ascontiguousarray(np.broadcast_to(counted, targets.shape)).reshape(-1)
    width = math.prod(predictions.shape[targets.ndim :])
    count = width * (targets.size if counted is None else int(np.count_nonzero(counted)))
    losses, d = kernels.regression_loss(
        predictions.reshape(targets.size, width),
        targets.reshape(-1),
        counted,
        *kind,
        gradient_scale(reduction, count),
    )
    return reduce_losses(losses, reduction, count, predictions.shape), d.reshape(predictions.shape)
