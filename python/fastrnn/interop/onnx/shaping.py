"""Operators that change shapes, join, cut and make arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.graph import as_constant
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


@operator("Constant")
def _constant(node: Node) -> Operator:
    names = [name for name in node.attributes if name.startswith("value")]
    if len(names) != 1:
        raise ValueError(f"expected one value, got {', '.join(names) or 'none'}")
    value = node.attributes[names[0]]
    if isinstance(value, str) or names[0] in ("value_string", "value_strings", "sparse_value"):
        raise TypeError(f"{names[0]}: cannot use it")
    array = as_constant(value)
    return lambda: array


@operator("ConstantOfShape")
def _constant_of_shape(node: Node) -> Operator:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise ValueError("value: expected a tensor of one element")

    def run(shape: Array) -> Any:
        sizes = int_list("shape", shape) or []
        check_room(sizes, value.dtype)
        return np.full(sizes, value.reshape(()), value.dtype)

    return run


@operator("Shape")
def _shape(node: Node) -> Operator:
    start, end = node.integer("start", 0), node.integer("end")
    return lambda x: np.array(x.shape[start:end], np.int64)


@operator("Size")
def _size(node: Node) -> Operator:
    return lambda x: np.array(x.size, np.int64)


@operator("Range")
def _range(node: Node) -> Operator:
    def run(start: Array, limit: Array, delta: Array) -> Any:
        same_dtype(start, limit, delta)
        first, last, step = (one.reshape(-1)[0].item() for one in (start, limit, delta))
        count = max(0, int(np.ceil((last - first) / step)))
        check_room((count,), np.int64)
        return (first + step * np.arange(count, dtype=start.dtype)).astype(start.dtype, copy=False)

    return run


@operator("Reshape")
def _reshape(node: Node) -> Operator:
    own, keep_zero = node.integers("shape"), node.integer("allowzero", 0)

    def run(x: Array, shape: Array | None = None) -> Any:
        wanted = int_list("shape", shape) if shape is not None else own
        if wanted is None:
            raise ValueError("shape: missing")
        if not keep_zero and 0 in wanted:
            wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
        return x.reshape(wanted)

    return run


@operator("Flatten")
def _flatten(node: Node) -> Operator:
    axis = node.integer("axis", 1)

    def run(x: Array) -> Any:
        first = axis if 0 <= axis <= x.ndim else normal_axis(axis, x.ndim)
        return (
            x.reshape(int(np.prod(x.shape[:first], dtype=np.int64)), -1)
            if x.size
            else x.reshape(
                int(np.prod(x.shape[:first], dtype=np.int64)), int(np.prod(x.shape[first:], dtype=np.int64))
            )
        )

    return run


@operator("Squeeze")
def _squeeze(node: Node) -> Operator:
    own = node.integers("axes")

    def run(x: Array, axes: Array | None = None) -> Any:
        wanted = int_list("axes", axes) if axes is not None else own
        return x.squeeze() if wanted is None else x.squeeze(tuple(wanted))

    return run


@operator("Unsqueeze")
def _unsqueeze(node: Node) -> Operator:
    own = node.integers("axes")

    def run(x: Array, axes: Array | None = None) -> Any:
        wanted = int_list("axes", axes) if axes is not None else own
        if wanted is None:
            raise ValueError("axes: missing")
        return np.expand_dims(x, tuple(wanted))

    return run


@operator("Transpose")
def _transpose(node: Node) -> Operator:
    order = node.integers("perm")
    return lambda x: x.transpose(order)


@operator("Concat")
def _concat(node: Node) -> Operator:
    axis = node.integer("axis", 1 if node.opset < 4 else None)
    if axis is None:
        raise ValueError("axis: missing")

    def run(*arrays: Array) -> Any:
        same_dtype(*arrays)
        check_room((sum(one.size for one in arrays),), arrays[0].dtype)
        return np.concatenate(arrays, normal_axis(axis, arrays[0].ndim))

    return run


@operator("Split")
def _split(node: Node) -> Operator:
    axis, own, count = node.integer("axis", 0), node.integers("split"), len(node.outputs)

    def run(x: Array, split: Array | None = None) -> Any:
        where = normal_axis(axis, x.ndim)
        sizes = int_list("split", split) if split is not None else own
        if sizes is None:
            each = -(-x.shape[where] // count)
            sizes = [min(each, max(0, x.shape[where] - each * index)) for index in range(count)]
        if len(sizes) != count or sum(sizes) != x.shape[where] or min(sizes) < 0:
            raise ValueError(f"split: expected {count} sizes whose sum is {x.shape[where]}, got {sizes}")
        parts = np.split(x, np.cumsum(sizes)[:-1], where)
        return tuple(parts) if count > 1 else parts[0]

    return run


@operator("Slice")
def _slice(node: Node) -> Operator:
    attributes = [node.integers(name) for name in ("starts", "ends", "axes")]

    def run(x: Array, *given: Array | None) -> Any:
        lists = [int_list("starts, ends, axes or steps", one) for one in given] if given else attributes
        starts, ends, axes, steps = [*lists, None, None][:4]
        if starts is None or ends is None:
            raise ValueError("starts, ends: missing")
        axes = list(range(len(starts))) if axes is None else axes
        cuts = [slice(None)] * x.ndim
        for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
            size = x.shape[normal_axis(axis, x.ndim)]
            if step < 0 and end < -size:
                end = None  # past the first element
            cuts[axis] = slice(start, end, step)
        return x[tuple(cuts)]

    return run


@operator("Expand")
def _expand(node: Node) -> Operator:
    def run(x: Array, shape: Array) -> Any:
        sizes = np.broadcast_shapes(x.shape, tuple(int_list("shape", shape) or []))
        check_room(sizes, x.dtype)
        return np.broadcast_to(x, sizes)

    return run


@operator("Tile")
def _tile(node: Node) -> Operator:
    def run(x: Array, repeats: Array) -> Any:
        counts = int_list("repeats", repeats) or []
        if len(counts) != x.ndim or min(counts, default=0) < 0:
            raise ValueError(f"repeats: expected {x.ndim} numbers of at least 0, got {counts}")
        check_room([size * count for size, count in zip(x.shape, counts, strict=True)], x.dtype)
        return np.tile(x, counts)

    return run


@operator("Pad")
def _pad(node: Node) -> Operator:
    mode, own = node.text("mode", "constant"), node.integers("pads", node.integers("paddings"))
    number = node.number("value", 0.0)
    modes = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if mode not in modes:
        raise ValueError(f"mode: expected one of {', '.join(modes)}, got {mode!r}")

    def run(
        x: Array, pads: Array | None = None, value: Array | None = None, axes: Array | None = None
    ) -> Any:
        sizes = (int_list("pads", pads) if pads is not None else own) or []
        places = [normal_axis(one, x.ndim) for one in int_list("axes", axes) or range(x.ndim)]
        if len(sizes) != 2 * len(places):
            raise ValueError(f"pads: expected {2 * len(places)} numbers, got {len(sizes)}")
        widths, cuts = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
        for axis, before, after in zip(places, sizes, sizes[len(places) :], strict=False):
            widths[axis] = (max(0, before), max(0, after))
            cuts[axis] = slice(max(0, -before), x.shape[axis] - max(0, -after))
        check_room([size + sum(width) for size, width in zip(x.shape, widths, strict=True)], x.dtype)
        cut = x[tuple(cuts)]
        if mode != "constant":
            return np.pad(cut, widths, mode=modes[mode])  # type: ignore[call-overload]
        filler = x.dtype.type(number) if value is None or not value.size else value.reshape(-1)[0]
        return np.pad(cut, widths, constant_values=filler)

    return run


@operator("ReverseSequence")
def _reverse_sequence(node: Node) -> Operator:
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    if {time, batch} != {0, 1}:
        raise ValueError(f"expected a time_axis and a batch_axis of 0 and 1, got {time} and {batch}")

    def run(x: Array, lengths: Array) -> Any:
        rows = x.swapaxes(0, 1) if time == 0 else x
        N, T = rows.shape[:2]
        if lengths.shape != (N,) or lengths.dtype.kind not in "iu":
            raise ValueError(f"sequence_lens: expected [{N}] integers, got {list(lengths.shape)}")
        steps = np.broadcast_to(np.arange(T), (N, T))
        reversed_ = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
        result = rows[np.arange(N)[:, None], reversed_]
        return result.swapaxes(0, 1) if time == 0 else result

    return run


@operator("Trilu")
def _trilu(node: Node) -> Operator:
    function = np.triu if node.integer("upper", 1) else np.tril
    return lambda x, k=None: function(x, 0 if k is None else int(k.reshape(-1)[0]))
