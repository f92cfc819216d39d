"""All layers and directions, forward and back: what lies between one kernel call and the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.layers.base.dropout import dropout_mask
from fastrnn.layers.recurrent.engine.arguments import Batch, States
from fastrnn.layers.recurrent.engine.cell_kernels import CellKernels, cell_kernels
from fastrnn.layers.recurrent.engine.packed import for_pass
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["backward", "columns", "forward", "infer", "kernels_of", "merged", "unmerged"]


def kernels_of(spec: RecurrentSpec) -> CellKernels:
    """Return the passes of a layer's cell."""
    return cell_kernels(spec.cell, plain=spec.options.plain, reverse=spec.options.reverse)


def levels(spec: RecurrentSpec, *, masked: bool) -> range:
    """Say which layers and directions go through a kernel together: the first of each level, in steps of one.

    Those of a level stand between two dropout masks, or are a layer's two directions.
    """
    return range(0, spec.count, spec.directions if masked or spec.directions == 2 else spec.count)


def infer(spec: RecurrentSpec, packed: list[Any], batch: Batch) -> tuple[Array, States]:
    """Run all layers and keep nothing: y, the last states."""
    packed, x = for_pass(spec, packed, batch.context), batch.x
    if len(packed) == 1:
        y, final, _ = kernels_of(spec).forward(
            packed[0], x, batch.state(0), batch.lengths, batch.reset, spec.options.reverse
        )
        return y, [final]
    finals: States = []
    steps = levels(spec, masked=False)
    for first in steps:
        x, final, _ = _forward_level(spec, packed, x, batch, slice(first, first + steps.step), False)
        finals += final
    return x, finals


def forward(
    spec: RecurrentSpec, packed: list[Any], batch: Batch, rng: np.random.Generator
) -> tuple[Array, States, Tape]:
    """Run all layers in training, with masks from `rng`: y, the last states, the tape."""
    packed, x = for_pass(spec, packed, batch.context, rng), batch.x
    if len(packed) == 1:
        y, final, tape = kernels_of(spec).forward(
            packed[0], x, batch.state(0), batch.lengths, batch.reset, spec.options.reverse, True
        )
        return y, [final], Tape(spec, packed, [tape], [])
    finals: States = []
    tapes: list[Any] = []
    masks: list[Array | None] = [None] * (spec.num_layers - 1)
    steps = levels(spec, masked=spec.dropout > 0.0)
    for number, first in enumerate(steps):
        if number > 0:
            masks[number - 1] = mask = dropout_mask(x.shape, spec.dropout, spec.dtype, rng)
            x = x if mask is None else x * mask
        x, final, tape = _forward_level(spec, packed, x, batch, slice(first, first + steps.step), True)
        finals += final
        tapes += tape
    return x, finals, Tape(spec, packed, tapes, masks)


def _forward_level(
    spec: RecurrentSpec, packed: list[Any], x: Array, batch: Batch, level: slice, training: bool
) -> tuple[Array, States, list[Any]]:
    """Run what goes through a kernel together: the output, the last states, the tapes."""
    both, kernels = spec.directions == 2, kernels_of(spec)
    run = kernels.forward_directions if both else kernels.forward_layers
    states = None if batch.states is None else batch.states[level]
    results = run(packed[level], x, states, batch.lengths, batch.reset, training)
    outputs, finals, tapes = zip(*results, strict=True)
    return merged(spec, outputs) if both else outputs[-1], list(finals), list(tapes)


def backward(
    tape: Tape, gradients: list[Group], dy: Array | None, dstates: States | None, need_dx: bool
) -> tuple[Array | None, States]:
    """Run BPTT through all layers, the last one first; adds into the gradients."""
    spec, packed = tape._spec, tape._packed
    kernels = kernels_of(spec)
    if len(packed) == 1:
        dstate = None if dstates is None else dstates[0]
        dx, first_state = kernels.backward(packed[0], tape.layers[0], dy, dstate, gradients[0], need_dx)
        return dx, [first_state]
    both = spec.directions == 2
    run = kernels.backward_directions if both else kernels.backward_layers
    firsts: States = []
    dx = dy
    steps = levels(spec, masked=any(mask is not None for mask in tape.dropout))
    for first in reversed(steps):
        level, below = slice(first, first + steps.step), first > 0 or need_dx
        own = None if dstates is None else dstates[level]
        if both and dx is not None:
            dx = unmerged(spec, dx)
        results = run(packed[level], tape.layers[level], dx, own, gradients[level], below)
        parts, first_states = zip(*results, strict=True)
        dx = parts[0]
        if both and dx is not None:
            dx += parts[1]
        firsts[:0] = first_states
        mask = tape.dropout[first // steps.step - 1] if first > 0 else None
        if mask is not None and dx is not None:
            dx *= mask
    return dx, firsts


def merged(spec: RecurrentSpec, outputs: Sequence[Array]) -> Array:
    """Make one output of two directions'."""
    merge = spec.options.merge
    if merge == "concat":
        return np.concatenate(outputs, axis=2)
    total: Array = outputs[0] + outputs[1]
    return total if merge == "sum" else np.multiply(total, spec.dtype.type(0.5), out=total)


def unmerged(spec: RecurrentSpec, dy: Array) -> Array:
    """Return the gradient of both directions' outputs side by side."""
    merge = spec.options.merge
    if merge == "concat":
        return dy
    part = dy if merge == "sum" else dy * spec.dtype.type(0.5)
    return np.concatenate([part, part], axis=2)


def columns(array: Array, direction: int) -> Array:
    """Take one of two directions' part of an array [T, N, 2*P]."""
    width = array.shape[2] // 2
    return np.ascontiguousarray(array[:, :, direction * width : (direction + 1) * width])
