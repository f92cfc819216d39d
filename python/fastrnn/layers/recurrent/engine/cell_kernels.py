"""A cell's passes over one layer and direction, over layers that read one another, over two directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.engine import general

__all__ = ["CellKernels", "cell_kernels"]

Pass = Callable[..., Any]


class CellKernels(NamedTuple):
    """The passes of a cell, native or made of native ones."""

    forward: Pass
    backward: Pass
    forward_layers: Pass
    backward_layers: Pass
    forward_directions: Pass
    backward_directions: Pass


@cache
def cell_kernels(cell: str, *, plain: bool, reverse: bool) -> CellKernels:
    """Give the passes of a cell by its name in the compiled module.

    Those of a plain cell are native, and run layers and directions at the same time. The others go from layer
    to layer here.
    """
    if plain and not reverse:
        return CellKernels(*(getattr(kernels, f"{cell}_{name}") for name in CellKernels._fields))
    if plain:
        forward, backward = getattr(kernels, f"{cell}_forward"), getattr(kernels, f"{cell}_backward")
    else:
        forward, backward = general.forward, general.backward
    return CellKernels(
        forward,
        backward,
        partial(_forward_layers, forward, reverse),
        partial(_backward_layers, backward),
        partial(_forward_directions, forward),
        partial(_backward_directions, backward),
    )


def _forward_layers(
    forward: Pass,
    reverse: bool,
    panels: Sequence[Any],
    x: Array,
    states: Sequence[Any] | None,
    lengths: Any,
    reset: Any,
    training: bool,
) -> list[Any]:
    results = []
    for i, packed in enumerate(panels):
        state = None if states is None else states[i]
        results.append(forward(packed, x, state, lengths, reset, reverse, training))
        x = results[-1][0]
    return results


def _backward_layers(
    backward: Pass,
    panels: Sequence[Any],
    tapes: Sequence[Any],
    dy: Array | None,
    dstates: Sequence[Any] | None,
    gradients: Sequence[Any],
    need_dx: bool,
) -> list[Any]:
    results: list[Any] = []
    for i in range(len(panels) - 1, -1, -1):
        dstate = None if dstates is None else dstates[i]
        results.insert(0, backward(panels[i], tapes[i], dy, dstate, gradients[i], i > 0 or need_dx))
        dy = results[0][0]
    return results


def _forward_directions(
    forward: Pass,
    panels: Sequence[Any],
    x: Array,
    states: Sequence[Any] | None,
    lengths: Any,
    reset: Any,
    training: bool,
) -> list[Any]:
    return [
        forward(panels[i], x, None if states is None else states[i], lengths, reset, i > 0, training)
        for i in range(2)
    ]


def _backward_directions(
    backward: Pass,
    panels: Sequence[Any],
    tapes: Sequence[Any],
    dy: Array | None,
    dstates: Sequence[Any] | None,
    gradients: Sequence[Any],
    need_dx: bool,
) -> list[Any]:
    parts: Sequence[Any] = (None, None)
    if dy is not None:
        parts = [np.ascontiguousarray(part) for part in np.split(dy, 2, axis=2)]
    return [
        backward(
            panels[i], tapes[i], parts[i], None if dstates is None else dstates[i], gradients[i], need_dx
        )
        for i in range(2)
    ]
