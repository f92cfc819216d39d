"""A model of Keras as a graph of operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._plain import printable
from fastrnn.interop.keras.activations import Unsupported
from fastrnn.interop.keras.configuration import MODELS, Call, LayerConfig, ModelConfig, Reference
from fastrnn.interop.keras.layer_weights import RECURRENT, Weights, inner_layer, inner_model
from fastrnn.interop.keras.operation import Built, Masks, Operation
from fastrnn.interop.keras.other_layers import BUILDERS, Distributed
from fastrnn.interop.keras.recurrent_layers import bidirectional, recurrence

__all__ = ["Graph", "built_graph"]


class Graph(Operation):
    """A model, which may itself be a layer of a model.

    Attributes
    ----------
    operations : dict of str to Operation
        By the names of layers, in their order.
    calls : list of (str, int, Call)
        Name, number and what it reads of each call, in an order in which they can run.
    inputs, outputs : list of Reference
    """

    operations: dict[str, Operation]
    inputs: list[Reference]
    outputs: list[Reference]

    reads_ids = True

    def __init__(self, model: ModelConfig, operations: dict[str, Operation], dtype: np.dtype[Any]) -> None:
        super().__init__(model.name)
        self.dtype = dtype
        self.operations, self.inputs, self.outputs = operations, model.inputs, model.outputs
        self.calls: list[tuple[str, int, Call]] = _ordered(model)

    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        """Run all layers."""
        if len(inputs) != len(self.inputs):
            names = ", ".join(one.layer for one in self.inputs)
            raise ValueError(f"{self.name}: expected {len(self.inputs)} inputs, {names}, got {len(inputs)}")
        values: dict[Reference, tuple[Array, Any]] = dict(
            zip(self.inputs, zip(inputs, masks, strict=True), strict=True)
        )
        for name, number, call in self.calls:
            found = [self._value(values, one) for one in call.inputs]
            operation = self.operations[name]
            own = [mask for _, mask in found]
            for index, one in enumerate(call.masks[: len(own)]):
                own[index] = own[index] if one is None else self._value(values, one)[0].astype(bool)
            arrays = [
                array
                if operation.reads_ids and array.dtype.kind in "iub"
                else array.astype(self.dtype, copy=False)
                for array, _ in found
            ]
            results = operation(arrays, own)
            for index, result in enumerate(zip(*results, strict=True)):
                values[Reference(name, number, index)] = result
        ends = [self._value(values, one) for one in self.outputs]
        return [array for array, _ in ends], [mask for _, mask in ends]

    def _value(self, values: Mapping[Reference, Any], one: Reference) -> Any:
        if one not in values:
            raise ValueError(f"{one.layer}: has no output {one.output}")
        return values[one]

    def within(self) -> Iterator[Operation]:
        """Yield each operation that keeps a state."""
        for operation in self.operations.values():
            yield from operation.within()


def _ordered(model: ModelConfig) -> list[tuple[str, int, Call]]:
    """Return the calls in an order in which each reads what there is.

    Raises
    ------
    Unsupported
        If there is none.
    """
    calls = {
        (layer.name, index): call
        for layer in model.layers
        if layer.kind != "InputLayer"
        for index, call in enumerate(layer.calls)
        if call.inputs
    }
    needed, readers = {}, defaultdict(list)
    for key, call in calls.items():
        read = {(one.layer, one.call) for one in (*call.inputs, *filter(None, call.masks))}
        needed[key] = len(read)
        for one in read:
            readers[one].append(key)
    ready = [*dict.fromkeys((one.layer, one.call) for one in model.inputs)]
    order: list[tuple[str, int, Call]] = []
    for one in ready:  # grows
        for key in readers[one]:
            needed[key] -= 1
            if not needed[key]:
                order.append((*key, calls[key]))
                ready.append(key)
    if len(order) < len(calls):
        names = [name for (name, _), count in needed.items() if count]
        raise Unsupported(f"reads what no layer returns: {', '.join(names[:5])}")
    returned = {*ready}
    missing = [one.layer for one in model.outputs if (one.layer, one.call) not in returned]
    if missing:
        raise Unsupported(f"has outputs that no layer returns: {', '.join(missing[:5])}")
    return order


def built_graph(
    model: ModelConfig,
    weights: Mapping[str, Weights],
    built: Built,
    unplaced: dict[str, str],
    modules: dict[str, Any],
    prefix: str = "",
) -> Graph | None:
    """Return the graph of a model; None if a layer has no operation.

    Parameters
    ----------
    model : ModelConfig
    weights : mapping of str to Weights
        By full names.
    built : Built
    unplaced, modules : dict
        What is found is added to them, by full names.
    prefix : str
        Before the names of a model within a model.
    """
    operations: dict[str, Operation] = {}
    complete = True
    for layer in model.layers:
        if layer.kind == "InputLayer":
            continue
        name = prefix + layer.name
        try:
            if layer.name in model.faults:
                unplaced[name] = model.faults[layer.name]
            if layer.kind in MODELS and not layer.custom:
                inner = built_graph(inner_model(layer), weights, built, unplaced, modules, f"{name}/")
                complete = complete and inner is not None
                if inner is not None:
                    operations[layer.name] = inner
                continue
            operation = _operation(layer, weights.get(name, []), built)
        except Unsupported as reason:
            unplaced[name] = printable(str(reason))
            continue
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from None
        operations[layer.name] = operation
        if operation.module is not None:
            modules[name] = operation.module
    if not complete or any(name.startswith(prefix) for name in unplaced):
        return None
    try:
        return Graph(model, operations, built.dtype)
    except Unsupported as reason:
        unplaced[prefix + model.name] = str(reason)
        return None


def _operation(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    if layer.custom:
        raise Unsupported(f"{layer.custom}, whose code is not here")
    if layer.kind in RECURRENT:
        return recurrence(layer, weights, built)
    if layer.kind == "Bidirectional":
        return bidirectional(layer, weights, built)
    if layer.kind == "TimeDistributed":
        inner = inner_layer(layer)
        return Distributed(layer.name, _operation(inner, weights, built))
    if layer.kind not in BUILDERS:
        reason = "holds code, which is never run" if layer.kind == "Lambda" else "is of a kind not known here"
        raise Unsupported(f"{layer.kind} {reason}")
    return BUILDERS[layer.kind](layer, weights, built)
