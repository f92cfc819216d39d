"""Targets that are numbers, one or several for each sequence: checked and standardized."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag, as_number
from fastrnn._foreign import of_others
from fastrnn._plain import as_fields, as_list
from fastrnn.models.base.sequences import as_rows

__all__ = ["NumberTargets", "r2_score"]


class NumberTargets:
    """Numbers as targets, with mean 0 and standard deviation 1 in training.

    Attributes
    ----------
    mean, scale : ndarray, float64 [K]
    flat : bool
        Whether there was one number for each sequence, not a row of numbers.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    flat: bool

    def __init__(self, mean: NDArray[np.float64], scale: NDArray[np.float64], flat: bool) -> None:
        self.mean, self.scale, self.flat = mean, scale, flat

    @classmethod
    def learn(cls, y: Any) -> NumberTargets:
        """Return the standardization of a training set's targets.

        Raises
        ------
        ValueError, TypeError
            If a target is not a finite number, or rows differ in length; the message names the row.
        """
        values, flat = _numbers(y, None)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = values.mean(axis=0), values.std(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError("y: the targets are too large to standardize; divide them first")
        scale[scale <= 1e-12 * np.abs(mean)] = 1.0
        return cls(mean, scale, flat)

    def encode(self, y: Any) -> NDArray[np.float64]:
        """Return standardized targets, float64 [N, K]."""
        return (_numbers(y, len(self.mean))[0] - self.mean) / self.scale

    def decode(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return targets in their own unit: float64 [N, K], or [N] if there was one number for each."""
        numbers = values.astype(np.float64) * self.scale + self.mean
        return numbers[:, 0] if self.flat else numbers

    def to_plain(self) -> dict[str, Any]:
        """Return plain values, ready for ``json.dumps``."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "flat": self.flat}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> NumberTargets:
        """Return what `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        scales = partial(as_list, check=partial(as_number, above=0.0))
        checks: dict[str, Any] = {"mean": partial(as_list, check=as_number), "scale": scales, "flat": as_flag}
        fields = as_fields("targets", values, checks)
        mean, scale = np.array(fields["mean"], np.float64), np.array(fields["scale"], np.float64)
        if not len(mean) == len(scale) > 0 or (fields["flat"] and len(mean) > 1):
            raise ValueError("targets: expected a mean and a scale for each number")
        return cls(mean, scale, fields["flat"])


def r2_score(targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    """Return R^2, the coefficient of determination of [N, K], the mean over the K columns.

    As scikit-learn's: a column without variance counts 1 if it is predicted exactly, else 0.
    """
    error = ((targets - predictions) ** 2).sum(axis=0)
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    plain = 1.0 - error / np.where(spread == 0.0, 1.0, spread)
    return float(np.where(spread == 0.0, np.where(error == 0.0, 1.0, 0.0), plain).mean())


def _numbers(y: Any, width: int | None) -> tuple[NDArray[np.float64], bool]:
    """Return targets [N, K], and whether they were single numbers."""
    arrays = []
    for row, target in enumerate(as_rows("y", y)):
        array = np.asarray(of_others(f"y[{row}]", target))
        if array.dtype.kind == "c":
            raise ValueError(f"y[{row}]: expected real numbers. Complex data not supported")
        if array.dtype.kind not in "fiub":
            try:
                array = array.astype(np.float64)
            except (TypeError, ValueError):
                raise TypeError(f"y[{row}]: expected a number or a row of numbers, got {target!r}") from None
        if array.ndim > 1 or array.size == 0:
            raise ValueError(f"y[{row}]: expected a number or a row of numbers, got shape {[*array.shape]}")
        arrays.append(array.astype(np.float64))
    for row, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ValueError(f"y[{row}]: expected shape {[*arrays[0].shape]} as y[0], got {[*array.shape]}")
        if not np.isfinite(array).all():
            found = "NaN" if np.isnan(array).any() else "infinity"
            raise ValueError(f"y[{row}]: expected finite numbers, got {found} (Input y contains {found})")
    flat = arrays[0].ndim == 0
    numbers = np.stack(arrays).reshape(len(arrays), -1)
    if width is not None and numbers.shape[1] != width:
        raise ValueError(f"y: expected {width} numbers for each sequence, got {numbers.shape[1]}")
    return numbers, flat
