"""Operators that sum over axes: products of matrices, reductions, softmax, normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.operator_table import (
    Operator,
    check_room,
    int_list,
    normal_axis,
    operator,
    same_dtype,
)

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node


@operator("MatMul")
def _matmul(node: Node) -> Operator:
    def run(a: Array, b: Array) -> Any:
        same_dtype(a, b)
        if a.ndim and b.ndim:
            rest = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            check_room((*rest, *a.shape[-2:-1], *b.shape[-1:]), a.dtype)
        return np.matmul(a, b)

    return run


@operator("Gemm")
def _gemm(node: Node) -> Operator:
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    turned = bool(node.integer("transA", 0)), bool(node.integer("transB", 0))

    def run(a: Array, b: Array, c: Array | None = None) -> Any:
        same_dtype(a, b)
        if (a.ndim, b.ndim) != (2, 2):
            raise ValueError(f"expected matrices, got {list(a.shape)} and {list(b.shape)}")
        a, b = (one.T if turn else one for one, turn in zip((a, b), turned, strict=True))
        check_room((a.shape[0], b.shape[1]), a.dtype)
        product = a @ b
        product = product if alpha == 1 else product * product.dtype.type(alpha)
        if c is None:
            return product
        same_dtype(product, c)
        if np.broadcast_shapes(product.shape, c.shape) != product.shape:
            raise ValueError(f"C: expected a shape that fits {list(product.shape)}, got {list(c.shape)}")
        return product + (c if beta == 1 else c * c.dtype.type(beta))

    return run


@operator("Einsum")
def _einsum(node: Node) -> Operator:
    equation = node.text("equation", "")

    def run(*arrays: Array) -> Any:
        sizes: dict[str, int] = {}
        terms, _, result = equation.replace(" ", "").partition("->")
        if "..." in equation or "->" not in equation:
            raise ValueError(f"equation: expected letters and an arrow, got {equation[:80]!r}")
        for term, array in zip(terms.split(","), arrays, strict=True):
            sizes.update(zip(term, array.shape, strict=True))
        check_room([sizes.get(letter, 1) for letter in result], arrays[0].dtype)
        return np.einsum(equation, *arrays)

    return run


def _mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Return the mean, without NumPy's warning of a mean of nothing."""
    count = np.prod([x.shape[axis] for axis in axes], dtype=x.dtype)
    return np.asarray(x.sum(axes, dtype=x.dtype, keepdims=keepdims) / count)


def _log_sum_exp(x: Array, axis: Any, keepdims: bool) -> Array:
    top = x.max(axis, keepdims=True, initial=-np.inf) if x.size else x.max(axis, keepdims=True, initial=0)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    sums = np.log(np.exp(x - top).sum(axis, keepdims=True)) + top
    return sums if keepdims else sums.squeeze(axis)  # type: ignore[no-any-return]


def _extreme(dtype: np.dtype[Any], *, largest: bool) -> Any:
    """Return the largest or smallest number of a dtype."""
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    if dtype.kind == "b":
        return largest
    limits = np.iinfo(dtype)
    return limits.max if largest else limits.min


_REDUCTIONS: dict[str, Callable[[Array, Any, bool], Any]] = {
    "ReduceSum": lambda x, axis, keep: x.sum(axis, dtype=x.dtype, keepdims=keep),
    "ReduceMean": lambda x, axis, keep: _mean(x, axis, keep),
    "ReduceMax": lambda x, axis, keep: x.max(axis, keepdims=keep, initial=_extreme(x.dtype, largest=False)),
    "ReduceMin": lambda x, axis, keep: x.min(axis, keepdims=keep, initial=_extreme(x.dtype, largest=True)),
    "ReduceProd": lambda x, axis, keep: x.prod(axis, dtype=x.dtype, keepdims=keep),
    "ReduceSumSquare": lambda x, axis, keep: (x * x).sum(axis, dtype=x.dtype, keepdims=keep),
    "ReduceL1": lambda x, axis, keep: np.abs(x).sum(axis, dtype=x.dtype, keepdims=keep),
    "ReduceL2": lambda x, axis, keep: np.sqrt((x * x).sum(axis, dtype=x.dtype, keepdims=keep)),
    "ReduceLogSum": lambda x, axis, keep: np.log(x.sum(axis, keepdims=keep)),
    "ReduceLogSumExp": _log_sum_exp,
}


@operator(*_REDUCTIONS)
def _reduce(node: Node) -> Operator:
    function, own, keep = _REDUCTIONS[node.op], node.integers("axes"), bool(node.integer("keepdims", 1))
    nothing = node.integer("noop_with_empty_axes", 0)

    def run(x: Array, axes: Array | None = None) -> Any:
        wanted = int_list("axes", axes) if axes is not None else own
        if not wanted and nothing:
            return x
        places = tuple(normal_axis(one, x.ndim) for one in wanted) if wanted else tuple(range(x.ndim))
        return np.asarray(function(x, places, keep)).astype(x.dtype, copy=False)

    return run


@operator("Softmax", "LogSoftmax", "Hardmax")
def _softmax(node: Node) -> Operator:
    old = node.opset < 13  # all axes from `axis` on are one
    axis = node.integer("axis", 1 if old else -1)
    logarithm, hard = node.op == "LogSoftmax", node.op == "Hardmax"

    def run(x: Array) -> Any:
        if x.dtype.kind != "f":
            raise TypeError(f"expected floats, got {x.dtype}")
        where = normal_axis(axis, x.ndim)
        if not x.size:
            return x
        rows = x.reshape(*x.shape[:where], -1) if old else x
        place = -1 if old else where
        if hard:
            return (
                (np.indices(rows.shape, sparse=True)[place] == rows.argmax(place, keepdims=True))
                .astype(x.dtype)
                .reshape(x.shape)
            )
        rows = rows - rows.max(place, keepdims=True)
        powers = np.exp(rows)
        total = powers.sum(place, keepdims=True)
        result = rows - np.log(total) if logarithm else powers / total
        return result.reshape(x.shape)

    return run


@operator("LayerNormalization")
def _layer_normalization(node: Node) -> Operator:
    axis, epsilon = node.integer("axis", -1), node.number("epsilon", 1e-5)
    several = len(node.outputs) > 1

    def run(x: Array, scale: Array, bias: Array | None = None) -> Any:
        places = tuple(range(normal_axis(axis, x.ndim), x.ndim))
        mean = _mean(x, places, True)
        centred = x - mean
        inverse = 1 / np.sqrt(_mean(centred * centred, places, True) + x.dtype.type(epsilon))
        result = centred * inverse * scale
        result = result if bias is None else result + bias
        return (result, mean, inverse)[: len(node.outputs)] if several else result

    return run


@operator("BatchNormalization")
def _batch_normalization(node: Node) -> Operator:
    epsilon = node.number("epsilon", 1e-5)
    if node.integer("training_mode", 0) or (node.opset < 7 and not node.integer("is_test", 0)):
        raise ValueError("it is in training mode: export the model for inference")
    if node.integer("spatial", 1) != 1:
        raise ValueError("spatial: expected 1")

    def run(x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Any:
        shape = (-1,) + (1,) * (x.ndim - 2)
        factor = scale / np.sqrt(variance + variance.dtype.type(epsilon))
        return (x - mean.reshape(shape)) * factor.reshape(shape) + bias.reshape(shape)

    return run
