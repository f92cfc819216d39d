"""A cell's passes over one layer and direction, over layers that read one another, over two directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.engine import general
from fastrnn.layers.recurrent.engine.packed import native_group
from fastrnn.layers.recurrent.shapes import Group

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
    forward, backward = general.forward, general.backward
    if plain:
        native = CellKernels(*(getattr(kernels, f"{cell}_{name}") for name in CellKernels._fields))
        forward, backward = native.forward, partial(_one_group, native.backward)
        if not reverse:
            return native._replace(
                backward=backward,
                backward_layers=partial(_all_groups, native.backward_layers),
                backward_directions=partial(_all_groups, native.backward_directions),
            )
    return CellKernels(
        forward,
        backward,
        partial(_forward_layers, forward, reverse),
        partial(_backward_layers, backward),
        partial(_forward_directions, forward),
        partial(_backward_directions, backward),
    )


def _one_group(
    backward: Pass, packed: Any, tape: Any, dy: Any, dstate: Any, group: Group, need_dx: bool, *drestart: Any
) -> Any:
    """Call a compiled backward with a group of gradients as it takes them."""
    return backward(packed, tape, dy, dstate, native_group(group), need_dx, *drestart)


def _all_groups(
    backward: Pass, packed: Any, tapes: Any, dy: Any, dstates: Any, groups: Sequence[Group], need_dx: bool
) -> Any:
    return backward(packed, tapes, dy, dstates, [native_group(group) for group in groups], need_dx)


def _forward_layers(
    forward: Pass,
    reverse: bool,
    packed: Sequence[Any],
    x: Array,
    states: Sequence[Any] | None,
    lengths: Any,
    reset: Any,
    training: bool,
) -> list[Any]:
    results = []
    for i, one in enumerate(packed):
        state = None if states is None else states[i]
        results.append(forward(one, x, state, lengths, reset, reverse, training))
        x = results[-1][0]
    return results


def _backward_layers(
    backward: Pass,
    packed: Sequence[Any],
    tapes: Sequence[Any],
    dy: Array | None,
    dstates: Sequence[Any] | None,
    gradients: Sequence[Any],
    need_dx: bool,
) -> list[Any]:
    results: list[Any] = []
    for i in range(len(packed) - 1, -1, -1):
        dstate = None if dstates is None else dstates[i]
        results.insert(0, backward(packed[i], tapes[i], dy, dstate, gradients[i], i > 0 or need_dx))
        dy = results[0][0]
    return results


def _forward_directions(
    forward: Pass,
    packed: Sequence[Any],
    x: Array,
    states: Sequence[Any] | None,
    lengths: Any,
    reset: Any,
    training: bool,
) -> list[Any]:
    return [
        forward(packed[i], x, None if states is None else states[i], lengths, reset, i > 0, training)
        for i in range(2)
    ]


def _backward_directions(
    backward: Pass,
    packed: Sequence[Any],
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
            packed[i], tapes[i], parts[i], None if dstates is None else dstates[i], gradients[i], need_dx
        )
        for i in range(2)
    ]
