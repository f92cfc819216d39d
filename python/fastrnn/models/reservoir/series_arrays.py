"""Series for echo state networks: the checks of all series, and those that scikit-learn asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._foreign import is_foreign, of_others
from fastrnn.models.series_panel import as_panel

__all__ = ["as_series", "check_columns"]

Floats = NDArray[np.float64]


def as_series(name: str, values: Any) -> tuple[list[Floats], bool, bool]:
    """Return what `as_panel` does: series [T, D], whether there was one, and whether without the axis D.

    Raises
    ------
    ValueError, TypeError
        As by `as_panel`; also for a sparse matrix, complex numbers and a matrix without columns.

    Examples
    --------
    >>> as_series("X", [1.0, float("nan")])
    Traceback (most recent call last):
    ValueError: X: expected finite numbers, got NaN at step 1; fill gaps before, or cut the series there
    """
    if hasattr(values, "toarray"):
        raise TypeError(
            f"{name}: expected a series or a list of series, got a sparse matrix; write {name}.toarray()"
        )
    if is_foreign(values):
        values = of_others(name, values)
    if isinstance(values, np.ndarray):
        values = _numbers(name, values)
    try:
        return as_panel(name, values)
    except ValueError as error:
        message = str(error).replace("got nan at", "got NaN at")
        if message == str(error):
            raise
        raise ValueError(message) from None


def check_columns(name: str, panel: list[Floats], width: int) -> None:
    """Check that series have as many columns as in training.

    Raises
    ------
    ValueError
        If not.
    """
    if panel[0].shape[1] != width:
        raise ValueError(f"{name}: expected {width} columns as in training, got {panel[0].shape[1]}")


def _numbers(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that may be one of numbers; objects in two dimensions are numbers."""
    if array.dtype.kind == "c":
        raise ValueError(f"{name}: expected real numbers. Complex data not supported")
    if array.ndim == 2 and array.shape[1] == 0:
        raise ValueError(f"{name}: 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    if array.dtype.kind == "O" and array.ndim == 2:
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: expected numbers: {error}") from None
    return array
