"""Operators that pick elements by index, and sort."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.operator_table import Operator, check_room, normal_axis, operator, same_dtype

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node

__all__ = ["check_indices"]


def check_indices(indices: Array) -> None:
    """Refuse indices that are no integers.

    Raises
    ------
    TypeError
    """
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices: expected integers, got {indices.dtype}")


@operator("Gather")
def _gather(node: Node) -> Operator:
    axis = node.integer("axis", 0)

    def run(data: Array, indices: Array) -> Any:
        check_indices(indices)
        where = normal_axis(axis, data.ndim)
        check_room((*data.shape[:where], *indices.shape, *data.shape[where + 1 :]), data.dtype)
        return data.take(indices, where)

    return run


@operator("ArrayFeatureExtractor", domain="ai.onnx.ml")
def _features(node: Node) -> Operator:
    def run(data: Array, indices: Array) -> Any:
        check_indices(indices)
        result = data.take(indices.reshape(-1), -1)
        return result.reshape(1, -1) if data.ndim == 1 else result

    return run


@operator("GatherElements")
def _gather_elements(node: Node) -> Operator:
    axis = node.integer("axis", 0)

    def run(data: Array, indices: Array) -> Any:
        check_indices(indices)
        where = normal_axis(axis, data.ndim)
        size = data.shape[where]
        if indices.size and not (-size <= indices.min() and indices.max() < size):
            raise ValueError(f"indices: expected {-size} to {size - 1}")
        cut = tuple(slice(None if place == where else n) for place, n in enumerate(indices.shape))
        return np.take_along_axis(data[cut], indices % max(size, 1), where)

    return run


@operator("GatherND")
def _gather_nd(node: Node) -> Operator:
    batch = node.integer("batch_dims", 0)

    def run(data: Array, indices: Array) -> Any:
        check_indices(indices)
        if not 0 <= batch < min(data.ndim, indices.ndim):
            raise ValueError(f"batch_dims: expected less than {min(data.ndim, indices.ndim)}, got {batch}")
        width = indices.shape[-1]
        shape = (*indices.shape[:-1], *data.shape[batch + width :])
        check_room(shape, data.dtype)
        grid = [
            axis.reshape(axis.shape + (1,) * (indices.ndim - 1 - batch))
            for axis in np.indices(indices.shape[:batch])
        ]
        return data[(*grid, *np.moveaxis(indices, -1, 0))]

    return run


def _scattered(node: Node) -> Callable[[Array, Any, Array], Array]:
    """Return a function that puts updates into a copy of an array."""
    how = {"none": None, "add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}
    name = node.text("reduction", "none")
    if name not in how:
        raise ValueError(f"reduction: expected one of {', '.join(how)}, got {name!r}")
    function = how[name]

    def scatter(data: Array, where: Any, updates: Array) -> Array:
        same_dtype(data, updates)
        result = data.copy()
        if function is None:
            result[where] = updates
        else:
            function.at(result, where, updates)
        return result

    return scatter


@operator("ScatterND")
def _scatter_nd(node: Node) -> Operator:
    scatter = _scattered(node)

    def run(data: Array, indices: Array, updates: Array) -> Any:
        check_indices(indices)
        return scatter(data, tuple(np.moveaxis(indices, -1, 0)), updates)

    return run


@operator("ScatterElements", "Scatter")
def _scatter_elements(node: Node) -> Operator:
    axis, scatter = node.integer("axis", 0), _scattered(node)

    def run(data: Array, indices: Array, updates: Array) -> Any:
        check_indices(indices)
        where = normal_axis(axis, data.ndim)
        grid: list[Any] = list(np.indices(indices.shape, sparse=True))
        grid[where] = indices
        return scatter(data, tuple(grid), updates)

    return run


@operator("OneHot")
def _one_hot(node: Node) -> Operator:
    axis = node.integer("axis", -1)

    def run(indices: Array, depth: Array, values: Array) -> Any:
        count = int(depth.reshape(-1)[0])
        off, on = values.reshape(-1)
        where = normal_axis(axis, indices.ndim + 1)
        check_room((*indices.shape, count), values.dtype)
        ids = np.expand_dims(np.where(indices < 0, indices + count, indices), where)
        grid = np.arange(count).reshape((count,) + (1,) * (indices.ndim - where))
        return np.where(ids == grid, on, off)

    return run


@operator("ArgMax", "ArgMin")
def _arg(node: Node) -> Operator:
    largest, axis, keep = node.op == "ArgMax", node.integer("axis", 0), node.integer("keepdims", 1)
    last = node.integer("select_last_index", 0)

    def run(x: Array) -> Any:
        where = normal_axis(axis, x.ndim)
        array = np.flip(x, where) if last else x
        found = (np.argmax if largest else np.argmin)(array, where)
        found = x.shape[where] - 1 - found if last else found
        return np.expand_dims(found, where) if keep else np.asarray(found)

    return run


@operator("TopK")
def _top_k(node: Node) -> Operator:
    own, axis, largest = node.integer("k"), node.integer("axis", -1), node.integer("largest", 1)

    def run(x: Array, k: Array | None = None) -> Any:
        count = own if k is None else int(k.reshape(-1)[0])
        where = normal_axis(axis, x.ndim)
        if count is None or not 0 <= count <= x.shape[where]:
            raise ValueError(f"k: expected 0 to {x.shape[where]}, got {count}")
        if largest:  # of equal elements the first one comes first
            order = x.shape[where] - 1 - np.flip(np.argsort(np.flip(x, where), where, kind="stable"), where)
        else:
            order = np.argsort(x, where, kind="stable")
        chosen = order.take(np.arange(count), where)
        return np.take_along_axis(x, chosen, where), chosen

    return run


@operator("NonZero")
def _non_zero(node: Node) -> Operator:
    return lambda x: np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)


@operator("CumSum")
def _cum_sum(node: Node) -> Operator:
    exclusive, backwards = node.integer("exclusive", 0), node.integer("reverse", 0)

    def run(x: Array, axis: Array) -> Any:
        where = normal_axis(int(axis.reshape(-1)[0]), x.ndim)
        array = np.flip(x, where) if backwards else x
        sums = np.cumsum(array, where, dtype=x.dtype)
        sums = sums - array if exclusive else sums
        return np.flip(sums, where) if backwards else sums

    return run
