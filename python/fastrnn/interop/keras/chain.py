"""A model of Keras as a plain chain of parts of a `Sequential`."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.interop.keras.activations import Unsupported
from fastrnn.interop.keras.graph import Graph
from fastrnn.interop.keras.recurrent_layers import Recurrence

__all__ = ["ChainParts", "chain_parts"]


class ChainParts(NamedTuple):
    """The parts by name, and what is different in a `Sequential`."""

    parts: dict[str, Any]
    notes: list[str]


def chain_parts(graph: Graph) -> ChainParts:
    """Return the parts of a model that is a plain chain.

    Raises
    ------
    Unsupported
        If it is none, or a layer has no part that computes the same.
    """
    parts: dict[str, Any] = {}
    notes: list[str] = []
    ended = ""  # the recurrent layer that returns its last output only
    for name in _order(graph):
        operation = graph.operations[name]
        own = operation.parts()
        if isinstance(operation, Recurrence):
            if ended:
                raise Unsupported(f"{name} follows {ended}, which returns its last output only")
            if not operation.sequences:
                ended = name
                notes.append(f"{name}: in a Sequential, y has the outputs of all steps, Keras's is the last")
            if operation.stateful:
                notes.append(f"{name}: is stateful; pass the state to a Sequential, or use its stream")
        elif ended and not operation.stepwise:
            raise Unsupported(f"{name} does not compute each step alone, and {ended} returns only its last")
        if operation.masks:
            notes.append(f"{name}: makes masks, which a Sequential lacks; pass lengths")
        for suffix, part in own:
            parts[f"{name}{suffix}"] = part
    return ChainParts(parts, notes)


def _order(graph: Graph) -> list[str]:
    """Return the names of a chain's layers."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise Unsupported(f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs")
    before = graph.inputs[0]
    order: list[str] = []
    for name, number, call in graph.calls:
        if graph.operations[name].of_masks:
            continue
        if call.inputs != [before] or name in order:
            raise Unsupported(f"{name} reads more than the layer before it")
        before = before._replace(layer=name, call=number, output=0)
        order.append(name)
    if graph.outputs != [before]:
        raise Unsupported("its output is not that of its last layer")
    return order
