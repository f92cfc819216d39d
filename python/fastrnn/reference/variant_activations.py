"""The activations of the variants, by name, each with its derivative."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastrnn.reference._arrays import Floats
from fastrnn.reference.activations import drelu, dsigmoid, dtanh, relu, sigmoid, tanh


def identity(x: Floats) -> Floats:
    """Return the argument."""
    return x


def didentity(y: Floats) -> Floats:
    """Return the derivative of `identity`: 1."""
    return np.ones_like(y)


def hard_sigmoid(x: Floats) -> Floats:
    """Compute the piecewise linear sigmoid 0.2 x + 0.5, clipped to 0 .. 1."""
    result: Floats = np.clip(0.2 * x + 0.5, 0, 1)
    return result


def dhard_sigmoid(y: Floats) -> Floats:
    """Compute the derivative of `hard_sigmoid` from its output: 0.2 where it is not clipped, else 0."""
    return np.where((y > 0) & (y < 1), y.dtype.type(0.2), y.dtype.type(0))


def positive(x: Floats) -> Floats:
    """Compute the g of minGRU and minLSTM, always positive: x + 0.5 for x >= 0, else sigmoid(x)."""
    result: Floats = np.maximum(x, 0) + sigmoid(np.minimum(x, 0))
    return result


def dpositive(y: Floats) -> Floats:
    """Compute the derivative of `positive` from its output: 1 for x >= 0, else that of the sigmoid."""
    return np.where(y >= 0.5, y.dtype.type(1), dsigmoid(y))


#: Each with its derivative as a function of its output.
ACTIVATIONS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "sigmoid": (sigmoid, dsigmoid),
    "tanh": (tanh, dtanh),
    "relu": (relu, drelu),
    "identity": (identity, didentity),
    "hard_sigmoid": (hard_sigmoid, dhard_sigmoid),
    "positive": (positive, dpositive),
}
