"""ONNX models that are a plain chain of layers, as a `Sequential`: what it computes decides."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastrnn.interop.onnx.tensors import dtype_of_name
from fastrnn.interop.parity import compare
from fastrnn.layers import Activation, Embedding, Recurrent, Sequential

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Value
    from fastrnn.interop.onnx.plan import Plan
    from fastrnn.layers import Module

__all__ = ["chain", "time_major"]

_FUNCTIONS = {
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "HardSigmoid": "hard_sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
}
_STEPS, _ROWS = 4, 3


class Runnable(Protocol):
    """What `chain` needs of a model."""

    inputs: list[Value]
    _order: list[tuple[str, Module | str]]
    _plan: Plan

    def run(self, arrays: Mapping[str, Any]) -> dict[str, Array]:
        """Run it."""


def chain(model: Runnable) -> Sequential:
    """Return copies of a model's layers as a `Sequential` that computes the same.

    Raises
    ------
    ValueError
        If the layers do not fit together, or the graph computes something else.
    """
    parts: dict[str, Module] = {}
    dtype = np.dtype(np.float32)
    for name, part in model._order:
        layer = Activation(_FUNCTIONS[part], dtype=dtype) if isinstance(part, str) else time_major(part)
        dtype = layer.dtype
        key = re.sub(r"\W+", "_", name).strip("_") or "part"
        parts[key if key not in parts else f"{key}_{len(parts)}"] = layer
    if not parts:
        raise ValueError("layers: expected at least one, got none")
    try:
        network = Sequential(parts)
        same = any(_agrees(model, network, turned) for turned in (False, True))
    except (ValueError, TypeError) as error:
        raise ValueError(f"layers: the graph is no chain of them: {error}") from None
    if not same:
        raise ValueError("layers: the graph computes something else than its layers one after another")
    return network


def time_major(layer: Module) -> Module:
    """Return a copy of a layer that takes [T, N, ...]."""
    if not (isinstance(layer, Recurrent) and layer.batch_first):
        return copy.deepcopy(layer)
    given = {name: value for name, value, _ in layer._options()} | {"batch_first": False}
    kind: Any = type(layer)
    new: Module = kind(layer.input_size, layer.hidden_size, **given)
    new.load_state_dict(layer.state_dict())
    return new


def _agrees(model: Runnable, network: Sequential, batch_first: bool) -> bool:
    """Whether an output of the model is that of the network for some number of steps.

    Exporters may write the number of steps of their example into the graph: other numbers then fail.
    """
    failed = None
    for steps in (_STEPS, *model._plan.written_sizes()):
        try:
            return all(_agree(model, network, batch_first, steps, special) for special in (False, True))
        except (ValueError, TypeError) as error:
            failed = failed or error
    raise failed or ValueError("there are no steps")


def _agree(model: Runnable, network: Sequential, batch_first: bool, steps: int, special: bool) -> bool:
    """Whether an output of the model is that of the network, for random numbers and zero states.

    Graphs treat some numbers in their own way: special ones are zeros, padding's usual id, and great numbers.
    """
    first = next(iter(network.parts.values()))
    feeds, x = {}, None
    sizes: dict[Any, int] = {}
    random = np.random.default_rng(0)
    for value in model.inputs:
        shape = tuple(
            _sizes(value, sizes, (_ROWS, steps, 1) if batch_first else (steps, _ROWS, 1), x is None)
        )
        kind = dtype_of_name(value.dtype)
        if x is None and isinstance(first, Embedding) == (kind.kind in "iu") and len(shape) > 1:
            x = (
                random.integers(0, first.num_embeddings, shape)
                if isinstance(first, Embedding)
                else random.normal(size=shape)
            ).astype(kind)
            if special:
                x[0], x[-1] = 0, x[-1] if isinstance(first, Embedding) else 1000 * x[-1]
            feeds[value.name] = x
        else:
            feeds[value.name] = np.zeros(shape, kind)
    if x is None or x.ndim != (2 if isinstance(first, Embedding) else 3):
        return False
    y = network(_turned(x, batch_first))[0]
    expected = _turned(y, batch_first)
    return any(
        array.shape == expected.shape and compare(array, expected).equal
        for array in model.run(feeds).values()
    )


def _sizes(value: Value, known: dict[Any, int], usual: tuple[int, ...], main: bool) -> Iterator[int]:
    """Yield sizes of an input: those that the file fixes, and different ones for steps and rows."""
    for axis, size in enumerate(value.shape or ()):
        if isinstance(size, int):
            yield size
        elif size is None:
            yield usual[min(axis, 2)] if main else _ROWS
        else:
            yield known.setdefault(size, usual[min(axis, 2)] if main else _ROWS)


def _turned(array: Array, turn: bool) -> Array:
    return array.swapaxes(0, 1) if turn else array
