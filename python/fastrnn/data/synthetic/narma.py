"""NARMA-10: a nonlinear system driven by noise, for models that map one series to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import Seed, as_generator, as_size

__all__ = ["narma10"]

_ORDER = 10
_TRANSIENT = 200  # steps before the first one returned
_BLOCK = 100  # inputs that are drawn again together
_LARGEST = 1.2  # outputs beyond may grow without bound


def narma10(count: int, *, seed: Seed = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return random inputs, and the outputs of a system with a memory of ten steps.

    ::

        y(t) = 0.3 y(t-1) + 0.05 y(t-1) (y(t-1) + ... + y(t-10)) + 1.5 u(t-9) u(t) + 0.1

    The inputs are uniform over [0, 0.5). Some, about one in 200,000, make the outputs grow without bound; the
    hundred inputs in which an output reaches 1.2 are drawn again. The first 200 steps, which start from 0,
    are left out.

    Parameters
    ----------
    count : int
        T, at least 1.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    u, y : ndarray, float64 [T]
        ``y[t]`` is a function of ``u[: t + 1]``. In the paper's numbering it is the output of step t + 1.

    Raises
    ------
    ValueError, TypeError
        If the count is less than 1 or not an integer, or the seed is of another kind.

    References
    ----------
    Atiya, Parlos (2000), "New Results on Recurrent Network Training: Unifying the Algorithms and Accelerating
    Convergence".

    Examples
    --------
    >>> u, y = narma10(1000, seed=0)
    >>> u.shape, y.round(3).tolist()[:4]
    ((1000,), [0.394, 0.34, 0.296, 0.321])
    """
    steps, random = as_size("count", count) + _TRANSIENT, as_generator(seed)
    u, y = [0.0] * _ORDER, [0.0] * _ORDER
    while len(y) < _ORDER + steps:
        own = random.uniform(0.0, 0.5, _BLOCK).tolist()
        outputs = _respond([*u[-_ORDER:], *own], y[-_ORDER:])
        if max(outputs) < _LARGEST:
            u += own
            y += outputs
    kept = slice(_ORDER + _TRANSIENT, _ORDER + steps)
    return np.array(u[kept]), np.array(y[kept])


def _respond(u: list[float], y: list[float]) -> list[float]:
    """Return the outputs after ten steps, up to the first one that is too large."""
    outputs = [*y]
    for t in range(_ORDER, len(u)):
        drive = 1.5 * u[t - _ORDER + 1] * u[t] + 0.1
        outputs.append(0.3 * outputs[-1] + 0.05 * outputs[-1] * sum(outputs[-_ORDER:]) + drive)
        if outputs[-1] >= _LARGEST:
            break
    return outputs[_ORDER:]
