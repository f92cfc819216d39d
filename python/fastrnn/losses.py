"""Losses: each returns the mean over real elements and its gradient, in one native call.

Examples
--------
>>> import fastrnn as fr
>>> loss, dpredictions = fr.losses.mean_squared_error([1.0, 4.0], [0.0, 4.0])
>>> loss, dpredictions.tolist()
(0.5, [1.0, 0.0])
"""

from fastrnn.layers import (
    binary_cross_entropy,
    huber,
    mean_squared_error,
    softmax_cross_entropy,
)
from fastrnn.layers import ctc_loss as ctc
from fastrnn.layers import quantile_loss as quantile

__all__ = ["binary_cross_entropy", "ctc", "huber", "mean_squared_error", "quantile", "softmax_cross_entropy"]


def __dir__() -> list[str]:
    return sorted(__all__)
