"""Precisions: the numbers that the products of a layer are computed with."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastrnn._checks import as_choice

__all__ = ["PRECISIONS", "Precision", "as_precision", "check_trainable"]

Precision = Literal["float32", "bfloat16", "int8"]

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
_TRAINED = ("float32", "bfloat16")


def as_precision(precision: Any, dtype: np.dtype[Any]) -> Precision:
    """Check the precision of a layer that is to be trained.

    Raises
    ------
    ValueError
        If it is unknown, or int8, which `fastrnn.quantize` makes, or the dtype is float64.

    Examples
    --------
    >>> as_precision("bfloat16", np.dtype("float32"))
    'bfloat16'
    >>> as_precision("int8", np.dtype("float32"))
    Traceback (most recent call last):
    ValueError: precision: int8 is for inference; write fr.quantize(layer, 'int8')
    """
    if precision == "int8":
        raise ValueError("precision: int8 is for inference; write fr.quantize(layer, 'int8')")
    as_choice("precision", precision, _TRAINED)
    if precision != "float32" and dtype != np.float32:
        raise ValueError(f"precision: expected 'float32' for dtype {dtype}, got {precision!r}")
    return "bfloat16" if precision == "bfloat16" else "float32"


def check_trainable(module: Any) -> None:
    """Check that a module is not one of `fastrnn.quantize`, before a pass in training.

    Raises
    ------
    ValueError
        If it is: its weights are no longer those that an optimiser would change in small steps.
    """
    if module.quantized:
        kind = type(module).__name__
        raise ValueError(f"quantized: this {kind} is for inference; train the model that it was made of")
