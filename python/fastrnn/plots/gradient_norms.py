"""Gradients through time: their norms against the lag, on a logarithmic scale, and predicted slopes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn._foreign import of_others
from fastrnn.plots.figure import new_figure, save_figure

__all__ = ["plot_gradient_norms"]

_BAND = (10.0, 90.0)  # percentiles of several rows


def plot_gradient_norms(
    norms: Any,
    rates: Mapping[str, float] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    lags: Any = None,
) -> Any:
    """Draw the norm of a gradient against the steps that it has flowed back through.

    Parameters
    ----------
    norms : float array [K] or [K, N], or mapping of str to such arrays
        Norms at the lags, such as one layer of ``StateGradients.against_lag()``; several by name. Of N
        sequences the geometric mean is drawn, and a band from the tenth to the ninetieth percentile. Norms of
        0 and NaN are left out.
    rates : mapping of str to float, optional
        For names of `norms`, the predicted slope in nats per step, such as a largest Lyapunov exponent: a
        dashed line that begins where the norm is at the first lag.
    path : path, optional
        A file to write: .png, .svg or .pdf.
    lags : int array [K], optional
        By default 0, 1, 2, ...

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a shape is wrong, a norm is negative or infinite, no norm is above 0, or a rate belongs to none of
        the norms.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastrnn.plots import plot_gradient_norms
    >>> figure = plot_gradient_norms({"tanh": [1, 0.5, 0.3]}, {"tanh": -0.6})  # doctest: +SKIP
    """
    curves = {name: _as_norms(name, one) for name, one in _named(norms).items()}
    K = len(next(iter(curves.values())))
    for name, curve in curves.items():
        if len(curve) != K:
            raise ValueError(f"norms[{name!r}]: expected {K} lags, as the first has, got {len(curve)}")
    steps = np.arange(K) if lags is None else np.asarray(lags)
    if steps.shape != (K,) or steps.dtype.kind not in "iu":
        raise ValueError(f"lags: expected {K} integers, got shape {[*steps.shape]} of {steps.dtype}")
    if rates is not None and not isinstance(rates, Mapping):
        raise TypeError(f"rates: expected a mapping of names to numbers, got {type(rates).__name__}")
    slopes = {name: as_number(f"rates[{name!r}]", rate) for name, rate in (rates or {}).items()}
    if unknown := slopes.keys() - curves.keys():
        raise ValueError(f"rates: expected names of norms, {sorted(curves)}, got {sorted(unknown)[0]!r}")
    figure, axes = new_figure(8.0, 4.2)
    axes.set_yscale("log")
    lowest, highest = np.inf, 0.0
    for k, (name, curve) in enumerate(curves.items()):
        color = f"C{k}"
        middle, low, high = _summary(curve)
        real = np.isfinite(middle)
        predicted = f"predicted {slopes[name]:+.3f} a step" if name in slopes else ""
        label = ", ".join(part for part in (name, predicted) if part)
        axes.plot(steps[real], middle[real], color=color, linewidth=1.8, label=label or None)
        if curve.shape[1] > 1:
            axes.fill_between(steps[real], low[real], high[real], color=color, alpha=0.18, linewidth=0)
        lowest, highest = min(lowest, middle[real].min()), max(highest, middle[real].max())
        if name in slopes:
            first = int(np.flatnonzero(real)[0])
            line = np.log(middle[first]) + slopes[name] * (steps - steps[first])
            shown = line > np.log(lowest) - 2.0
            axes.plot(steps[shown], np.exp(line[shown]), color=color, linewidth=1.2, linestyle="--")
    axes.set_ylim(lowest / 3.0, highest * 3.0)
    axes.set_xlabel("Lag, steps back from the loss")
    axes.set_ylabel("Norm of the gradient")
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if any(curves) or slopes:
        axes.legend(loc="best", frameon=False)
    return save_figure(figure, path)


def _named(norms: Any) -> Mapping[str, Any]:
    named: Mapping[str, Any] = norms if isinstance(norms, Mapping) else {"": norms}
    if not named:
        raise ValueError("norms: expected at least one array, got none")
    return named


def _as_norms(name: str, norms: Any) -> NDArray[np.float64]:
    what = f"norms[{name!r}]" if name else "norms"
    array = np.asarray(of_others("norms", norms), dtype=np.float64)
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"{what}: expected [K] or [K, N] with at least one lag, got {[*array.shape]}")
    if (array < 0).any() or np.isinf(array).any():
        raise ValueError(f"{what}: expected finite numbers >= 0; float32 has overflowed: use float64")
    if not (array > 0).any():
        raise ValueError(f"{what}: expected a norm above 0, got none: no gradient arrives at these steps")
    return array.reshape(len(array), -1)


def _summary(norms: NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Return the geometric mean over rows and two percentiles at each lag; NaN where there is none."""
    logs = np.log(np.where(norms > 0, norms, np.nan))
    out = np.full((3, len(logs)), np.nan)
    some = ~np.isnan(logs).all(axis=1)
    out[0, some] = np.nanmean(logs[some], axis=1)
    out[1:, some] = np.nanpercentile(logs[some], _BAND, axis=1)
    middle, low, high = np.exp(out)
    return middle, low, high
