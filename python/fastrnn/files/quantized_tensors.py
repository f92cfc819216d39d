"""Weights that lie on the grid of bfloat16 or int8, and the tensors that a file stores of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import narrow_bfloat16, widen_bfloat16

__all__ = ["QUANTIZED", "SCALE", "Quantized", "restored_tensors", "rounded_weight", "stored_tensors"]

QUANTIZED = ("bfloat16", "int8")
SCALE = ".scale"  # after the name of a weight in int8
_LARGEST = 127  # of q; -128 is left out, so that the grid is symmetric
_SMALLEST = 2.0**-100  # a row of smaller numbers counts as zeros

Floats = NDArray[np.float32]
Tensors = Mapping[str, NDArray[Any]]


class Quantized(NamedTuple):
    """How a file stores a network that has been quantized.

    Attributes
    ----------
    precision : {"bfloat16", "int8"}
    names : tuple of str
        The parameters that lie on its grid, in their order; all others are float32.
    """

    precision: str
    names: tuple[str, ...]


def rounded_weight(name: str, weight: Floats, precision: str) -> Floats:
    """Return the values of a weight in a precision, as float32; rounding them again changes nothing.

    bfloat16 rounds each number to 8 significant bits, to nearest even. int8 rounds a row to whole multiples
    of its scale: ``max|row| / 127``, rounded up to 16 significant bits.

    Parameters
    ----------
    name : str
        For the messages.
    weight : ndarray, float32 [F, K]
    precision : {"bfloat16", "int8"}

    Raises
    ------
    ValueError
        If a number is not finite, or is not after rounding.

    Examples
    --------
    >>> import numpy as np
    >>> weight = np.float32([[1.27, -0.004, 0.5], [0, 0, 0]])
    >>> rounded_weight("weight", weight, "int8").round(3).tolist()
    [[1.2699999809265137, 0.0, 0.5], [0.0, 0.0, 0.0]]
    >>> rounded_weight("weight", weight, "bfloat16")[0].tolist()
    [1.2734375, -0.003997802734375, 0.5]
    """
    if not np.isfinite(weight).all():
        raise ValueError(f"{name}: expected finite numbers to quantize, got NaN or infinity")
    with np.errstate(over="ignore"):  # checked below
        rounded = (
            widen_bfloat16(narrow_bfloat16(weight)) if precision == "bfloat16" else _widened(*_int8(weight))
        )
    if not np.isfinite(rounded).all():
        raise ValueError(f"{name}: expected numbers that {precision} can hold, got {np.abs(weight).max():g}")
    return rounded


def stored_tensors(tensors: Tensors, quantized: Quantized) -> dict[str, NDArray[Any]]:
    """Return what a file stores of the parameters of a quantized network.

    A weight in bfloat16 is the uint16 of its bits. One in int8 is ``NAME``, int8 [F, K], and ``NAME.scale``,
    float32 [F].
    """
    stored: dict[str, NDArray[Any]] = {}
    for name, array in tensors.items():
        if name not in quantized.names:
            stored[name] = array
        elif quantized.precision == "bfloat16":
            stored[name] = narrow_bfloat16(array)
        else:
            stored[name], stored[name + SCALE] = _int8(array)
    return stored


def restored_tensors(tensors: Tensors, dtypes: Mapping[str, str], precision: str) -> dict[str, NDArray[Any]]:
    """Return the parameters in float32 of what `stored_tensors` returned.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        As a file has them, bfloat16 as float32.
    dtypes : mapping of str to str
        The dtypes in the file.
    precision : {"bfloat16", "int8"}

    Raises
    ------
    ValueError
        If a tensor has the dtype of the other precision, or a scale is missing or wrong.
    """
    own, other = ("BF16", "I8") if precision == "bfloat16" else ("I8", "BF16")
    for name in (name for name, dtype in dtypes.items() if dtype == other):
        raise ValueError(f"{name}: expected {own} or F32 in a file in {precision}, got {other}")
    names = [name for name, dtype in dtypes.items() if dtype == "I8"]
    scales = {name + SCALE for name in names}
    restored = {name: array for name, array in tensors.items() if name not in scales}
    for name in names:
        restored[name] = _from_int8(name, tensors[name], tensors.get(name + SCALE))
    return restored


def _from_int8(name: str, values: NDArray[Any], scales: NDArray[Any] | None) -> Floats:
    shape = list(values.shape[:1])
    if scales is None:
        raise ValueError(f"{name}: expected a tensor {name}{SCALE} with it, got none")
    if values.ndim != 2 or list(scales.shape) != shape or scales.dtype != np.float32:
        got = f"{name} {list(values.shape)} and {scales.dtype} {list(scales.shape)}"
        raise ValueError(f"{name}{SCALE}: expected float32, one scale for each row, got {got}")
    if not np.isfinite(scales).all() or (scales < 0).any():
        raise ValueError(f"{name}{SCALE}: expected finite scales of at least 0")
    if (values < -_LARGEST).any():
        raise ValueError(f"{name}: expected integers in -127 .. 127, got -128")
    with np.errstate(over="ignore"):  # infinity is refused where parameters are checked
        return _widened(values, scales)


def _int8(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return q [F, K] and the scales [F]."""
    largest = np.abs(weight).max(axis=1)
    bits = (largest / np.float32(_LARGEST)).view(np.uint32)
    scales = (bits + np.uint32(0xFF) & np.uint32(0xFFFFFF00)).view(np.float32)  # rounded up to 16 bits
    scales = np.where(largest < _SMALLEST, np.float32(0), scales)
    divisors = np.where(scales == 0, np.float32(np.inf), scales)
    return np.rint(weight / divisors[:, None]).astype(np.int8), scales


def _widened(values: NDArray[np.int8], scales: Floats) -> Floats:
    product: Floats = values * scales[:, None]
    return product
