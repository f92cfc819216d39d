"""The parity self-test: the largest difference between what an imported model computes and what it should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Parity", "compare"]


class Parity(NamedTuple):
    """The result of `compare`.

    Attributes
    ----------
    differences : dict of str to float
        Largest absolute difference of each output.
    scale : float
        Largest absolute value of the expected outputs.
    tolerance : float
        The largest difference that counts as equal, absolute and relative to `scale`.
    hints : tuple of str
        Where they differ and another reading of the weights was tried: the readings that are equal.
    """

    differences: dict[str, float]
    scale: float
    tolerance: float
    hints: tuple[str, ...] = ()

    @property
    def largest(self) -> float:
        """The largest difference of all outputs."""
        return max(self.differences.values(), default=0.0)

    @property
    def equal(self) -> bool:
        """Whether the outputs agree within the tolerance."""
        return self.largest <= self.tolerance * (1 + self.scale)

    def __str__(self) -> str:
        verdict = "equal" if self.equal else "DIFFERENT"
        parts = ", ".join(f"{name} {value:.2g}" for name, value in self.differences.items())
        hints = f"; equal with {' or '.join(self.hints)}" if self.hints else ""
        return f"{verdict}: largest difference {parts} (outputs up to {self.scale:.3g}){hints}"


def compare(found: Any, expected: Any, *, tolerance: float = 1e-5) -> Parity:
    """Compare outputs with those that are expected.

    Parameters
    ----------
    found, expected : array_like, or a mapping or (nested) sequence of array_like
        Of the same form and shapes.
    tolerance : float, default 1e-5
        The largest difference that counts as equal, absolute and relative to the largest expected value.

    Raises
    ------
    ValueError
        If the outputs have other names, another number or other shapes.

    Examples
    --------
    >>> print(compare([0.5, 1.0], [0.5, 1.000001]))
    equal: largest difference output 1e-06 (outputs up to 1)
    """
    ours, theirs = dict(_named("", found)), dict(_named("", expected))
    if list(ours) != list(theirs):
        raise ValueError(f"found: expected the outputs {', '.join(theirs)}, got {', '.join(ours)}")
    differences, scale = {}, 0.0
    for name, array in theirs.items():
        if ours[name].shape != array.shape:
            raise ValueError(f"{name}: expected {list(array.shape)}, got {list(ours[name].shape)}")
        difference = np.abs(ours[name] - array)
        differences[name] = float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))
        scale = max(scale, float(np.abs(array).max(initial=0.0)))
    return Parity(differences, scale, tolerance)


def _named(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return the arrays of a nested structure, each with a name."""
    if isinstance(value, Mapping):
        parts = [(f"{name}.{key}" if name else str(key), one) for key, one in value.items()]
    elif isinstance(value, (tuple, list)) and any(np.ndim(one) or isinstance(one, tuple) for one in value):
        parts = [(f"{name}[{index}]" if name else f"output {index}", one) for index, one in enumerate(value)]
    else:
        return [(name or "output", np.asarray(value, np.float64))]
    return [pair for key, one in parts for pair in _named(key, one)]
