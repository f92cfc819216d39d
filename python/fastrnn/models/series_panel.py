"""Series that come from users: one or several, checked step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._foreign import of_others

__all__ = ["as_panel", "check_long_enough", "check_positive"]

Floats = NDArray[np.float64]


def as_panel(name: str, values: Any) -> tuple[list[Floats], bool, bool]:
    """Return series as arrays [T, D], whether there was a single one, and whether they had no axis D.

    Parameters
    ----------
    name : str
        What messages call them.
    values : array_like, float [T] or [T, D], or list of such
        An array, a pandas Series or DataFrame, or a list of numbers is one series; a list of arrays several.

    Raises
    ------
    ValueError, TypeError
        If a number is missing or not finite, a shape is another, or widths differ.

    Examples
    --------
    >>> as_panel("series", [1.0, float("nan")])
    Traceback (most recent call last):
    ValueError: series: expected finite numbers, got nan at step 1; fill gaps before, or cut the series there
    """
    values = of_others(name, values)
    sized = hasattr(values, "__len__") and getattr(values, "ndim", 1) > 0
    if isinstance(values, (str, bytes, dict)) or not sized:
        raise TypeError(f"{name}: expected a series or a list of series, got {type(values).__name__}")
    if len(values) == 0:
        raise ValueError(f"{name}: expected at least one step, got an empty series")
    if isinstance(values, np.ndarray) and values.dtype.kind == "O":  # an array of series, or of numbers
        values = list(values)
    several = isinstance(values, (list, tuple)) and any(np.ndim(one) for one in values)
    given = list(values) if several else [values]
    arrays = [_as_array(f"{name}[{row}]" if several else name, one) for row, one in enumerate(given)]
    for row, array in enumerate(arrays):
        if array.ndim != arrays[0].ndim or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{name}[{row}]: expected as many columns as {name}[0], of shape {[*arrays[0].shape]}, "
                f"got shape {[*array.shape]}"
            )
    return [array.reshape(len(array), -1) for array in arrays], not several, arrays[0].ndim == 1


def check_long_enough(name: str, panel: list[Floats], single: bool, least: int, why: str) -> None:
    """Check that each series has at least `least` steps.

    Raises
    ------
    ValueError
        If not; the message says which and how many.
    """
    for row, series in enumerate(panel):
        if len(series) < least:
            raise ValueError(
                f"{name if single else f'{name}[{row}]'}: expected at least {least} steps{why}, "
                f"got {len(series)}"
            )


def check_positive(name: str, panel: list[Floats], single: bool) -> None:
    """Check that all numbers are above 0, so that they have a logarithm."""
    for row, series in enumerate(panel):
        wrong = ~(series > 0).all(axis=1)
        if wrong.any():
            step = int(wrong.argmax())
            raise ValueError(
                f"{name if single else f'{name}[{row}]'}: expected numbers above 0, as transform='log' "
                f"needs, got {series[step].min():g} at step {step}; add a constant, or set transform=None"
            )


def _as_array(name: str, values: Any) -> Floats:
    values = of_others(name, values)
    try:
        array = np.asarray(values)
        if array.dtype.kind in "cmM":  # NumPy would drop imaginary parts, and count the ticks of a date
            raise TypeError(f"got {array.dtype}")
        if array.dtype.kind not in "fiub":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected numbers: {error}") from None
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"{name}: expected a series [T] or [T, D], got shape {[*array.shape]}")
    array = array.astype(np.float64, order="C")  # the same bits, whatever the order in memory
    wrong = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if wrong.any():
        step = int(wrong.argmax())
        found = array.reshape(len(array), -1)[step]
        raise ValueError(
            f"{name}: expected finite numbers, got {found[~np.isfinite(found)][0]} at step {step}; "
            "fill gaps before, or cut the series there"
        )
    return array
