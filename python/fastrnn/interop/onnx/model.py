"""Models from ONNX files: run them, or take their layers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import as_array
from fastrnn.interop.imported import Imported
from fastrnn.interop.imported_chain import refuse_unplaced
from fastrnn.interop.onnx.chain import chain, time_major
from fastrnn.interop.onnx.graph import Graph, Value
from fastrnn.interop.onnx.planning import Planner
from fastrnn.interop.onnx.reading import errors_of_file, read_graph
from fastrnn.interop.onnx.tensors import HALF, dtype_of_name
from fastrnn.interop.parity import Parity, compare

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.layers import Sequential

__all__ = ["OnnxModel", "load_onnx"]

_LEAST_FOLDED = 1 << 24  # bytes that folded constants may take, of however small a file


class OnnxModel(Imported):
    """A model from an ONNX file.

    Recurrent nodes, embeddings and linear maps are layers of this package, the rest is NumPy. What no
    layer has (a clip, unusual activations) runs step by step in NumPy; `notes` says where.

    Parameters
    ----------
    graph : Graph
    path : str
        For messages.
    partial : bool, default False
        See `load_onnx`.

    Attributes
    ----------
    inputs, outputs : list of Value
        Name, dtype and shape of each; sizes that may change are names or None.
    layers : dict of str to Module
        Recurrent layers, `fastrnn.Embedding` and `fastrnn.Linear`, by the names of their nodes, in the
        order in which the model runs them. The model computes with them: new parameters count.
    unplaced : dict of str to str
        Nodes that cannot be run, with ``partial=True``.
    notes : list of str
    """

    inputs: list[Value]
    outputs: list[Value]

    _has_graph = True

    def __init__(self, graph: Graph, path: str, notes: list[str], *, partial: bool = False) -> None:
        size = sum(array.nbytes for array in graph.constants.values())
        planner = Planner(max(_LEAST_FOLDED, 2 * size), partial=partial)
        with np.errstate(all="ignore"):
            plan = planner.plan(graph, {}, [])
        notes += [
            f"{value.name}: {value.dtype} is computed in float32"
            for value in (*graph.inputs, *graph.outputs)
            if value.dtype in HALF.values()
        ]
        found = planner.found
        super().__init__(found.layers, planner.lacking, [*dict.fromkeys([*notes, *found.notes])])
        if planner.lacking and not partial:
            shown = ", ".join(f"{label}: {why}" for label, why in list(planner.lacking.items())[:20])
            raise ValueError(
                f"{len(planner.lacking)} node{'s' * (len(planner.lacking) > 1)} cannot be run: {shown}; "
                f"write load_onnx({path!r}, partial=True) for the layers of the rest"
            )
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self._plan, self._path, self._order = plan, path, found.order
        self._dtypes = {
            value.name: dtype_of_name(value.dtype) if value.dtype else None for value in graph.inputs
        }

    def run(self, arrays: Mapping[str, Any]) -> dict[str, Array]:
        """Run the model.

        Nothing of a file is executed but the operators here; a Loop runs as often as the file says.

        Parameters
        ----------
        arrays : mapping of str to array_like
            Every input by name, of the dtype and with the fixed sizes that `inputs` says.

        Returns
        -------
        outputs : dict of str to ndarray
            Every output by name.

        Raises
        ------
        ValueError
            If an input is missing or unknown, a shape is wrong, or a node cannot compute its output.
        TypeError
            If a dtype is wrong.
        """
        if self.unplaced:
            first, reason = next(iter(self.unplaced.items()))
            raise ValueError(f"{self._path}: {first}: {reason}")
        if arrays.keys() != self._dtypes.keys():
            self._refuse_names(arrays)
        given = [_checked(value, self._dtypes[value.name], arrays[value.name]) for value in self.inputs]
        with np.errstate(all="ignore"):
            results = self._plan.run(given)
        return {
            value.name: _returned(value, array, given)
            for value, array in zip(self.outputs, results, strict=True)
        }

    def _refuse_names(self, arrays: Mapping[str, Any]) -> None:
        names = ", ".join(self._dtypes)
        for name in arrays:
            if name not in self._dtypes:
                raise ValueError(f"{name}: expected inputs named {names}")
        missing = next(name for name in self._dtypes if name not in arrays)
        raise ValueError(f"{missing}: missing; the model needs {names}")

    def __call__(self, *arrays: Any, **named: Any) -> dict[str, Array]:
        """Run the model on inputs in order, or by name.

        Parameters
        ----------
        *arrays, **named : array_like
            As for `run`.

        Returns
        -------
        outputs : dict of str to ndarray

        Raises
        ------
        ValueError, TypeError
            As `run`.
        """
        if len(arrays) > len(self.inputs):
            raise ValueError(f"expected {len(self.inputs)} inputs, got {len(arrays)}")
        given = {value.name: array for value, array in zip(self.inputs, arrays, strict=False)}
        for name in named:
            if name in given:
                raise ValueError(f"{name}: given twice")
        return self.run({**given, **named})

    def to_sequential(self) -> Sequential:
        """Return the layers as a chain, if that is what the graph computes.

        The layers are copied and take [T, N, ...]. Random numbers show that the chain computes the same.

        Raises
        ------
        ValueError
            If a node cannot be run, or the graph computes something else than its layers one after another.
        """
        refuse_unplaced(self.unplaced)
        return chain(self)

    def to_language_model(self, vocabulary: Any = None) -> Any:
        """Return the language model that the graph is; see `Imported.to_language_model`.

        Raises
        ------
        ValueError
            As for `to_sequential`, or if the layers are no embedding, recurrent layers and linear layer.
        """
        self.to_sequential()
        layers = Imported({name: time_major(layer) for name, layer in self.layers.items()})
        return layers.to_language_model() if vocabulary is None else layers.to_language_model(vocabulary)

    def check(
        self, inputs: Any, outputs: Any, *, tolerance: float = 1e-5, batch_first: bool = False
    ) -> Parity:
        """Compare what the model computes with what the original computed.

        Parameters
        ----------
        inputs : mapping of str to array_like, or array_like
            By name, or the only input.
        outputs : mapping of str to array_like, or array_like
            Of these names, or the first output.
        tolerance : float, default 1e-5
            As for `compare`.
        batch_first : bool, default False
            Without effect: the axes are those of the graph.

        Returns
        -------
        parity : Parity

        Raises
        ------
        ValueError, TypeError
            As `run`, or if there is no such output.
        """
        results = self.run(inputs) if isinstance(inputs, Mapping) else self(inputs)
        wanted = outputs if isinstance(outputs, Mapping) else {self.outputs[0].name: outputs}
        for name in wanted:
            if name not in results:
                raise ValueError(f"{name}: expected outputs named {', '.join(results)}")
        return compare({name: results[name] for name in wanted}, wanted, tolerance=tolerance)

    def __str__(self) -> str:
        sides = [f"input {value}" for value in self.inputs] + [f"output {value}" for value in self.outputs]
        return "\n".join([*sides, super().__str__()])

    def __repr__(self) -> str:
        sides = (", ".join(map(str, side)) for side in (self.inputs, self.outputs))
        return f"OnnxModel({' -> '.join(sides)})"


def _checked(value: Value, dtype: np.dtype[Any] | None, given: Any) -> Array:
    """Return an input as an array of the dtype in which the model computes."""
    array = as_array(value.name, given, dtype)
    if dtype is not None and array.dtype != dtype:
        half = value.dtype in HALF.values()
        if not (half and array.dtype.name == value.dtype):
            raise TypeError(
                f"{value.name}: expected {value.dtype}, got {array.dtype}; "
                f"write {value.name}.astype(np.{dtype if half else value.dtype})"
            )
        array = array.astype(dtype)
    shape = array.shape
    if value.shape is None or shape == value.shape:
        return array
    if len(shape) == len(value.shape):
        for want, size in zip(value.shape, shape, strict=True):
            if want != size and isinstance(want, int):
                break
        else:
            return array
    raise ValueError(f"expected {value}, got {list(shape)}")


def _returned(value: Value, array: Array | None, given: list[Array]) -> Array:
    """Return an output, float16 where the file says so; a copy if it is an input or a constant."""
    if array is None:
        raise ValueError(f"{value.name}: the graph does not make this output")
    if value.dtype == "float16":
        return array.astype(np.float16)
    if not array.flags.writeable:
        return array.copy()
    for one in given:
        if np.may_share_memory(array, one):
            return array.copy()
    return array


def load_onnx(path: str | os.PathLike[str], *, partial: bool = False) -> OnnxModel:
    """Load an ONNX model. Needs the extra ``onnx``.

    Parameters
    ----------
    path : path-like
        The file; its external data lies in the same folder.
    partial : bool, default False
        Whether to load the layers of a model with operators that there are not; it cannot be run then.

    Returns
    -------
    model : OnnxModel

    Raises
    ------
    OSError
        If the file cannot be read.
    ImportError
        If the package onnx is not installed.
    ValueError
        If it is not an ONNX model, contradicts itself, claims more than it holds, its external data is
        missing or lies outside its folder, or it has operators that there are not: all are named.
    TypeError
        If a value has a type that cannot be used, such as text.
    MemoryError
        If there is too little memory.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.interop.load_onnx("tagger.onnx")  # doctest: +SKIP
    >>> model.layers["/rnn/LSTM"]  # doctest: +SKIP
    LSTM(64, 128, bidirectional=True)
    >>> model(ids)["logits"].shape  # doctest: +SKIP
    (20, 4, 17)
    """
    notes: list[str] = []
    name = os.fspath(path)
    with errors_of_file(str(name)):
        return OnnxModel(read_graph(path, notes, partial=partial), str(name), notes, partial=partial)
