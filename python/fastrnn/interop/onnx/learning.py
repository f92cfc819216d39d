"""Operators of ONNX's machine learning domain that scikit-learn's exporter writes beside networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.elementwise import sigmoid
from fastrnn.interop.onnx.operator_table import Operator, operator

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node

_DOMAIN = "ai.onnx.ml"


@operator("Scaler", domain=_DOMAIN)
def _scaler(node: Node) -> Operator:
    offset, scale = (np.array(node.numbers(name) or [], np.float32) for name in ("offset", "scale"))
    return lambda x: ((x - offset) * scale).astype(np.float32)


def _coefficients(node: Node, count: int) -> tuple[Array, Array]:
    """Return the coefficients [count, K] of a linear model, and its intercepts."""
    weights = np.array(node.numbers("coefficients") or [], np.float32)
    intercepts = np.array(node.numbers("intercepts") or [0.0] * count, np.float32)
    if count < 1 or not weights.size or weights.size % count or intercepts.shape != (count,):
        raise ValueError(
            f"expected coefficients and an intercept for each of {count} outputs, got {weights.size} "
            f"and {intercepts.size}"
        )
    return weights.reshape(count, -1), intercepts


def _scores(x: Array, weights: Array, intercepts: Array) -> Array:
    rows = np.atleast_2d(x).astype(np.float32, copy=False)
    result: Array = rows @ weights.T + intercepts
    return result


@operator("LinearRegressor", domain=_DOMAIN)
def _linear_regressor(node: Node) -> Operator:
    if node.text("post_transform", "NONE") != "NONE":
        raise ValueError(f"post_transform: expected NONE, got {node.text('post_transform')!r}")
    weights, intercepts = _coefficients(node, node.integer("targets", 1))
    return lambda x: _scores(x, weights, intercepts)


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    result: Array = powers / powers.sum(-1, keepdims=True)
    return result


@operator("LinearClassifier", domain=_DOMAIN)
def _linear_classifier(node: Node) -> Operator:
    transforms = {"NONE": lambda x: x, "LOGISTIC": sigmoid, "SOFTMAX": _softmax}
    name, labels = node.text("post_transform", "NONE"), node.integers("classlabels_ints")
    if name not in transforms:
        raise ValueError(f"post_transform: expected one of {', '.join(transforms)}, got {name!r}")
    if not labels:
        raise ValueError("classlabels_ints: missing; labels that are text cannot be used")
    weights, intercepts = _coefficients(node, len(labels))
    transform: Any = transforms[name]
    classes = np.array(labels, np.int64)

    def run(x: Array) -> Any:
        scores = _scores(x, weights, intercepts)
        return classes[scores.argmax(-1)], transform(scores)

    return run
