"""From graphs to plans: constants folded, layers found, every other node a function of arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx import control_flow, elementwise, indexing, learning, shaping, sums
from fastrnn.interop.onnx.found_layers import FoundLayers, NamedStep, Scope
from fastrnn.interop.onnx.graph import Graph, Node, read_names
from fastrnn.interop.onnx.operator_table import OPERATORS, RoomError, limited_room
from fastrnn.interop.onnx.plan import NodeError, Plan, Slots, Step, errors_of_node

if TYPE_CHECKING:
    from fastrnn._arrays import Array

__all__ = ["Planner"]

_ = (elementwise, indexing, learning, shaping, sums)  # they enter their operators into the table
_KEEP_ZEROS = frozenset(
    {"Expand", "Slice", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Gather", "Tile", "Split"}
)
_NOWHERE = "\0"  # the name of the slot of outputs that are left out


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
    found : FoundLayers
    lacking : dict of str to str
        Nodes that cannot be run, by label: the reason of each.
    """

    def __init__(self, room: int, *, partial: bool = False) -> None:
        self.found: FoundLayers = FoundLayers()
        self.lacking: dict[str, str] = {}
        self._room, self._partial, self._unread = room, partial, dict[str, str]()

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
        self._unread |= graph.unread
        self.lacking |= {repr(name): reason for name, reason in graph.unread.items()}
        constants = {**outer, **graph.constants}
        for value in graph.inputs:
            constants.pop(value.name, None)
        rest = [node for node in graph.nodes if not self._tried(self._folded, node, constants)]
        uses = Counter(name for node in rest for name in read_names(node))
        uses.update(value.name for value in graph.outputs)
        scope = Scope(constants, uses, {name: node for node in rest for name in node.inputs})
        scope.zeros = _zeros(rest, constants)
        steps: list[NamedStep] = []
        for node in rest:
            if id(node) not in scope.merged:
                step = self._tried(self._step, node, scope)
                steps += [step] if step else []
        slots = Slots()
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
        known = all(name in constants for name in node.inputs if name)
        if not known or (node.domain, node.op) not in OPERATORS:
            return False
        function = OPERATORS[node.domain, node.op](node)
        try:
            with limited_room(self._room):
                result = function(*(constants[name] if name else None for name in node.inputs))
        except RoomError:  # too large to keep: computed in each run
            return False
        results = result if isinstance(result, tuple) else (np.asarray(result),)
        # A view of a constant takes no memory of its own.
        own = {id(constants[name]) for name in node.inputs if name}
        size = sum(one.nbytes for one in results if one.base is None and id(one) not in own)
        if size > self._room:
            return False
        self._room -= size
        constants.update({name: one for name, one in zip(node.outputs, results, strict=False) if name})
        return True

    def _step(self, node: Node, scope: Scope) -> NamedStep | None:
        """Return a node's function with the names of what it reads and writes; None if there is none."""
        for name in node.inputs:
            if name in self._unread:
                raise TypeError(self._unread[name])
        step = self.found.step(node, scope)
        if step is not None:
            return step
        if not node.domain and node.op in control_flow.CONTROL:
            return self._control(node, scope.constants)
        maker = OPERATORS.get((node.domain, node.op))
        if maker is None:
            self.lacking[node.label] = f"no operator {node.operator}"
            return None
        return NamedStep(node, maker(node), list(node.inputs), node.outputs)

    def _control(self, node: Node, constants: Mapping[str, Array]) -> NamedStep:
        names = [name for name in control_flow.captured_names(node) if name not in constants]
        function = control_flow.make(node, constants, lambda graph: self.plan(graph, constants, names))
        if node.op != "If":
            self.found.notes.append(f"{node.label} runs its graph once for each step")
        return NamedStep(node, function, [*node.inputs, *names], node.outputs)


def _zeros(nodes: list[Node], constants: Mapping[str, Array]) -> set[str]:
    """Return the names of values that are zero, such as the first states that exporters write."""
    zeros = {name for name, array in constants.items() if array.dtype.kind == "f" and not array.any()}
    for node in nodes:
        value = node.attributes.get("value", np.zeros(1, np.float32))
        made = node.op == "ConstantOfShape" and isinstance(value, np.ndarray) and not value.any()
        if not node.domain and (made or (node.op in _KEEP_ZEROS and node.inputs and node.inputs[0] in zeros)):
            zeros.update(node.outputs)
    return zeros


def _numbered(steps: list[NamedStep], slots: Slots, kept: set[int]) -> list[Step]:
    """Return the steps whose results are read, with numbers for names and slots that nothing reads later."""
    numbered = [
        (step, [slots[name] for name in step.reads], [slots[name or _NOWHERE] for name in step.writes])
        for step in steps
    ]
    seen, made = {*kept}, []
    for step, reads, writes in reversed(numbered):
        if seen.isdisjoint(writes):
            continue
        frees = tuple({*reads, *writes} - seen - {0})
        seen.update(frees)
        made.append(Step(step.function, tuple(reads), tuple(writes), frees, step.node))
    return made[::-1]
