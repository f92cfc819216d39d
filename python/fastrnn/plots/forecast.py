"""A forecast: the past, the quantiles of what is to come, and what came."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn._foreign import of_others
from fastrnn.plots.figure import new_figure, save_figure

__all__ = ["plot_forecast"]


def plot_forecast(
    history: Any,
    quantiles: Mapping[float, Any],
    truth: Any = None,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw a series and the quantiles of its forecast.

    Parameters
    ----------
    history : float array [T]
    quantiles : mapping of float to float array [S]
        For each level in (0, 1) its values in the S steps after the history. Levels q and 1 - q are drawn as
        a band, level 0.5 as a line.
    truth : float array [S], optional
        What came.
    path : path, optional
        A file to write: .png, .svg or .pdf.

    Returns
    -------
    figure : matplotlib.figure.Figure
        ``figure.axes[0].set_ylabel`` names what is measured, and its unit.

    Raises
    ------
    ValueError
        If shapes differ, a level is not in (0, 1), or there are none.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastrnn.plots import plot_forecast
    >>> levels = {0.1: [3.5, 4], 0.5: [4, 5], 0.9: [4.5, 6]}
    >>> figure = plot_forecast([1, 2, 3], levels, truth=[4.2, 4.9])  # doctest: +SKIP
    """
    past = _as_series("history", history)
    levels = {
        as_number("quantiles", level, above=0.0, below=1.0): _as_series(f"quantiles[{level}]", values)
        for level, values in quantiles.items()
    }
    if not levels:
        raise ValueError("quantiles: expected at least one level, such as {0.5: values}, got none")
    size = len(next(iter(levels.values())))
    future = None if truth is None else _as_series("truth", truth)
    named = {f"quantiles[{level}]": values for level, values in levels.items()}
    for name, values in (named if future is None else {**named, "truth": future}).items():
        if len(values) != size:
            raise ValueError(f"{name}: expected {size} steps, as the first level has, got {len(values)}")
    figure, axes = new_figure(9.0, 4.0)
    steps = np.arange(len(past), len(past) + size)
    axes.plot(np.arange(len(past)), past, color="0.25", linewidth=1.4, label="History")
    for level in sorted(level for level in levels if level < 0.5):
        other = next((one for one in levels if abs(one + level - 1) < 1e-9), None)
        if other is not None:
            label = f"{100 * (other - level):.3g} % band"
            axes.fill_between(
                steps, levels[level], levels[other], color="tab:blue", alpha=0.2, linewidth=0, label=label
            )
    if 0.5 in levels:
        axes.plot(
            steps, levels[0.5], color="tab:blue", linewidth=1.8, marker="o", markersize=3, label="Median"
        )
    if future is not None:
        axes.plot(steps, future, color="tab:red", linewidth=1.4, linestyle="--", label="Truth")
    axes.axvline(len(past) - 0.5, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_xlabel("Step")
    axes.set_ylabel("Value")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
    return save_figure(figure, path)


def _as_series(name: str, values: Any) -> NDArray[np.float64]:
    array = np.asarray(of_others(name, values), dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name}: expected shape [T] with at least one step, got {list(array.shape)}")
    return array
