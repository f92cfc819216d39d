"""Operators that work element by element: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.operator_table import Operator, check_room, operator, same_dtype
from fastrnn.interop.onnx.tensors import DTYPES, dtype_name

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node

__all__ = ["cast", "sigmoid"]


def sigmoid(x: Array) -> Array:
    """Compute 1 / (1 + exp(-x)); exp may overflow to infinity."""
    return np.reciprocal(1 + np.exp(-x))  # type: ignore[no-any-return]


def _floats(function: Callable[[Array], Any]) -> Callable[[Array], Any]:
    def checked(x: Array) -> Any:
        if x.dtype.kind != "f":
            raise TypeError(f"expected floats, got {x.dtype}")
        return function(x)

    return checked


def _divide(a: Array, b: Array) -> Any:
    if a.dtype.kind == "f":
        return a / b
    if a.dtype.kind == "b":
        raise TypeError("expected numbers, got bool")
    quotient = np.floor_divide(a, b)
    return quotient + ((quotient * b != a) & ((a < 0) != (b < 0)) & (b != 0)).astype(a.dtype)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Equal": np.equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}


def _broadcast(a: Array, b: Array) -> None:
    """Check that two arrays can be combined, and that the result has room."""
    if a.dtype != b.dtype:
        same_dtype(a, b)
    if a.shape != b.shape and a.size * b.size > 1 << 18:
        check_room(np.broadcast_shapes(a.shape, b.shape), a.dtype)


@operator(*_BINARY)
def _binary(node: Node) -> Operator:
    function, logical = _BINARY[node.op], node.op in ("And", "Or", "Xor")
    # Before version 7, b's axes lie at `axis` of a's.
    axis = node.integer("axis") if node.opset < 7 else None

    def run(a: Array, b: Array) -> Any:
        if axis is not None and b.ndim < a.ndim:
            b = b.reshape(b.shape + (1,) * (a.ndim - axis % a.ndim - b.ndim))
        _broadcast(a, b)
        if logical and a.dtype != np.bool_:
            raise TypeError(f"expected bool, got {a.dtype}")
        return function(a, b)

    return run


@operator("Pow")
def _pow(node: Node) -> Operator:
    def run(a: Array, b: Array) -> Any:
        if a.shape != b.shape:
            check_room(np.broadcast_shapes(a.shape, b.shape), a.dtype)
        return np.power(a, b).astype(a.dtype, copy=False)

    return run


@operator("Mod")
def _mod(node: Node) -> Operator:
    function = np.fmod if node.integer("fmod", 0) else np.mod

    def run(a: Array, b: Array) -> Any:
        _broadcast(a, b)
        return function(a, b)

    return run


_MANY: dict[str, Callable[[Any, Any], Any]] = {
    "Min": np.minimum,
    "Max": np.maximum,
    "Sum": np.add,
    "Mean": np.add,
}


@operator(*_MANY)
def _many(node: Node) -> Operator:
    function, mean = _MANY[node.op], node.op == "Mean"

    def run(first: Array, *others: Array) -> Any:
        result = first
        for other in others:
            _broadcast(result, other)
            result = function(result, other)
        return (result / result.dtype.type(1 + len(others))).astype(result.dtype) if mean else result

    return run


def _erf(x: Array) -> Array:
    return np.fromiter(map(math.erf, x.reshape(-1).tolist()), x.dtype, x.size).reshape(x.shape)


_UNARY: dict[str, Callable[[Any], Any]] = {
    "Sigmoid": _floats(sigmoid),
    "Tanh": _floats(np.tanh),
    "Relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "Sqrt": _floats(np.sqrt),
    "Exp": _floats(np.exp),
    "Log": _floats(np.log),
    "Sin": _floats(np.sin),
    "Cos": _floats(np.cos),
    "Erf": _floats(_erf),
    "Floor": _floats(np.floor),
    "Ceil": _floats(np.ceil),
    "Round": _floats(np.rint),
    "Reciprocal": _floats(np.reciprocal),
    "Softsign": _floats(lambda x: x / (1 + np.abs(x))),
    "Softplus": _floats(lambda x: np.logaddexp(x, x.dtype.type(0))),
    "Neg": lambda x: -x,
    "Abs": np.abs,
    "Sign": np.sign,
    "Not": np.logical_not,
    "IsNaN": np.isnan,
    "Identity": lambda x: x,
}


@operator(*_UNARY)
def _unary(node: Node) -> Operator:
    return _UNARY[node.op]


@operator("LeakyRelu", "Elu", "ThresholdedRelu", "HardSigmoid", "Selu", "Celu")
def _with_numbers(node: Node) -> Operator:
    defaults = {"LeakyRelu": 0.01, "HardSigmoid": 0.2, "Selu": 1.6732632423543772}
    alpha = node.number("alpha", defaults.get(node.op, 1.0))
    beta, gamma = node.number("beta", 0.5), node.number("gamma", 1.0507009873554805)
    functions: dict[str, Callable[[Any, Any], Any]] = {
        "LeakyRelu": lambda x, of: np.where(x >= 0, x, x * of(alpha)),
        "Elu": lambda x, of: np.where(x >= 0, x, of(alpha) * np.expm1(x)),
        "ThresholdedRelu": lambda x, of: np.where(x > of(alpha), x, of(0)),
        "HardSigmoid": lambda x, of: np.clip(of(alpha) * x + of(beta), of(0), of(1)),
        "Selu": lambda x, of: of(gamma) * np.where(x > 0, x, of(alpha) * np.expm1(x)),
        "Celu": lambda x, of: np.maximum(x, 0) + np.minimum(of(alpha) * np.expm1(x / of(alpha)), of(0)),
    }
    function = functions[node.op]
    return _floats(lambda x: function(x, x.dtype.type))


@operator("PRelu")
def _prelu(node: Node) -> Operator:
    def run(x: Array, slope: Array) -> Any:
        _broadcast(x, slope)
        return np.where(x >= 0, x, x * slope)

    return run


@operator("Gelu")
def _gelu(node: Node) -> Operator:
    if node.text("approximate", "none") == "tanh":
        return _floats(lambda x: _half_of(x, np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))))
    return _floats(lambda x: _half_of(x, _erf(x * x.dtype.type(math.sqrt(0.5)))))


def _half_of(x: Array, part: Array) -> Array:
    result: Array = (x * (1 + part) / 2).astype(x.dtype, copy=False)
    return result


@operator("Clip")
def _clip(node: Node) -> Operator:
    low, high = node.number("min"), node.number("max")

    def run(x: Array, least: Array | None = None, most: Array | None = None) -> Any:
        for bound in (least, most):
            if bound is not None:
                same_dtype(x, bound)
        bounds = [
            x.dtype.type(own) if given is None and own is not None else given
            for given, own in ((least, low), (most, high))
        ]
        x = x if bounds[0] is None else np.maximum(x, bounds[0])
        return x if bounds[1] is None else np.minimum(x, bounds[1])

    return run


@operator("Where")
def _where(node: Node) -> Operator:
    def run(condition: Array, a: Array, b: Array) -> Any:
        same_dtype(a, b)
        if condition.dtype != np.bool_:
            raise TypeError(f"expected a condition of bool, got {condition.dtype}")
        check_room(np.broadcast_shapes(condition.shape, a.shape, b.shape), a.dtype)
        return np.where(condition, a, b)

    return run


def cast(code: Any) -> Operator:
    """Return the function that converts to one of ONNX's types.

    Raises
    ------
    TypeError
        If arrays cannot have it.
    """
    if isinstance(code, str):  # before version 6
        names = {dtype_name(one).replace("float32", "float"): one for one in (*DTYPES,)}
        code = names.get(code.lower().replace("float32", "float"), -1)
    if code not in DTYPES:
        raise TypeError(f"to: cannot convert to {dtype_name(code) if code is not None else 'nothing'}")
    dtype = DTYPES[code]
    return lambda x: x.astype(dtype, copy=False)


@operator("Cast")
def _cast(node: Node) -> Operator:
    return cast(node.attributes.get("to"))


@operator("CastLike")
def _cast_like(node: Node) -> Operator:
    return lambda x, like: x.astype(like.dtype, copy=False)


@operator("Dropout")
def _dropout(node: Node) -> Operator:
    if node.opset < 7 and not node.integer("is_test", 0):
        raise ValueError("it drops elements at random: export the model for inference")
    mask = len(node.outputs) > 1 and node.outputs[1]

    def run(x: Array, ratio: Array | None = None, training: Array | None = None) -> Any:
        if training is not None and training.any() and (ratio is None or ratio.any()):
            raise ValueError("it drops elements at random: export the model for inference")
        return (x, np.ones(x.shape, np.bool_)) if mask else x

    return run
