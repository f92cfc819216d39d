"""A distribution given by some of its quantiles: any other quantile, and draws from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["quantile_at"]

Floats = NDArray[np.float64]


def quantile_at(quantiles: Floats, levels: Floats, at: Floats) -> Floats:
    """Return quantiles between and beyond given ones; at uniform numbers they are draws.

    Between two levels the quantile is interpolated linearly. Beyond the last ones the tails are exponential,
    as dense where they begin as the distribution between the last two levels (Park et al. 2022, "Learning
    Quantile Functions without Quantile Crossing for Distribution-free Time Series Forecasting").

    Parameters
    ----------
    quantiles : ndarray, float64 [..., Q]
        Ascending; Q >= 2.
    levels : ndarray, float64 [Q]
        Ascending, in (0, 1).
    at : ndarray, float64 [...]
        In (0, 1), one for each row of `quantiles`.

    Examples
    --------
    >>> quantiles, levels = np.array([[-1.0, 0.0, 1.0]] * 3), np.array([0.25, 0.5, 0.75])
    >>> quantile_at(quantiles, levels, np.array([0.5, 0.625, 0.125])).tolist()
    [0.0, 0.5, -2.0]
    """
    right = np.clip(np.searchsorted(levels, at), 1, len(levels) - 1)
    low = np.take_along_axis(quantiles, right[..., None] - 1, axis=-1)[..., 0]
    high = np.take_along_axis(quantiles, right[..., None], axis=-1)[..., 0]
    left_level, right_level = levels[right - 1], levels[right]
    inside = low + (high - low) * (at - left_level) / (right_level - left_level)
    down = (quantiles[..., 1] - quantiles[..., 0]) / np.log(levels[1] / levels[0])
    up = (quantiles[..., -1] - quantiles[..., -2]) / np.log((1 - levels[-2]) / (1 - levels[-1]))
    below = quantiles[..., 0] + down * np.log(np.minimum(at, levels[0]) / levels[0])
    above = quantiles[..., -1] - up * np.log((1 - np.maximum(at, levels[-1])) / (1 - levels[-1]))
    result: Floats = np.where(at < levels[0], below, np.where(at > levels[-1], above, inside))
    return result
