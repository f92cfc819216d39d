"""Graphs as plain values: nodes with their attributes, constants as arrays, nodes in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastrnn._arrays import Array

__all__ = ["Graph", "Node", "Value", "ordered"]


class Value(NamedTuple):
    """An input or output of a model.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy's name, or "bfloat16"; "" where the file does not say.
    shape : tuple of int, str and None, or None
        Sizes, names of sizes that may change, and None for sizes that the file does not say; None: no shape.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        sizes = (
            "" if self.shape is None else ", ".join("?" if one is None else str(one) for one in self.shape)
        )
        return f"{self.name}: {self.dtype or '?'} {'of any shape' if self.shape is None else f'[{sizes}]'}"


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a graph.

    Attributes
    ----------
    op, domain, name : str
        The operator, "" or the domain of operators that are not ONNX's own, and the node's name.
    inputs, outputs : tuple of str
        Names of values; "" for an input or output that is left out.
    attributes : dict
        Numbers, str, arrays, lists of them, and graphs.
    opset : int
        The version of the operator set.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int

    @property
    def label(self) -> str:
        """How messages call it."""
        name = self.name or next(filter(None, self.outputs), "")
        return f"node {name!r} ({self.operator})"

    @property
    def operator(self) -> str:
        """The operator with its domain."""
        return f"{self.domain}.{self.op}" if self.domain else self.op

    def integer(self, name: str, default: Any = None) -> Any:
        """Return an attribute that is an integer."""
        return self._of(name, default, int, "an integer")

    def number(self, name: str, default: Any = None) -> Any:
        """Return an attribute that is a number."""
        return self._of(name, default, (float, int), "a number")

    def text(self, name: str, default: Any = None) -> Any:
        """Return an attribute that is text."""
        return self._of(name, default, str, "text")

    def integers(self, name: str, default: Any = None) -> Any:
        """Return an attribute that is a list of integers."""
        return self._of_list(name, default, int, "integers")

    def numbers(self, name: str, default: Any = None) -> Any:
        """Return an attribute that is a list of numbers."""
        return self._of_list(name, default, (float, int), "numbers")

    def texts(self, name: str, default: Any = None) -> Any:
        """Return an attribute that is a list of texts."""
        return self._of_list(name, default, str, "texts")

    def graph(self, name: str) -> Graph:
        """Return an attribute that is a graph."""
        found: Graph = self._of(name, None, Graph, "a graph")
        if found is None:
            raise ValueError(f"{name}: missing")
        return found

    def _of(self, name: str, default: Any, kinds: Any, expected: str) -> Any:
        value = self.attributes.get(name, default)
        if value is not default and not isinstance(value, kinds):
            raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
        return value

    def _of_list(self, name: str, default: Any, kinds: Any, expected: str) -> Any:
        values = self._of(name, default, list, f"a list of {expected}")
        if values is not default and not all(isinstance(value, kinds) for value in values):
            raise TypeError(f"{name}: expected a list of {expected}")
        return values


@dataclass
class Graph:
    """A graph: what goes in and out, its constants and its nodes, each after those whose outputs it reads.

    Attributes
    ----------
    name : str
    inputs, outputs : list of Value
        Without the constants that old files list among the inputs.
    constants : dict of str to ndarray
    nodes : list of Node
    unread : dict of str to str
        Values of types that cannot be used: the reason of each.
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    def renamed(self, names: dict[str, str], prefix: str, attributes: dict[str, Any]) -> Graph:
        """Return the graph with other names of values, as part of an inlined function."""
        own = dict(names)
        for name in [*self.constants, *(value.name for value in self.inputs)]:
            own[name] = prefix + name
        for node in self.nodes:
            own.update({name: prefix + name for name in node.outputs if name})
        return Graph(
            self.name,
            [value._replace(name=own[value.name]) for value in self.inputs],
            [value._replace(name=own.get(value.name, value.name)) for value in self.outputs],
            {own[name]: array for name, array in self.constants.items()},
            [renamed(node, own, prefix, attributes) for node in self.nodes],
        )

    def free_names(self) -> list[str]:
        """Return the names that the graph reads from the graph around it."""
        own = {*self.constants, *(value.name for value in self.inputs)}
        own.update(name for node in self.nodes for name in node.outputs)
        read = [name for node in self.nodes for name in read_names(node)]
        read += [value.name for value in self.outputs]
        return [name for name in dict.fromkeys(read) if name and name not in own]


class Reference(NamedTuple):
    """An attribute whose value is the attribute of a call of the function around the node."""

    name: str


def renamed(node: Node, names: dict[str, str], prefix: str, given: dict[str, Any]) -> Node:
    """Return a node of a function's body as it is in one call of the function."""
    attributes = {}
    for key, value in node.attributes.items():
        if isinstance(value, Reference):
            if value.name in given:
                attributes[key] = given[value.name]
        elif isinstance(value, Graph):
            attributes[key] = value.renamed(names, prefix, given)
        else:
            attributes[key] = value
    return replace(
        node,
        name=prefix + node.name if node.name else "",
        inputs=tuple(names.get(name, prefix + name) if name else "" for name in node.inputs),
        outputs=tuple(names.get(name, prefix + name) if name else "" for name in node.outputs),
        attributes=attributes,
    )


def read_names(node: Node) -> list[str]:
    """Return the names of all values that a node needs, those of its graphs included."""
    names = [name for name in node.inputs if name]
    for value in node.attributes.values():
        if isinstance(value, Graph):
            names += value.free_names()
    return names


def ordered(nodes: list[Node], known: Iterable[str]) -> list[Node]:
    """Return nodes in an order in which each comes after those whose outputs it reads.

    Raises
    ------
    ValueError
        If two nodes write the same value, a value comes from nowhere or nodes wait for each other.
    """
    makers: dict[str, int] = dict.fromkeys(known, -1)
    for index, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in makers:
                raise ValueError(f"{node.label}: the value {name!r} is already there")
            makers[name] = index
    waiting, readers = [0] * len(nodes), [[] for _ in nodes]  # type: tuple[list[int], list[list[int]]]
    for index, node in enumerate(nodes):
        for name in dict.fromkeys(read_names(node)):
            if name not in makers:
                raise ValueError(f"{node.label}: there is no value {name!r}")
            if makers[name] >= 0:
                waiting[index] += 1
                readers[makers[name]].append(index)
    ready, order = deque(index for index, count in enumerate(waiting) if not count), []
    while ready:
        index = ready.popleft()
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(order) < len(nodes):
        stuck = next(node for node, count in zip(nodes, waiting, strict=True) if count)
        raise ValueError(f"{stuck.label}: it waits for its own output: the graph has a cycle")
    return [nodes[index] for index in (sorted(order) if _in_order(nodes, makers) else order)]


def _in_order(nodes: list[Node], makers: dict[str, int]) -> bool:
    """Whether each node already comes after those whose outputs it reads."""
    return all(makers[name] < index for index, node in enumerate(nodes) for name in read_names(node))


def as_constant(value: Any) -> Array:
    """Return a value of the operator Constant as an array."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list):
        kind = np.int64 if value and all(isinstance(one, int) for one in value) else np.float32
        return np.array(value, kind)
    return np.array(value, np.int64 if isinstance(value, int) else np.float32)
