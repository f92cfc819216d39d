"""The size of an update relative to the weights that it changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._arrays import Array
from fastrnn._foreign import of_others

__all__ = ["update_ratios"]


def update_ratios(before: Mapping[str, ArrayLike], after: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Compute the ratio of the norm of each parameter's update to the norm of the parameter.

    A rule of thumb is 1e-3 for a weight matrix: far less and training is slow, far more and it is unstable
    (Karpathy 2015). `Trainer` measures the ratios of its own steps with ``diagnose_every``.

    Parameters
    ----------
    before, after : mapping of str to array_like, float
        Parameters before and after a step, such as two results of ``model.state_dict()``, or ``before`` and
        ``model.parameters``.

    Returns
    -------
    ratios : dict of str to float
        ``||after - before|| / ||before||`` with Euclidean norms; 0 without a change, infinite if the
        parameter was zero.

    Raises
    ------
    ValueError
        If the names or the shapes differ.
    TypeError
        If an argument is not a mapping of arrays of numbers.

    References
    ----------
    Karpathy (2015), "CS231n: Convolutional Neural Networks for Visual Recognition", section "Ratio of
    weights:updates".

    Examples
    --------
    >>> import fastrnn as fr
    >>> layer = fr.Linear(2, 1, bias=False, seed=0)
    >>> layer.parameters["weight"] = [[3.0, 4.0]]
    >>> before = layer.state_dict()
    >>> layer.gradients["weight"] = [[1.0, 0.0]]
    >>> fr.train.SGD(layer, learning_rate=0.5).step()
    >>> fr.inspect.update_ratios(before, layer.parameters)
    {'weight': 0.1}
    """
    for name, given in (("before", before), ("after", after)):
        if not isinstance(given, Mapping):
            raise TypeError(f"{name}: expected a mapping of names to arrays, got {type(given).__name__}")
    if before.keys() != after.keys():
        raise ValueError(f"after: expected the names of before, {_names(before)}, got {_names(after)}")
    ratios = {}
    for name in before:
        old, new = (
            _as_numbers(f"before[{name!r}]", before[name]),
            _as_numbers(f"after[{name!r}]", after[name]),
        )
        if old.shape != new.shape:
            raise ValueError(f"after[{name!r}]: expected {list(old.shape)}, got {list(new.shape)}")
        update, weight = np.linalg.norm(new - old), np.linalg.norm(old)
        if weight:
            ratios[name] = float(update / weight)
        else:
            ratios[name] = np.inf if update else 0.0
    return ratios


def _as_numbers(name: str, value: Any) -> Array:
    array = np.asarray(of_others(name, value))
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected an array of numbers, got {array.dtype}")
    return array.astype(np.float64)


def _names(names: Iterable[str]) -> str:
    shown = sorted(map(str, names))
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
