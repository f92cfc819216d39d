"""Read ONNX files: protocol buffers as graphs, with everything checked that a damaged file could claim."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastrnn._files import read_regular
from fastrnn._plain import printable
from fastrnn.interop.file_error import ModelFileError
from fastrnn.interop.onnx.graph import Graph, Node, Reference, Value, ordered, renamed
from fastrnn.interop.onnx.library import onnx_library
from fastrnn.interop.onnx.tensors import DTYPES, Tensors, dtype_name

__all__ = ["errors_of_file", "read_graph"]

_FREE_NODES = 20_000
_NODE_BYTES = 10  # of a node in a file; functions that call functions could make any number
_OWN = ("", "ai.onnx")


@contextmanager
def errors_of_file(path: str) -> Iterator[None]:
    """Put the file's name in front of errors, and turn what damaged files cause into ModelFileErrors.

    Raises
    ------
    ModelFileError, TypeError
    """
    try:
        yield
    except (OSError, MemoryError, ImportError):
        raise
    except TypeError as error:
        raise TypeError(printable(f"{path}: {error}")) from error
    except ValueError as error:
        raise ModelFileError(printable(f"{path}: {error}")) from error
    except Exception as error:
        raise ModelFileError(printable(f"{path}: {type(error).__name__}: {error}")) from error


def read_graph(path: str | os.PathLike[str], notes: list[str], *, partial: bool = False) -> Graph:
    """Read a file's graph, with functions inlined and the nodes in order.

    A partial graph may have values of types that cannot be used, see `Graph`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError, TypeError
        If it is not an ONNX file, or what it claims cannot be.
    """
    onnx = onnx_library()
    content = read_regular(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # DecodeError, of protobuf
        raise ValueError(f"expected an ONNX model: {error}") from None
    if not model.HasField("graph"):
        raise ValueError("expected an ONNX model, got a file without a graph")
    size = len(content)
    del content
    return _Reader(model, Tensors(os.fspath(path), size, notes), size, partial).graph()


class _Reader:
    """Turns one model into a graph of plain values."""

    def __init__(self, model: Any, tensors: Tensors, size: int, partial: bool) -> None:
        self._model, self._tensors, self._partial = model, tensors, partial
        self._opsets = _opsets(model.opset_import, model.ir_version)
        self._functions = {(one.domain, one.name): one for one in model.functions}
        self._left = self._most = _FREE_NODES + size // _NODE_BYTES
        self._calls = 0
        self._open: set[tuple[str, str]] = set()
        self._bodies: dict[tuple[str, str], tuple[dict[str, Any], list[Node]]] = {}

    def graph(self) -> Graph:
        """Return the model's graph."""
        return self._graph(self._model.graph, self._opsets, set())

    def _graph(self, proto: Any, opsets: Mapping[str, int], outside: set[str]) -> Graph:
        if proto.sparse_initializer:
            raise ValueError(
                f"tensor {proto.sparse_initializer[0].values.name!r}: cannot read sparse tensors"
            )
        constants: dict[str, Any] = {}
        unread: dict[str, str] = {}
        for tensor in proto.initializer:
            if tensor.name in constants or tensor.name in unread:
                raise ValueError(f"tensor {tensor.name!r}: there are two of this name")
            array = self._unless_unread(unread, tensor.name, self._tensors.array, tensor, tensor.name)
            constants |= {} if array is None else {tensor.name: array}
        values = [
            [self._unless_unread(unread, one.name, _value, one) or Value(one.name, "", None) for one in side]
            for side in (proto.input, proto.output)
        ]
        inputs = [one for one in values[0] if one.name not in constants]
        here = outside | constants.keys() | unread.keys() | {one.name for one in inputs}
        here -= {one.name for one in values[1] if one.name in unread}  # a node makes them
        inner = here | {name for node in proto.node for name in node.output}
        nodes = [own for node in proto.node for own in self._nodes(node, opsets, inner)]
        graph = Graph(proto.name, inputs, values[1], constants, unread=unread)
        graph.nodes = ordered(nodes, here)
        made = here.union(*(node.outputs for node in nodes))
        for value in graph.outputs:
            if value.name not in made:
                raise ValueError(f"output {value.name!r}: there is no such value")
        return graph

    def _unless_unread(
        self, unread: dict[str, str], name: str, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Call a function; if a type cannot be used, note it in a partial model and return None."""
        try:
            return function(*arguments)
        except TypeError as error:
            if not self._partial:
                raise
            unread[name] = str(error)
            return None

    def _nodes(self, proto: Any, opsets: Mapping[str, int], outside: set[str]) -> list[Node]:
        """Return a node, or the nodes of the function that it calls."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"expected at most {self._most} nodes, with those of functions")
        domain = "" if proto.domain in _OWN else proto.domain
        attributes = {
            one.name: self._attribute(one, opsets, outside, f"node {proto.name!r} ({proto.op_type})")
            for one in proto.attribute
        }
        function = self._functions.get((proto.domain, proto.op_type))
        node = Node(
            proto.op_type,
            domain,
            proto.name,
            tuple(proto.input),
            tuple(proto.output),
            attributes,
            opsets.get(domain, 0),
        )
        if function is not None:
            return self._inlined(node, function)
        if not domain and not node.opset:
            raise ValueError(f"{node.label}: the file does not say which version of the operators it uses")
        return [node]

    def _inlined(self, call: Node, function: Any) -> list[Node]:
        """Return the nodes of a function, for one call of it."""
        if len(call.inputs) > len(function.input) or len(call.outputs) > len(function.output):
            raise ValueError(
                f"{call.label}: expected at most {len(function.input)} inputs and {len(function.output)} "
                f"outputs, got {len(call.inputs)} and {len(call.outputs)}"
            )
        given, body = self._body(call, function)
        self._left -= len(body)
        if self._left < 0:
            raise ValueError(f"expected at most {self._most} nodes, with those of functions")
        self._calls += 1
        prefix = f"{call.name or f'{call.op}#{self._calls}'}/"
        names = dict.fromkeys(function.input, "")
        names.update(zip(function.input, call.inputs, strict=False))
        made = {name: own for name, own in zip(function.output, call.outputs, strict=False) if own}
        passed = [  # an output that is an input
            Node("Identity", "", "", (names.pop(name),), (made.pop(name),), {}, 1)
            for name in [*made]
            if name in names
        ]
        names = {**dict.fromkeys(function.input, ""), **dict(zip(function.input, call.inputs, strict=False))}
        return passed + [renamed(node, {**names, **made}, prefix, given | call.attributes) for node in body]

    def _body(self, call: Node, function: Any) -> tuple[dict[str, Any], list[Node]]:
        """Return the defaults of a function's attributes and its nodes."""
        key = (function.domain, function.name)
        if key not in self._bodies:
            if key in self._open:
                raise ValueError(f"{call.label}: the function calls itself")
            self._open.add(key)
            label = f"function {call.operator!r}"
            given = {one.name: self._attribute(one, {}, set(), label) for one in function.attribute_proto}
            opsets = {**self._opsets, **_opsets(function.opset_import, 0)}
            inner = {*function.input, *(name for node in function.node for name in node.output)}
            body = [own for node in function.node for own in self._nodes(node, opsets, inner)]
            self._open.discard(key)
            self._bodies[key] = given, body
        return self._bodies[key]

    def _attribute(self, proto: Any, opsets: Mapping[str, int], outside: set[str], label: str) -> Any:
        if proto.ref_attr_name:
            return Reference(proto.ref_attr_name)
        kinds = onnx_library().AttributeProto
        kind = proto.type
        try:
            if kind == kinds.FLOAT:
                return proto.f
            if kind == kinds.INT:
                return proto.i
            if kind == kinds.STRING:
                return proto.s.decode()
            if kind == kinds.FLOATS:
                return list(proto.floats)
            if kind == kinds.INTS:
                return list(proto.ints)
            if kind == kinds.STRINGS:
                return [one.decode() for one in proto.strings]
        except UnicodeDecodeError:
            raise ValueError(f"{label}: {proto.name}: expected UTF-8") from None
        if kind == kinds.TENSOR and proto.t.data_type in DTYPES:
            return self._tensors.array(proto.t, f"{label}.{proto.name}")
        if kind == kinds.GRAPH:
            return self._graph(proto.g, opsets, outside)
        return _Unread(f"{label}: {proto.name}: cannot read an attribute of kind {kind}")


class _Unread(str):
    """An attribute of a kind that no operator here uses."""


def _opsets(imports: Any, ir_version: int) -> dict[str, int]:
    """Return the version of each domain's operators.

    Raises
    ------
    ValueError
        If the version is not known.
    """
    newest = onnx_library("onnx.defs").onnx_opset_version()
    versions = {"" if one.domain in _OWN else one.domain: one.version for one in imports}
    if not versions and 0 < ir_version < 3:
        versions = {"": 1}  # files of these versions do not say
    own = versions.get("")
    if own is not None and not 1 <= own <= newest:
        raise ValueError(
            f"opset: expected version 1 to {newest}, which the installed package onnx knows, got {own}"
        )
    return versions


def _value(proto: Any) -> Value:
    """Return an input or output."""
    kind = proto.type.WhichOneof("value")
    if kind is None:
        return Value(proto.name, "", None)
    if kind != "tensor_type":
        raise TypeError(f"{proto.name!r}: expected a tensor, got a {kind.removesuffix('_type')}")
    tensor = proto.type.tensor_type
    code = tensor.elem_type
    if code and code not in DTYPES:
        raise TypeError(f"{proto.name!r}: cannot use {dtype_name(code)}")
    name = dtype_name(code) if code else ""
    if not tensor.HasField("shape"):
        return Value(proto.name, name, None)
    sizes: list[int | str | None] = []
    for size in tensor.shape.dim:
        which = size.WhichOneof("value")
        sizes.append(size.dim_value if which == "dim_value" else size.dim_param or None)
    return Value(proto.name, name, tuple(sizes))
