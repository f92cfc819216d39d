"""The activations that variants of the cells may have, by name, each with its derivative."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastrnn.reference._arrays import Floats
from fastrnn.reference.activations import drelu, dsigmoid, dtanh, relu, sigmoid, tanh


def identity(x: Floats) -> Floats:
    """The argument itself."""
    return x


def didentity(y: Floats) -> Floats:
    """Derivative of `identity`: 1."""
    return np.ones_like(y)


def hard_sigmoid(x: Floats) -> Floats:
    """A sigmoid of straight lines: 0.2 x + 0.5, clipped to 0 .. 1."""
    result: Floats = np.clip(0.2 * x + 0.5, 0, 1)
    return result


def dhard_sigmoid(y: Floats) -> Floats:
    """Derivative of `hard_sigmoid` from its output: 0.2 between the corners, 0 outside them."""
    return np.where((y > 0) & (y < 1), y.dtype.type(0.2), y.dtype.type(0))


def positive(x: Floats) -> Floats:
    """The g of minGRU and minLSTM, which keeps their state positive: x + 0.5 from 0 on, sigmoid(x) below."""
    result: Floats = np.maximum(x, 0) + sigmoid(np.minimum(x, 0))
    return result


def dpositive(y: Floats) -> Floats:
    """Derivative of `positive` from its output: 1 where x was 0 or more, else that of the sigmoid."""
    return np.where(y >= 0.5, y.dtype.type(1), dsigmoid(y))


#: Each with its derivative in terms of its output.
ACTIVATIONS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "sigmoid": (sigmoid, dsigmoid),
    "tanh": (tanh, dtanh),
    "relu": (relu, drelu),
    "identity": (identity, didentity),
    "hard_sigmoid": (hard_sigmoid, dhard_sigmoid),
    "positive": (positive, dpositive),
}
