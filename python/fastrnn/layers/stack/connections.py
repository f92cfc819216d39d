"""Connections between the layers of a stack: plain, residual or dense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastrnn._arrays import Array, as_array
from fastrnn.layers.recurrent.engine.arguments import as_context, as_states
from fastrnn.layers.recurrent.layer import Recurrent

__all__ = [
    "CONNECTIONS",
    "as_entries",
    "backward_through",
    "check_context",
    "check_layers",
    "check_widths",
    "context_size",
    "forward_through",
    "reject_ids",
]

CONNECTIONS = ("plain", "residual", "dense")


def forward_through(
    connect: str,
    x: Any,
    passes: Sequence[Callable[[Any], Array]],
    drop: Callable[[Array], Array] | None = None,
) -> Array:
    """Run all layers on x, lowest first.

    Parameters
    ----------
    connect : {"plain", "residual", "dense"}
    x : array
        Input of the first layer.
    passes : sequence of callable
        One for each layer: returns the layer's output for its input.
    drop : callable, optional
        Dropout between layers, applied to each output but the last.

    Returns
    -------
    y : ndarray
    """
    y: Array = x
    read = y
    for index, run in enumerate(passes):
        if index > 0:
            below = y if drop is None else drop(y)
            read = np.concatenate((read, below), axis=-1) if connect == "dense" else below
        result = run(read)
        y = result + y if connect == "residual" and index > 0 else result
    return y


def backward_through(
    connect: str,
    dy: Array,
    passes: Sequence[Callable[[Array], Array | None]],
    masks: Sequence[Array | None],
    widths: Sequence[int],
) -> Array | None:
    """Backpropagate a gradient through all layers, highest first.

    Parameters
    ----------
    connect : {"plain", "residual", "dense"}
    dy : ndarray
    passes : sequence of callable
        One for each layer: returns the gradient of its input for that of its output; the first may be None.
    masks : sequence of (ndarray or None)
        Dropout masks that `forward_through` applied to each output but the last.
    widths : sequence of int
        Output widths of the layers.

    Returns
    -------
    dx : ndarray or None
        None if the first layer returns None.
    """
    dskip: Array | None = None  # gradient of the layer's input from the dense connections above it
    for index in range(len(passes) - 1, 0, -1):
        dread = _added(passes[index](dy), dskip)
        dbelow = dread
        if connect == "dense":
            own = dread.shape[-1] - widths[index - 1]
            dskip, dbelow = dread[..., :own], dread[..., own:]
        mask = masks[index - 1]
        dbelow = dbelow if mask is None else dbelow * mask
        dy = dbelow + dy if connect == "residual" else dbelow
    dx = passes[0](dy)
    return None if dx is None else _added(dx, dskip)


def _added(dread: Array | None, dskip: Array | None) -> Array:
    assert dread is not None
    return dread if dskip is None else dread + dskip


def check_widths(connect: str, layers: Sequence[Recurrent[Any]]) -> None:
    """Check that each layer's width fits the one below.

    Raises
    ------
    ValueError
        If a width does not fit; the message names the layer and both widths.
    """
    width, source = layers[0].input_size, "the stack's input"
    for index, layer in enumerate(layers):
        if layer.input_size != width:
            raise ValueError(f"layer{index}: expected input_size {width}, {source}, got {layer.input_size}")
        if connect == "residual" and index > 0 and layer.output_size != width:
            raise ValueError(
                f"layer{index}: connect='residual' adds input and output, expected one width, "
                f"got {width} and {layer.output_size}"
            )
        if connect == "dense":
            width, source = width + layer.output_size, "the stack's input and all outputs below"
        else:
            width, source = layer.output_size, f"the output of layer{index}"


def reject_ids(x: Any, axes: int) -> None:
    """Reject ids, integers with fewer axes than a batch of floats, where x is concatenated with outputs."""
    array = as_array("x", x)
    if array.dtype.kind in "iu" and array.ndim < axes:
        raise TypeError("x: expected floats, as connect='dense' concatenates them with outputs, got ids")


def as_entries(
    layers: Sequence[Recurrent[Any]], name: str, state: Any, rows: int, *, alone: bool = False
) -> tuple[Any, ...]:
    """Check a state up front; return an entry for each layer."""
    count = len(layers)
    if state is None:
        return (None,) * count
    expected = f"{name}: expected a tuple of one entry for each of {count} layers"
    if not isinstance(state, (tuple, list)):
        raise TypeError(f"{expected}, got {type(state).__name__}")
    if len(state) != count:
        raise ValueError(f"{expected}, got {len(state)}")
    for index, layer in enumerate(layers):
        as_states(layer.spec, f"{name}[{index}]", state[index], rows, alone=alone)
    return tuple(state)


def context_size(layers: Sequence[Recurrent[Any]]) -> int:
    """Return C, the width of the context that layers of a stack read; 0 if none does.

    Raises
    ------
    ValueError
        If two layers read contexts of different widths.
    """
    size, first = 0, 0
    for index, layer in enumerate(layers):
        own = layer.options.context_size
        if size and own and own != size:
            raise ValueError(
                f"layer{index}: expected context_size 0 or that of layer{first}, {size}, as a stack has one "
                f"context, got {own}"
            )
        if own and not size:
            size, first = own, index
    return size


def check_layers(layers: tuple[Any, ...]) -> None:
    """Check what a stack is made of: recurrent layers, each once, all batch-first or none."""
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    for index, layer in enumerate(layers):
        if not isinstance(layer, Recurrent):
            raise TypeError(f"layer{index}: expected a recurrent layer, got {type(layer).__name__}")
        if any(layer is other for other in layers[:index]):
            raise ValueError(f"layer{index}: expected each layer once, got one twice")
        if layer.batch_first != layers[0].batch_first:
            raise ValueError(
                f"layer{index}: expected batch_first={layers[0].batch_first}, as layer0, got "
                f"{layer.batch_first}"
            )


def check_context(
    layers: Sequence[Recurrent[Any]],
    context: Any,
    rows: int,
    steps: int | None = None,
    *,
    alone: bool = False,
) -> list[Any]:
    """Check a context up front; return what each layer reads: the context, or None."""
    readers = [layer for layer in layers if layer.options.context_size]
    if not readers and context is not None:
        raise ValueError("context: expected None, as no layer has a context_size")
    for layer in readers[:1]:
        as_context(layer.spec, context, rows, steps, alone=alone)
    return [context if layer.options.context_size else None for layer in layers]
