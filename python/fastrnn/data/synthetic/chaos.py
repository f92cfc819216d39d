"""Chaotic series: the Mackey-Glass equation with its delay, and the Lorenz system."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number, as_size

__all__ = ["lorenz", "mackey_glass"]

_PRODUCTION, _POWER, _DECAY = 0.2, 10, 0.1  # of Mackey and Glass
_SIGMA, _RHO, _BETA = 10.0, 28.0, 8.0 / 3.0  # of Lorenz


def mackey_glass(
    count: int,
    *,
    tau: float = 17.0,
    step: float = 1.0,
    substeps: int = 10,
    discard: int = 1000,
    initial: float = 1.2,
) -> NDArray[np.float64]:
    """Return a solution of the Mackey-Glass equation, chaotic for a delay `tau` of 17 or more.

    ::

        dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

    Integrated by the Runge-Kutta method of order 4. What lies between two steps in the past is interpolated
    by a cubic with the values and slopes at both ends, which keeps the order if the internal step divides
    tau. The result is the same each time: another `initial` or `discard` is another stretch of the attractor.

    Parameters
    ----------
    count : int
        T, at least 1.
    tau : float, default 17.0
        The delay, in units of time; at least the internal step, ``step / substeps``.
    step : float, default 1.0
        The time from one value to the next.
    substeps : int, default 10
        Internal steps for each value, each of at most 1 unit of time.
    discard : int, default 1000
        Values at the beginning that are left out, 0 or more.
    initial : float, default 1.2
        x(t) for t <= 0, in (0, 10].

    Returns
    -------
    series : ndarray, float64 [T]

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or of another type.

    References
    ----------
    Mackey, Glass (1977), "Oscillation and Chaos in Physiological Control Systems". Jaeger, Haas (2004),
    "Harnessing Nonlinearity", for the series as a benchmark. Bellen, Zennaro (2003), "Numerical Methods for
    Delay Differential Equations", for the interpolation.

    Examples
    --------
    >>> series = mackey_glass(500)
    >>> series.round(3).tolist()[:4], float(series.min().round(2)), float(series.max().round(2))
    ([0.947, 0.901, 0.858, 0.817], 0.42, 1.32)
    """
    steps, skipped = as_size("count", count), as_size("discard", discard, least=0)
    h, inner = _internal_step(step, substeps, 1.0)
    first = as_number("initial", initial, above=0.0, most=10.0)
    delay = as_number("tau", tau, least=h) / h
    values = _mackey_glass(first, delay, h, (skipped + steps - 1) * inner)
    return np.array(values[skipped * inner :: inner])


def lorenz(
    count: int,
    *,
    step: float = 0.02,
    substeps: int = 4,
    discard: int = 1000,
    initial: Sequence[float] = (1.0, 1.0, 1.0),
) -> NDArray[np.float64]:
    """Return a solution of the Lorenz system with the parameters of his paper.

    ::

        dx/dt = 10 (y - x);  dy/dt = x (28 - z) - y;  dz/dt = x y - 8/3 z

    Integrated by the Runge-Kutta method of order 4. The result is the same each time, as far as a chaotic
    system allows: a difference in rounding grows e-fold in each 1.1 units of time.

    Parameters
    ----------
    count : int
        T, at least 1.
    step : float, default 0.02
        The time from one value to the next.
    substeps : int, default 4
        Internal steps for each value, each of at most 0.02 units of time.
    discard : int, default 1000
        Values at the beginning that are left out, 0 or more.
    initial : sequence of 3 floats, default (1, 1, 1)
        x, y and z at the beginning, each in [-100, 100].

    Returns
    -------
    series : ndarray, float64 [T, 3]
        x, y and z.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or of another type.

    References
    ----------
    Lorenz (1963), "Deterministic Nonperiodic Flow", equations 25 to 27.

    Examples
    --------
    >>> lorenz(3, discard=0).round(3).tolist()
    [[1.0, 1.0, 1.0], [1.049, 1.524, 0.973], [1.187, 2.089, 0.962]]
    """
    steps, skipped = as_size("count", count), as_size("discard", discard, least=0)
    h, inner = _internal_step(step, substeps, 0.02)
    if not hasattr(initial, "__len__") or len(initial) != 3:
        raise ValueError(f"initial: expected 3 numbers, got {initial!r}")
    x, y, z = (as_number(f"initial[{i}]", one, least=-100.0, most=100.0) for i, one in enumerate(initial))
    values = _lorenz((x, y, z), h, (skipped + steps - 1) * inner)
    return np.array(values[skipped * inner :: inner])


def _internal_step(step: float, substeps: int, most: float) -> tuple[float, int]:
    """Return the internal step and how many there are in a step, both checked."""
    whole, inner = as_number("step", step, above=0.0), as_size("substeps", substeps)
    if whole / inner > most * (1 + 1e-9):
        needed = math.ceil(whole / most)
        raise ValueError(f"substeps: expected {needed} or more for a step of {whole:g}, got {inner}")
    return whole / inner, inner


def _mackey_glass(initial: float, delay: float, h: float, steps: int) -> list[float]:
    """Return x at 0, h, 2 h, ...; the delay is in units of h, at least 1."""
    back = math.ceil(delay - 1e-9)
    offset = max(back - delay, 0.0)
    middle, end = _hermite(offset + 0.5, h), _hermite(offset + 1.0, h)
    values = [initial]
    slopes: list[float] = []

    def production(place: int, interpolation: tuple[int, float, float, float, float]) -> float:
        ahead, left, right, left_slope, right_slope = interpolation
        i = place + ahead
        x = initial
        if i >= 0:
            x = left * values[i] + right * values[i + 1]
            x += left_slope * slopes[i] + right_slope * slopes[i + 1]
        return float(_PRODUCTION * x / (1.0 + x**_POWER))

    before = _PRODUCTION * initial / (1.0 + initial**_POWER)
    for k in range(steps):
        x = values[-1]
        slopes.append(k1 := before - _DECAY * x)
        between, after = production(k - back, middle), production(k - back, end)
        k2 = between - _DECAY * (x + 0.5 * h * k1)
        k3 = between - _DECAY * (x + 0.5 * h * k2)
        k4 = after - _DECAY * (x + h * k3)
        values.append(x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4))
        before = after
    return values


def _hermite(place: float, h: float) -> tuple[int, float, float, float, float]:
    """Return the interval that a place is in, and the weights of the values and slopes at its ends."""
    interval = max(math.ceil(place) - 1, 0)
    s = place - interval
    left = (1.0 + 2.0 * s) * (1.0 - s) ** 2
    return interval, left, 1.0 - left, h * s * (1.0 - s) ** 2, h * s**2 * (s - 1.0)


def _lorenz(initial: tuple[float, float, float], h: float, steps: int) -> list[tuple[float, float, float]]:
    """Return x, y and z at 0, h, 2 h, ..."""
    values = [initial]
    for _ in range(steps):
        x, y, z = values[-1]
        slopes: list[tuple[float, float, float]] = []
        for part in (0.0, 0.5, 0.5, 1.0):
            dx, dy, dz = slopes[-1] if slopes else (0.0, 0.0, 0.0)
            slopes.append(_lorenz_slope(x + part * h * dx, y + part * h * dy, z + part * h * dz))
        k1, k2, k3, k4 = slopes
        a, b, c = (
            own + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]) for i, own in enumerate((x, y, z))
        )
        values.append((a, b, c))
    return values


def _lorenz_slope(x: float, y: float, z: float) -> tuple[float, float, float]:
    return _SIGMA * (y - x), x * (_RHO - z) - y, x * y - _BETA * z
