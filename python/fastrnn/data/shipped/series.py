"""The data sets cycles and sines: a series like yearly sunspot numbers, and noisy sines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.data.shipped.subsets import is_training

__all__ = ["load_cycles", "load_sines"]


def load_cycles(subset: str = "train") -> NDArray[np.float64]:
    """Return a series like yearly sunspot numbers, for a `Forecaster`: cycles of 9 to 13 years.

    Each cycle rises in four years and falls in the rest; its height differs from that of the one before, and
    the noise grows with the level. It is no record of the sun.

    "valid" goes on where "train" ends. There, forecasts one year ahead that repeat the last value have R2
    0.65; ``Forecaster(window=22, epochs=100)`` has 0.97 with seed 0. These settings, those of the command in
    `DATA_SETS`, were chosen while looking at "valid", so 0.97 flatters them.

    Generated from a fixed seed; as fastrnn itself, under its licence.

    Parameters
    ----------
    subset : {"train", "valid"}, default "train"
        The first 400 years, or the 100 after them.

    Returns
    -------
    series : ndarray, float64 [400] or [100]

    Raises
    ------
    ValueError, TypeError
        If there is no such subset.

    Examples
    --------
    >>> import fastrnn as fr
    >>> series = fr.data.load_cycles()
    >>> series.shape, series[:6].tolist()
    ((400,), [1.0, 14.0, 45.0, 81.8, 100.2, 95.6])
    """
    random = np.random.default_rng(0)
    parts: list[NDArray[np.float64]] = []
    height = 100.0
    while sum(map(len, parts)) < 500:
        years = int(random.integers(9, 14))
        height = 0.5 * height + random.uniform(25, 95)
        time = np.arange(years)
        falling = np.cos(np.pi / 2 * (time - 4) / (years - 4))
        level = np.where(time < 4, np.sin(np.pi / 2 * time / 4), falling) ** 2
        parts.append(height * level + random.normal(0, 1.5, years) * np.sqrt(1 + height * level / 10))
    series = np.maximum(np.concatenate(parts), 0).round(1)
    return series[:400] if is_training(subset) else series[400:500]


def load_sines(subset: str = "train") -> tuple[list[NDArray[Any]], NDArray[np.float64]]:
    """Return noisy sines and the period of each, for a `SequenceRegressor`: 20 to 60 steps of one number.

    Periods are uniform in 6 to 24 steps, phases uniform, amplitudes uniform in 0.5 to 2; the noise has the
    standard deviation 0.2.

    On "valid", the mean as a guess has R2 0; ``SequenceRegressor(hidden_size=64, epochs=30)`` has more than
    0.99 with seed 0.

    Generated from a fixed seed; as fastrnn itself, under its licence.

    Parameters
    ----------
    subset : {"train", "valid"}, default "train"
        The 1,000 series to train on, or the 200 to measure on.

    Returns
    -------
    series : list of ndarray, float64 [T]
    periods : ndarray, float64 [1000] or [200]
        In steps.

    Raises
    ------
    ValueError, TypeError
        If there is no such subset.

    Examples
    --------
    >>> import fastrnn as fr
    >>> X, y = fr.data.load_sines()
    >>> len(X), X[0].shape, float(y[0])
    (1000, (39,), 17.47)
    """
    random = np.random.default_rng(0)
    periods = random.uniform(6, 24, 1200).round(2)
    series = []
    for period in periods:
        time = np.arange(int(random.integers(20, 61)))
        clean = random.uniform(0.5, 2) * np.sin(2 * np.pi * (time / period + random.random()))
        series.append((clean + random.normal(0, 0.2, len(time))).round(3))
    part = slice(1000) if is_training(subset) else slice(1000, None)
    return series[part], periods[part]
