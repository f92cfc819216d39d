"""The operators with graphs inside: If, Loop and Scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.graph import Graph
from fastrnn.interop.onnx.operator_table import Operator, check_room, normal_axis
from fastrnn.interop.onnx.tensors import dtype_of_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node, Value
    from fastrnn.interop.onnx.plan import Plan

__all__ = ["CONTROL", "captured_names", "make"]

CONTROL = frozenset({"If", "Loop", "Scan"})
_UNBOUNDED = np.iinfo(np.int64).max


def captured_names(node: Node) -> list[str]:
    """Return the names of the values around a node that its graphs read."""
    graphs = [value for value in node.attributes.values() if isinstance(value, Graph)]
    return list(dict.fromkeys(name for graph in graphs for name in graph.free_names()))


def make(node: Node, constants: Mapping[str, Array], plan: Callable[[Graph], Plan]) -> Operator:
    """Return the function of a node; it takes the node's inputs, then the captured values.

    Parameters
    ----------
    node : Node
    constants : mapping of str to ndarray
        Values known before the first run.
    plan : callable
        Makes the plan of a graph, whose inputs are followed by the captured values.
    """
    if node.op == "If":
        return _if(node, constants, plan)
    return _loop(node, plan) if node.op == "Loop" else _scan(node, plan)


def _if(node: Node, constants: Mapping[str, Array], plan: Callable[[Graph], Plan]) -> Operator:
    known = constants.get(node.inputs[0]) if node.inputs else None
    names = {True: "then_branch", False: "else_branch"}
    branches = {
        value: plan(node.graph(name))
        for value, name in names.items()
        if known is None or _truth(known) is value
    }

    def run(condition: Array, *captured: Array) -> Any:
        return tuple(branches[_truth(condition)].run(captured))

    return run


def _truth(condition: Array) -> bool:
    if condition.dtype != np.bool_ or condition.size != 1:
        raise TypeError(f"expected a condition of one bool, got {condition.dtype} {list(condition.shape)}")
    return bool(condition.reshape(-1)[0])


class _Outputs:
    """Collects one output of every step, to be stacked."""

    def __init__(self, value: Value) -> None:
        self._value, self._parts, self._checked = value, [], 8  # type: Value, list[Array], int

    def append(self, part: Array) -> None:
        self._parts.append(part)
        if len(self._parts) == self._checked:  # what is there already, and as much again
            self._checked *= 2
            check_room((self._checked, *part.shape), part.dtype)

    def stacked(self, axis: int = 0, backwards: bool = False) -> Array:
        if not self._parts:
            sizes = [size if isinstance(size, int) else 0 for size in self._value.shape or ()]
            return np.zeros((0, *sizes), dtype_of_name(self._value.dtype))
        parts = self._parts[::-1] if backwards else self._parts
        return np.stack(parts, normal_axis(axis, parts[0].ndim + 1))


def _loop(node: Node, plan: Callable[[Graph], Plan]) -> Operator:
    body = node.graph("body")
    inner, carried = plan(body), len(node.inputs) - 2
    if len(body.inputs) != 2 + carried or len(body.outputs) < 1 + carried:
        raise ValueError(
            f"body: expected {2 + carried} inputs and at least {1 + carried} outputs, "
            f"got {len(body.inputs)} and {len(body.outputs)}"
        )

    def run(trips: Array | None, condition: Array | None, *arrays: Array) -> Any:
        most = _UNBOUNDED if trips is None else int(trips.reshape(-1)[0])
        going = condition is None or _truth(condition)
        state, captured = list(arrays[:carried]), arrays[carried:]
        collected = [_Outputs(value) for value in body.outputs[1 + carried :]]
        count = 0
        while going and count < most:
            flag, *results = inner.run([np.array(count, np.int64), np.array(True), *state, *captured])
            going, state = _truth(flag), results[:carried]
            for outputs, part in zip(collected, results[carried:], strict=True):
                outputs.append(part)
            count += 1
        return (*state, *(outputs.stacked() for outputs in collected))

    return run


def _scan(node: Node, plan: Callable[[Graph], Plan]) -> Operator:
    if node.opset < 9:
        raise ValueError(f"expected version 9 or later of the operators, got {node.opset}")
    body, count = node.graph("body"), node.integer("num_scan_inputs", 0)
    states = len(node.inputs) - count
    inner, made = plan(body), len(body.outputs) - states
    if not 1 <= count <= len(node.inputs) or len(body.inputs) != len(node.inputs) or made < 0:
        raise ValueError(f"body: expected {len(node.inputs)} inputs, {count} of them scanned")
    axes = node.integers("scan_input_axes") or [0] * count
    backwards = node.integers("scan_input_directions") or [0] * count
    out_axes = node.integers("scan_output_axes") or [0] * made
    out_backwards = node.integers("scan_output_directions") or [0] * made
    if {len(axes), len(backwards)} != {count} or {len(out_axes), len(out_backwards)} - {made}:
        raise ValueError("expected one axis and one direction for each scanned input and output")

    def run(*arrays: Array) -> Any:
        state, scanned = list(arrays[:states]), arrays[states : states + count]
        captured = arrays[states + count :]
        moved = [
            np.moveaxis(one, normal_axis(axis, one.ndim), 0) for one, axis in zip(scanned, axes, strict=True)
        ]
        if len({len(one) for one in moved}) > 1:
            raise ValueError(f"expected inputs of one length, got {[len(one) for one in moved]}")
        collected = [_Outputs(value) for value in body.outputs[states:]]
        for step in range(len(moved[0])):
            now = [one[-1 - step if back else step] for one, back in zip(moved, backwards, strict=True)]
            results = inner.run([*state, *map(np.asarray, now), *captured])
            state = results[:states]
            for outputs, part in zip(collected, results[states:], strict=True):
                outputs.append(part)
        stacked = [
            outputs.stacked(axis, bool(back))
            for outputs, axis, back in zip(collected, out_axes, out_backwards, strict=True)
        ]
        return (*state, *stacked)

    return run
