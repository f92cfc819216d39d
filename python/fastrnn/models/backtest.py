"""Forecasts of the past, beside what came: their intervals and how much these cover."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backtest", "interval_coverage"]

Floats = NDArray[np.float64]


class Backtest(NamedTuple):
    """Forecasts from every origin of a stretch of a series, beside what came.

    Attributes
    ----------
    origins : ndarray, int64 [O]
        The first step of each forecast.
    truth : ndarray, float64 [O, S] or [O, S, D]
    quantiles : dict of float to ndarray of the same shape
    """

    origins: NDArray[np.int64]
    truth: Floats
    quantiles: dict[float, Floats]


def interval_coverage(truth: Any, low: Any, high: Any) -> float:
    """Return the fraction of values that lie in their interval, its ends included.

    Examples
    --------
    >>> interval_coverage([1, 2, 3, 4], low=[0, 0, 0, 0], high=[3, 3, 3, 3])
    0.75
    """
    values = np.asarray(truth, np.float64)
    return float(((values >= np.asarray(low)) & (values <= np.asarray(high))).mean())
