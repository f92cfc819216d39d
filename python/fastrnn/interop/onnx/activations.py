"""The activations of recurrent nodes: their names and numbers, and which of them a layer has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn.interop.onnx.elementwise import sigmoid

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node

__all__ = ["Activation", "activations_of"]

#: Of each operator, those of one direction if the node names none.
DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}

#: Each as a function of x, alpha and beta.
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "relu": lambda x, a, b: np.maximum(x, 0),
    "tanh": lambda x, a, b: np.tanh(x),
    "sigmoid": lambda x, a, b: sigmoid(x),
    "affine": lambda x, a, b: a * x + b,
    "leakyrelu": lambda x, a, b: np.where(x >= 0, x, a * x),
    "thresholdedrelu": lambda x, a, b: np.where(x > a, x, 0),
    "scaledtanh": lambda x, a, b: a * np.tanh(b * x),
    "hardsigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "elu": lambda x, a, b: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0))),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "softplus": lambda x, a, b: np.logaddexp(x, x.dtype.type(0)),
}
#: Which take alpha and which beta, with the default; NaN: there is none.
ALPHA = {"affine": np.nan, "leakyrelu": 0.01, "thresholdedrelu": 1.0, "scaledtanh": np.nan,
         "hardsigmoid": 0.2, "elu": 1.0}  # fmt: skip
BETA = {"affine": 0.0, "scaledtanh": np.nan, "hardsigmoid": 0.5}


class Activation(NamedTuple):
    """An activation with its numbers, rounded to float32 as files have them; 0 where it takes none."""

    name: str
    alpha: float
    beta: float

    def __call__(self, x: Array) -> Array:
        """Apply it."""
        result: Array = FUNCTIONS[self.name](x, x.dtype.type(self.alpha), x.dtype.type(self.beta))
        return result.astype(x.dtype, copy=False)

    @property
    def own(self) -> str | None:
        """Our layers' name of it; None if they lack it."""
        name, alpha, beta = self.name, np.float32(self.alpha), np.float32(self.beta)
        if name in ("tanh", "sigmoid", "relu"):
            return name
        if name == "hardsigmoid" and (alpha, beta) == (np.float32(0.2), np.float32(0.5)):
            return "hard_sigmoid"
        if name == "affine" and alpha == 1 and beta == 0:
            return "identity"
        return "relu" if name in ("leakyrelu", "thresholdedrelu") and alpha == 0 else None

    def __str__(self) -> str:
        numbers = [f"{self.alpha:.7g}"] * (self.name in ALPHA) + [f"{self.beta:.7g}"] * (self.name in BETA)
        return f"{self.name}({', '.join(numbers)})" if numbers else self.name


def activations_of(node: Node, directions: int) -> list[tuple[Activation, ...]]:
    """Return the activations of each direction of a node.

    Raises
    ------
    ValueError
        If there are too few or too many, one is unknown, or one lacks a number that has no default.
    """
    usual = DEFAULTS[node.op]
    names = [name.lower() for name in node.texts("activations") or usual * directions]
    if len(names) != len(usual) * directions:
        raise ValueError(f"activations: expected {len(usual) * directions}, got {len(names)}")
    alphas, betas = (iter(node.numbers(f"activation_{one}") or []) for one in ("alpha", "beta"))
    found = [_activation(name, alphas, betas) for name in names]
    return [tuple(found[at : at + len(usual)]) for at in range(0, len(found), len(usual))]


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    """Return one activation, which takes the next alpha and the next beta if it has such numbers."""
    if name not in FUNCTIONS:
        raise ValueError(f"activations: expected some of {', '.join(FUNCTIONS)}, got {name!r}")
    alpha = next(alphas, ALPHA[name]) if name in ALPHA else 0.0
    beta = next(betas, BETA[name]) if name in BETA else 0.0
    for which, value in (("alpha", alpha), ("beta", beta)):
        if np.isnan(value):
            raise ValueError(f"activation_{which}: expected a number for {name}, which has no default")
    return Activation(name, float(alpha), float(beta))
