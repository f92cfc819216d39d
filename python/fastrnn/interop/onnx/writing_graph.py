"""A graph of an ONNX file while it is written: nodes, constants, inputs and outputs, all with names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.library import onnx_library

if TYPE_CHECKING:
    from fastrnn._arrays import Array

__all__ = ["GraphWriter"]

# The operators whose axes became an input in a later version than 13.
_AXES_INPUT = {"ReduceSum": 13, "ReduceMean": 18, "ReduceMax": 18}
_SMALL = 64  # numbers


class GraphWriter:
    """A graph to which nodes are added; what computes a value is written before what reads it.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the model's numbers.
    opset : int
    outer : GraphWriter, optional
        For the body of a Scan: the graph around it, which keeps the constants.

    Attributes
    ----------
    inputs, outputs, nodes, constants : list
        Of the library's messages.
    """

    dtype: Any
    opset: int

    def __init__(self, dtype: Any, opset: int, outer: GraphWriter | None = None) -> None:
        self.dtype, self.opset = np.dtype(dtype), opset
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.nodes: list[Any] = []
        self._root: GraphWriter = self if outer is None else outer._root
        self._helper = onnx_library("onnx.helper")
        if outer is None:
            self.constants: list[Any] = []
            self._names: set[str] = set()
            self._known: dict[Any, str] = {}

    def name(self, wanted: str) -> str:
        """Return a name that nothing else in the file has."""
        names, name, count = self._root._names, wanted, 1
        while name in names:
            count += 1
            name = f"{wanted}_{count}"
        names.add(name)
        return name

    def constant(self, wanted: str, value: Any, dtype: Any = None) -> str:
        """Add an array to the file, unless it is there; numbers are of the model's dtype.

        Parameters
        ----------
        wanted : str
            Its name, where that is still free.
        value : array_like
        dtype : dtype, optional
            In place of the model's.
        """
        root = self._root
        array = np.array(value, self.dtype if dtype is None else dtype, order="C")
        # Small ones are shared by all; a large one has the same name wherever it is read.
        known = "" if array.size <= _SMALL else wanted
        key = (known, array.shape, array.dtype.str, hashlib.blake2b(array.data).digest())
        if key in root._known:
            return root._known[key]
        name = self.name(wanted)
        root.constants.append(onnx_library("onnx.numpy_helper").from_array(array, name))
        root._known[key] = name
        return name

    def integers(self, *values: int) -> str:
        """Add a list of integers, such as axes or a shape."""
        return self.constant("integers", values, np.int64)

    def number(self, value: float, dtype: Any = None) -> str:
        """Add one number."""
        return self.constant("number", value, dtype)

    def node(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output; an input that is left out is ""."""
        return self.several(op, 1, *inputs, name=name, **attributes)[0]

    def several(
        self, op: str, count: int, *inputs: str, name: str | None = None, **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node with several outputs; return their names."""
        own = self.name(op if name is None else f"{name}{op}")
        results = tuple(self.name(f"{own}.{index}" if count > 1 else f"{own}.out") for index in range(count))
        self.nodes.append(self._helper.make_node(op, inputs, results, name=own, **attributes))
        return results

    def input(self, name: str, dtype: Any, shape: Sequence[int | str], text: str = "") -> str:
        """Add an input; return its name, which is this one unless it is taken."""
        own = self.name(name)
        self.inputs.append(self._value(own, dtype, shape, text))
        return own

    def output(
        self, name: str, value: str, dtype: Any, shape: Sequence[int | str] | None, text: str = ""
    ) -> str:
        """Add an output by its name, and what it is."""
        result = self.name(name)
        self.nodes.append(self._helper.make_node("Identity", [value], [result], name=self.name("Identity")))
        self.outputs.append(self._value(result, dtype, shape, text))
        return result

    def body(self) -> GraphWriter:
        """Return the body of a Scan of this graph."""
        return GraphWriter(self.dtype, self.opset, self)

    def graph(self, name: str) -> Any:
        """Return the graph as the library's message."""
        constants = self.constants if self._root is self else []
        return self._helper.make_graph(self.nodes, name, self.inputs, self.outputs, constants)

    def _value(self, name: str, dtype: Any, shape: Sequence[int | str] | None, text: str) -> Any:
        kind = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._helper.make_tensor_value_info(name, kind, shape, text)

    # ---- operators that are written in more than one way, or often

    def reduce(self, op: str, value: str, axis: int, *, keep: bool = False) -> str:
        """Reduce one axis with ReduceSum, ReduceMean or ReduceMax."""
        if self.opset >= _AXES_INPUT[op]:
            return self.node(op, value, self.integers(axis), keepdims=int(keep))
        return self.node(op, value, axes=[axis], keepdims=int(keep))

    def size(self, value: str, axis: int) -> str:
        """Return the size of an axis, a list of one integer."""
        return self.node("Gather", self.node("Shape", value), self.integers(axis), axis=0)

    def cut(self, value: str, first: int, last: int, axis: int) -> str:
        """Return a part of an axis."""
        return self.node("Slice", value, *(self.integers(one) for one in (first, last, axis)))

    def split(self, value: str, widths: Sequence[int]) -> tuple[str, ...]:
        """Split the last axis."""
        if len(widths) == 1:
            return (value,)
        return self.several("Split", len(widths), value, self.integers(*widths), axis=-1)

    def join(self, values: Sequence[str], axis: int) -> str:
        """Concatenate values, if there are several."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=axis)

    def linear(self, value: str, wanted: str, weight: Array, bias: Array | None = None) -> str:
        """Return ``W x + b``, for a weight [F, K] and a bias [F]."""
        result = self.node("MatMul", value, self.constant(f"{wanted}.weight_T", weight.T))
        return result if bias is None else self.node("Add", result, self.constant(f"{wanted}.bias", bias))

    def rows(self, table: str, ids: str) -> str:
        """Return a table's row for each id, zeros for -1."""
        found = self.node("Gather", table, ids, axis=0)
        outside = self.node("Less", ids, self.number(0, np.int64))
        last = self.node("Unsqueeze", outside, self.integers(-1))
        return self.node("Where", last, self.number(0.0), found)

    def inside(self, steps: str, lengths: str) -> str:
        """Return which steps are before their row's end, bool [T, N]; `steps` is a list of one integer."""
        count = self.node("Squeeze", steps, self.integers(0))
        zero, one = self.number(0, np.int64), self.number(1, np.int64)
        numbers = self.node("Unsqueeze", self.node("Range", zero, count, one), self.integers(1))
        return self.node("Less", numbers, lengths)

    def swapped(self, value: str, axes: int) -> str:
        """Exchange the first two axes."""
        return self.node("Transpose", value, perm=[1, 0, *range(2, axes)])
