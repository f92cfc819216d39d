"""The layers in a graph: recurrent nodes, look-ups in tables and products with matrices, as ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn.interop.onnx.indexing import check_indices
from fastrnn.interop.onnx.recurrent import RECURRENT, WEIGHTS, RecurrentNode
from fastrnn.layers import Embedding, Linear

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node
    from fastrnn.interop.onnx.operator_table import Operator
    from fastrnn.layers import Module

__all__ = ["FoundLayers", "NamedStep", "Scope"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_ACTIVATIONS = frozenset({"Tanh", "Sigmoid", "Relu", "HardSigmoid", "Softmax", "LogSoftmax"})


class NamedStep(NamedTuple):
    """A function, with the node that it is and the names of what it reads and writes."""

    node: Node
    function: Operator
    reads: list[str]
    writes: tuple[str, ...]


@dataclass
class Scope:
    """What is known of the graph around a node.

    Attributes
    ----------
    constants : mapping of str to ndarray
        Values known before the first run.
    uses : Counter of str
        How often each value is read.
    readers : mapping of str to Node
        A node that reads the value.
    zeros : set of str
        Values that are zero, whatever their shape.
    merged : set of int
        The ids of nodes that are part of the layer of another one.
    """

    constants: Mapping[str, Array]
    uses: Counter[str]
    readers: Mapping[str, Node]
    zeros: set[str] = field(default_factory=set)
    merged: set[int] = field(default_factory=set)


class FoundLayers:
    """Finds the layers of a model's nodes.

    Attributes
    ----------
    layers : dict of str to Module
        By the names of their weights without ".weight" and ".bias", or else of their nodes.
    order : list of (str, Module or str)
        Names and layers in the order in which they run, with repetitions, and activations: their operators.
    notes : list of str
    """

    def __init__(self) -> None:
        self.layers: dict[str, Module] = {}
        self.order: list[tuple[str, Module | str]] = []
        self.notes: list[str] = []
        self._known: dict[tuple[Any, ...], str] = {}

    def step(self, node: Node, scope: Scope) -> NamedStep | None:
        """Return what runs a node with a layer; None if it is no layer.

        Raises
        ------
        ValueError, TypeError
            If the node contradicts itself.
        """
        if node.domain:
            return None
        if node.op in RECURRENT:
            return self._recurrent(node, scope)
        if node.op in _ACTIVATIONS:
            self.order.append((node.name or node.outputs[0], node.op))
        find = {"Gather": self._embedding, "Gemm": self._gemm, "MatMul": self._matmul}.get(node.op)
        return find(node, scope) if find and len(node.inputs) > 1 else None

    def _recurrent(self, node: Node, scope: Scope) -> NamedStep:
        own = RecurrentNode(node)
        names = [*node.inputs, *[""] * (8 - len(node.inputs))]
        places = {name: names[place] for name, place in WEIGHTS.items() if names[place]}
        if not {"W", "R"} <= places.keys() or not names[0]:
            raise ValueError("expected the inputs X, W and R")
        if own.reasons:
            self.notes.append(f"{node.label} runs in NumPy because of {', '.join(own.reasons)}")
        recurrent = scope.constants.get(places["R"])
        for name, first in zip(("initial_h", "initial_c"), names[5:7], strict=True):
            state = scope.constants.get(first)
            if state is not None and recurrent is not None and state.shape[-1:] != recurrent.shape[-1:]:
                raise ValueError(f"{name}: expected H {recurrent.shape[-1]}, got {list(state.shape)}")
        states = ["" if name in scope.zeros else name for name in names[5:7]]  # zero is the default
        rest = [names[0], names[4], *states]
        if all(name in scope.constants for name in places.values()):
            parts = own.bind({name: scope.constants[place] for name, place in places.items()})
            for part in parts:
                if part.layer is not None:
                    self._add(node, part.layer, "" if len(parts) == 1 else _suffix(part.layer))
            return NamedStep(node, partial(own.run, parts), rest, node.outputs)
        keys = list(places)

        def bound(x: Array, lengths: Any, h: Any, c: Any, *weights: Array) -> Any:
            return own.run(own.bind(dict(zip(keys, weights, strict=True))), x, lengths, h, c)

        return NamedStep(node, bound, [*rest, *places.values()], node.outputs)

    def _embedding(self, node: Node, scope: Scope) -> NamedStep | None:
        name, ids = node.inputs[:2]
        table = scope.constants.get(name)
        if table is None or table.ndim != 2 or table.dtype not in _FLOATS or not table.size:
            return None
        if node.integer("axis", 0) not in (0, -2) or ids in scope.constants or not ids:
            return None
        key = ("Embedding", name)
        if key not in self._known:
            layer = Embedding(*table.shape, dtype=table.dtype, seed=0)
            layer.parameters["weight"] = table
            self._known[key] = self._add(node, layer, names=(name,))
        else:
            layer = self._again(key)

        def look_up(ids: Array) -> Any:
            check_indices(ids)
            return layer.parameters["weight"].take(ids, 0)

        return NamedStep(node, look_up, [ids], node.outputs)

    def _gemm(self, node: Node, scope: Scope) -> NamedStep | None:
        x, name, third = (*node.inputs, "")[:3]
        weight = scope.constants.get(name)
        if weight is None or weight.ndim != 2 or x in scope.constants:
            return None
        if third and third not in scope.constants:
            return None
        if node.integer("transA", 0) or node.number("alpha", 1.0) != 1 or node.number("beta", 1.0) != 1:
            return None
        turned = not node.integer("transB", 0)
        width = weight.shape[1] if turned else weight.shape[0]
        bias = scope.constants[third] if third else None
        if bias is not None:
            if bias.shape not in ((), (1,), (1, 1), (width,), (1, width)):
                return None
            bias = np.broadcast_to(bias.reshape(-1), (width,))
        function = self._linear(node, (name, third), weight.T if turned else weight, bias)
        if function is None:
            return None

        def run(rows: Array) -> Any:
            if rows.ndim != 2:
                raise ValueError(f"A: expected a matrix, got {list(rows.shape)}")
            return function(rows)

        return NamedStep(node, run, [x], node.outputs)

    def _matmul(self, node: Node, scope: Scope) -> NamedStep | None:
        x, name = node.inputs[:2]
        weight = scope.constants.get(name)
        if weight is None or x in scope.constants or weight.ndim != 2:
            return None
        bias, other, outputs, product = None, "", node.outputs, node.outputs[0]
        after = scope.readers.get(product) if scope.uses[product] == 1 else None
        if after is not None and (after.domain, after.op) == ("", "Add") and after.opset >= 7:
            second = next((one for one in after.inputs if one != product), "")
            if second in scope.constants and scope.constants[second].shape == weight.shape[1:]:
                bias, other, outputs = scope.constants[second], second, after.outputs
        function = self._linear(node, (name, other), weight.T, bias)
        if function is None:
            return None
        if other and after is not None:
            scope.merged.add(id(after))
        return NamedStep(node, function, [x], outputs)

    def _linear(
        self, node: Node, names: tuple[str, str], weight: Array, bias: Array | None
    ) -> Operator | None:
        """Return the Linear of a weight [F, K]; None if it cannot be one."""
        if (
            weight.dtype not in _FLOATS
            or not weight.size
            or (bias is not None and bias.dtype != weight.dtype)
        ):
            return None
        key = ("Linear", *names, weight.shape)
        if key in self._known:
            return self._again(key)  # type: ignore[no-any-return]
        layer = Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=weight.dtype, seed=0)
        layer.parameters["weight"] = weight
        if bias is not None:
            layer.parameters["bias"] = bias
        self._known[key] = self._add(node, layer, names=names)
        return layer

    def _again(self, key: tuple[Any, ...]) -> Any:
        """Return a layer that another node has already."""
        name = self._known[key]
        self.order.append((name, self.layers[name]))
        return self.layers[name]

    def _add(self, node: Node, layer: Module, suffix: str = "", names: tuple[str, ...] = ()) -> str:
        """Enter a layer under a name of its own, and return the name."""
        named = [one[: -len(end)] for one in names for end in (".weight", ".bias") if one.endswith(end)]
        name = next(filter(None, [*named, node.name, *node.outputs]), node.op) + suffix
        key, count = name, 1
        while key in self.layers:
            count += 1
            key = f"{name}#{count}"
        self.layers[key] = layer
        self.order.append((key, layer))
        return key


def _suffix(layer: Any) -> str:
    return "_reverse" if layer.options.reverse else "_forward"
