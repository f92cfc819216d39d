"""Penalties on outputs of recurrent layers: activation and temporal activation regularization."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import FLOAT_DTYPES, Array, as_array, as_floats, as_lengths
from fastrnn._checks import as_number

__all__ = ["activity_penalties"]


def activity_penalties(
    y: Any, lengths: Any = None, *, ar: float = 0.0, tar: float = 0.0
) -> tuple[float, Array]:
    """Return the penalty on large outputs and on changes between steps, and its gradient.

    ::

        loss = ar  * mean of y[t]^2                 over all real steps t
             + tar * mean of (y[t] - y[t-1])^2      over all real steps t from the second on

    The paper applies AR to the outputs after dropout and TAR to those before it, which takes one call each.
    The change from one chunk of a text to the next is not counted.

    Parameters
    ----------
    y : array_like, float [T, N, H]
        Outputs of a recurrent layer, float32 or float64, time-major.
    lengths : array_like, int [N], optional
        Steps of each row, in ``0 .. T``; later steps are ignored.
    ar, tar : float, default 0.0
        The paper's alpha and beta, both 0 or more.

    Returns
    -------
    loss : float
    dy : ndarray, float [T, N, H]
        Gradient of the loss; zero after a row's end.

    Raises
    ------
    ValueError
        If an array has a wrong shape, a length is not in 0 .. T, or `ar` or `tar` is less than 0.
    TypeError
        If y is neither float32 nor float64, the lengths are not integers, or `ar` or `tar` is not a number.

    References
    ----------
    Merity, McCann, Socher (2017), "Revisiting Activation Regularization for Language RNNs", sections 3.1 and
    3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> y = np.array([1.0, 3.0, 2.0, 99.0]).reshape(4, 1, 1)  # three steps, and padding
    >>> loss, dy = fr.activity_penalties(y, [3], ar=3.0, tar=2.0)
    >>> loss  # 3 * (1 + 9 + 4) / 3 + 2 * (4 + 1) / 2
    19.0
    >>> dy.ravel().tolist()
    [-2.0, 12.0, 2.0, 0.0]
    """
    y = as_array("y", y, np.dtype(np.float64))
    if y.dtype not in FLOAT_DTYPES:
        raise TypeError(f"y: expected float32 or float64, got {y.dtype}")
    y = as_floats("y", y, y.dtype, ("T", "N", "H"))
    if y.size == 0:
        raise ValueError(f"y: expected at least one step, sequence and unit, got {list(y.shape)}")
    ar, tar = as_number("ar", ar, least=0.0), as_number("tar", tar, least=0.0)
    steps, rows, width = y.shape
    lengths = as_lengths(lengths, steps, rows)
    ends = np.full(rows, steps) if lengths is None else lengths
    real = (np.arange(steps)[:, None] < ends)[:, :, None]
    y = y if lengths is None else np.where(real, y, y.dtype.type(0))

    outputs = int(ends.sum()) * width
    changes = int(np.maximum(ends - 1, 0).sum()) * width
    if outputs == 0:
        raise ValueError("lengths: expected at least one step, got none")
    loss = ar * _sum_of_squares(y) / outputs
    dy: Array = y * (2.0 * ar / outputs)
    if tar > 0.0 and changes > 0:
        change = (y[1:] - y[:-1]) * real[1:]
        loss += tar * _sum_of_squares(change) / changes
        dchange = change * (2.0 * tar / changes)
        dy[1:] += dchange
        dy[:-1] -= dchange
    return loss, dy


def _sum_of_squares(array: Array) -> float:
    return float(np.square(array).sum(dtype=np.float64))
