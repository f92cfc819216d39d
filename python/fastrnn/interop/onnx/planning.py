"""From graphs to plans: constants folded, layers found, every other node a function of arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastrnn.interop.onnx import control_flow, elementwise, indexing, shaping, sums
from fastrnn.interop.onnx.graph import Graph, Node, read_names
from fastrnn.interop.onnx.operator_table import OPERATORS, Operator, RoomError, limited_room
from fastrnn.interop.onnx.plan import NodeError, Plan, Slots, Step, errors_of_node
from fastrnn.interop.onnx.recurrent import RECURRENT, WEIGHTS, RecurrentNode
from fastrnn.layers import Embedding, Linear

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.layers import Module

__all__ = ["Planner"]

_NOWHERE = "\0"  # the name of the slot of outputs that are left out
_ = (elementwise, indexing, shaping, sums)  # they enter their operators into the table
#: A function of a node, with the names of what it reads and writes.
NamedStep: TypeAlias = "tuple[Node, Operator, list[str], tuple[str, ...]]"

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Planner:
    """Makes the plan of a graph, and finds its layers.

    Parameters
    ----------
    room : int
        The most bytes that folded constants may take together.
    partial : bool
        Whether to go on after nodes that cannot be run.

    Attributes
    ----------
    layers : dict of str to Module
        By the names of their nodes.
    found : dict of str to Module
        The same by the first output of their nodes.
    lacking : dict of str to str
        Nodes that cannot be run, by label: the reason of each.
    notes : list of str
    """

    def __init__(self, room: int, *, partial: bool = False) -> None:
        self.layers: dict[str, Module] = {}
        self.found: dict[str, Module] = {}
        self.lacking: dict[str, str] = {}
        self.notes: list[str] = []
        self._room, self._partial = room, partial

    def plan(self, graph: Graph, outer: Mapping[str, Array], captured: list[str]) -> Plan:
        """Make the plan of a graph.

        Parameters
        ----------
        graph : Graph
        outer : mapping of str to ndarray
            Constants of the graphs around it.
        captured : list of str
            Names of values that come from around it, after its inputs.

        Raises
        ------
        ValueError, TypeError
            If a node cannot be run; not for one whose operator is unknown, see `lacking`.
        """
        constants = {**outer, **graph.constants}
        for value in graph.inputs:
            constants.pop(value.name, None)
        uses = Counter(name for node in graph.nodes for name in read_names(node))
        uses.update(value.name for value in graph.outputs)
        readers = {name: node for node in graph.nodes for name in node.inputs}
        rest = [node for node in graph.nodes if not self._tried(self._folded, node, constants)]
        slots, merged = Slots(), set()  # type: tuple[Slots, set[int]]
        steps: list[NamedStep] = []
        for node in rest:
            if id(node) not in merged:
                step = self._tried(self._step, node, constants, uses, readers, merged)
                steps += [step] if step else []
        inputs = [slots[name] for name in [*(value.name for value in graph.inputs), *captured]]
        outputs = [slots[value.name] for value in graph.outputs]
        made = _numbered(steps, slots, {*inputs, *outputs})
        slots.set_constants(constants)
        return Plan(inputs, outputs, slots.template, made)

    def _tried(self, function: Callable[..., Any], node: Node, *arguments: Any) -> Any:
        """Call a function on a node and more; in a partial model, note its errors and return None."""
        if node.label in self.lacking:
            return None
        try:
            with errors_of_node(node):
                return function(node, *arguments)
        except NodeError as error:
            if not self._partial:
                raise
            self.lacking[node.label] = str(error)
            return None

    def _folded(self, node: Node, constants: dict[str, Array]) -> bool:
        """Compute a node whose inputs are all constants, if the result has room; return whether."""
        if (node.domain, node.op) not in OPERATORS or not all(
            name in constants for name in node.inputs if name
        ):
            return False
        function = OPERATORS[node.domain, node.op](node)
        given = [constants[name] if name else None for name in node.inputs]
        try:
            with limited_room(self._room), np.errstate(all="ignore"):
                result = function(*given)
        except RoomError:  # too large to keep: computed in each run
            return False
        results = result if isinstance(result, tuple) else (np.asarray(result),)
        # A view of a constant takes no memory of its own.
        own = {id(array) for array in constants.values()}
        self._room -= sum(one.nbytes for one in results if one.base is None and id(one) not in own)
        if self._room < 0:
            return False
        constants.update({name: one for name, one in zip(node.outputs, results, strict=False) if name})
        return True

    def _step(
        self,
        node: Node,
        constants: dict[str, Array],
        uses: Counter[str],
        readers: Mapping[str, Node],
        merged: set[int],
    ) -> NamedStep | None:
        """Return a node's function with the names of what it reads and writes; None if there is none."""
        if node.domain == "" and node.op in RECURRENT:
            return self._recurrent(node, constants)
        if node.domain == "" and node.op in ("Gather", "MatMul", "Gemm"):
            find = {"Gather": self._embedding, "Gemm": self._gemm}.get(node.op)
            step = find(node, constants) if find else self._matmul(node, constants, uses, readers, merged)
            if step is not None:
                return step
        if node.domain == "" and node.op in control_flow.CONTROL:
            captured = control_flow.captured_names(node)
            captured = [name for name in captured if name not in constants]
            function = control_flow.make(node, constants, lambda graph: self.plan(graph, constants, captured))
            return node, function, [*node.inputs, *captured], node.outputs
        maker = OPERATORS.get((node.domain, node.op))
        if maker is None:
            self.lacking[node.label] = f"no operator {node.operator}"
            return None
        return node, maker(node), list(node.inputs), node.outputs

    # --- layers ---

    def _recurrent(self, node: Node, constants: Mapping[str, Array]) -> NamedStep:
        own = RecurrentNode(node)
        names = [*node.inputs, *[""] * (8 - len(node.inputs))]
        places = {name: names[place] for name, place in WEIGHTS.items() if names[place]}
        if not {"W", "R"} <= places.keys() or not names[0]:
            raise ValueError("expected the inputs X, W and R")
        if own.reasons:
            self.notes.append(f"{node.label} runs in NumPy because of {', '.join(own.reasons)}")
        rest = [names[0], names[4], names[5], names[6]]
        if all(name in constants for name in places.values()):
            parts = own.bind({name: constants[place] for name, place in places.items()})
            for part in parts:
                if part.layer is not None:
                    self._add(node, part.layer, "" if len(parts) == 1 else _suffix(part.layer))
            return node, partial(own.run, parts), rest, node.outputs
        keys = list(places)

        def bound(x: Array, lengths: Any, h: Any, c: Any, *weights: Array) -> Any:
            return own.run(own.bind(dict(zip(keys, weights, strict=True))), x, lengths, h, c)

        return node, bound, [*rest, *places.values()], node.outputs

    def _embedding(self, node: Node, constants: Mapping[str, Array]) -> NamedStep | None:
        table = constants.get(node.inputs[0])
        if table is None or table.ndim != 2 or table.dtype not in _FLOATS or not table.size:
            return None
        if node.integer("axis", 0) not in (0, -2) or node.inputs[1] in constants:
            return None
        layer = Embedding(*table.shape, dtype=table.dtype, seed=0)
        layer.parameters["weight"] = table
        self._add(node, layer)

        def look_up(ids: Array) -> Any:
            indexing.check_indices(ids)
            return layer.parameters["weight"].take(ids, 0)

        return node, look_up, [node.inputs[1]], node.outputs

    def _gemm(self, node: Node, constants: Mapping[str, Array]) -> NamedStep | None:
        weight, x = constants.get(node.inputs[1]), node.inputs[0]
        third = node.inputs[2] if len(node.inputs) > 2 else ""
        if weight is None or x in constants or (third and third not in constants):
            return None
        if node.integer("transA", 0) or node.number("alpha", 1.0) != 1 or node.number("beta", 1.0) != 1:
            return None
        weight = weight if node.integer("transB", 0) else weight.T
        bias = constants[third] if third else None
        if bias is not None:
            if weight.ndim != 2 or bias.shape not in ((), (1,), (1, 1), weight.shape[:1], (1, len(weight))):
                return None
            bias = np.broadcast_to(bias.reshape(-1), weight.shape[:1])
        function = self._linear(node, weight, bias)
        if function is None:
            return None

        def run(rows: Array) -> Any:
            if rows.ndim != 2:
                raise ValueError(f"A: expected a matrix, got {list(rows.shape)}")
            return function(rows)

        return node, run, [x], node.outputs

    def _matmul(
        self,
        node: Node,
        constants: Mapping[str, Array],
        uses: Counter[str],
        readers: Mapping[str, Node],
        merged: set[int],
    ) -> NamedStep | None:
        weight, x = constants.get(node.inputs[1]), node.inputs[0]
        if weight is None or x in constants or weight.ndim != 2:
            return None
        bias, outputs, product = None, node.outputs, node.outputs[0]
        after = readers.get(product) if uses[product] == 1 else None
        if after is not None and (after.domain, after.op) == ("", "Add") and after.opset >= 7:
            other = next((name for name in after.inputs if name != product), "")
            if other in constants and constants[other].shape == weight.shape[1:]:
                bias, outputs = constants[other], after.outputs
        function = self._linear(node, weight.T, bias)
        if function is None:
            return None
        if bias is not None and after is not None:
            merged.add(id(after))
        return node, function, [x], outputs

    def _linear(self, node: Node, weight: Array, bias: Array | None) -> Operator | None:
        """Return the Linear of a weight [F, K], found by the node's name; None if it cannot be one."""
        if weight.ndim != 2 or weight.dtype not in _FLOATS or not weight.size:
            return None
        if bias is not None and bias.dtype != weight.dtype:
            return None
        layer = Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=weight.dtype, seed=0)
        layer.parameters["weight"] = weight
        if bias is not None:
            layer.parameters["bias"] = bias
        self._add(node, layer)
        return layer

    def _add(self, node: Node, layer: Module, suffix: str = "") -> None:
        name = (node.name or next(filter(None, node.outputs), node.op)) + suffix
        key, count = name, 1
        while key in self.layers:
            count += 1
            key = f"{name}#{count}"
        self.layers[key] = layer
        self.found[node.outputs[0]] = layer


def _suffix(layer: Any) -> str:
    return "_reverse" if layer.options.reverse else "_forward"


def _numbered(steps: list[NamedStep], slots: Slots, kept: set[int]) -> list[Step]:
    """Return steps with numbers for names, each with the slots that nothing reads after it."""
    numbered = [
        (
            node,
            function,
            tuple(slots[name] for name in reads),
            tuple(slots[name or _NOWHERE] for name in writes),
        )
        for node, function, reads, writes in steps
    ]
    seen, made = {0, *kept}, []
    for node, function, reads, writes in reversed(numbered):
        frees = tuple({*reads, *writes} - seen)
        seen.update(frees)
        made.append(Step(function, reads, writes, frees, node))
    return made[::-1]
