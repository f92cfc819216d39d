"""A stack of layers and directions, forward and back: what lies between one kernel call and the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.layers.base.dropout import dropout_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastrnn.layers.recurrent.engine.arguments import States
    from fastrnn.layers.recurrent.engine.tape import Tape
    from fastrnn.layers.recurrent.layer import Recurrent
    from fastrnn.layers.recurrent.shapes import Group

__all__ = ["Batch", "backward_stack", "columns", "forward_stack", "infer_stack"]


class Batch(NamedTuple):
    """Checked arguments of one pass."""

    x: Array
    states: States | None
    lengths: Ids | None
    reset: NDArray[np.bool_] | None


def levels(rnn: Recurrent[Any], *, masked: bool) -> range:
    """Say which layers and directions go through a kernel together: the first of each level, in steps of one.

    Those of a level stand between two dropout masks, or are a layer's two directions.
    """
    count = rnn.num_layers * rnn.directions
    return range(0, count, rnn.directions if masked or rnn.directions == 2 else count)


def infer_stack(rnn: Recurrent[Any], panels: list[Any], batch: Batch) -> tuple[Array, States]:
    """Run all layers; nothing is kept."""
    x, states, lengths, reset = batch
    if len(panels) == 1:
        state = None if states is None else states[0]
        y, final, _ = rnn._kernels.forward(panels[0], x, state, lengths, reset, rnn.variant.reverse)
        return y, [final]
    finals: States = []
    steps = levels(rnn, masked=False)
    for first in steps:
        x, final, _ = _forward_level(rnn, panels, x, batch, slice(first, first + steps.step), False)
        finals += final
    return x, finals


def forward_stack(
    rnn: Recurrent[Any], panels: list[Any], batch: Batch
) -> tuple[Array, States, list[Any], list[Array | None]]:
    """Run all layers in training: y, the last states, a tape for each layer and direction, dropout masks."""
    x, states, lengths, reset = batch
    if len(panels) == 1:
        state = None if states is None else states[0]
        y, final, tape = rnn._kernels.forward(panels[0], x, state, lengths, reset, rnn.variant.reverse, True)
        return y, [final], [tape], []
    finals: States = []
    tapes: list[Any] = []
    masks: list[Array | None] = [None] * (rnn.num_layers - 1)
    steps = levels(rnn, masked=rnn.dropout > 0.0)
    for number, first in enumerate(steps):
        if number > 0:
            masks[number - 1] = mask = dropout_mask(x.shape, rnn.dropout, rnn.dtype, rnn.rng)
            x = x if mask is None else x * mask
        x, final, tape = _forward_level(rnn, panels, x, batch, slice(first, first + steps.step), True)
        finals += final
        tapes += tape
    return x, finals, tapes, masks


def _forward_level(
    rnn: Recurrent[Any], panels: list[Any], x: Array, batch: Batch, level: slice, training: bool
) -> tuple[Array, States, list[Any]]:
    """Run what goes through a kernel together: the output, the last states, the tapes."""
    _, states, lengths, reset = batch
    both = rnn.directions == 2
    run = rnn._kernels.forward_directions if both else rnn._kernels.forward_layers
    results = run(panels[level], x, None if states is None else states[level], lengths, reset, training)
    outputs, finals, tapes = zip(*results, strict=True)
    return merged(rnn, outputs) if both else outputs[-1], list(finals), list(tapes)


def backward_stack(
    tape: Tape, gradients: list[Group], dy: Array | None, dstates: States | None, need_dx: bool
) -> tuple[Array | None, States]:
    """Run BPTT through all layers, the last one first; adds into the gradients."""
    rnn, panels = tape._rnn, tape._panels
    if len(panels) == 1:
        dstate = None if dstates is None else dstates[0]
        dx, first_state = rnn._kernels.backward(panels[0], tape.layers[0], dy, dstate, gradients[0], need_dx)
        return dx, [first_state]
    both = rnn.directions == 2
    run = rnn._kernels.backward_directions if both else rnn._kernels.backward_layers
    firsts: States = []
    dx = dy
    steps = levels(rnn, masked=any(mask is not None for mask in tape.dropout))
    for first in reversed(steps):
        level, below = slice(first, first + steps.step), first > 0 or need_dx
        own = None if dstates is None else dstates[level]
        if both and dx is not None:
            dx = unmerged(rnn, dx)
        results = run(panels[level], tape.layers[level], dx, own, gradients[level], below)
        parts, first_states = zip(*results, strict=True)
        dx = parts[0]
        if both and dx is not None:
            dx += parts[1]
        firsts[:0] = first_states
        mask = tape.dropout[first // steps.step - 1] if first > 0 else None
        if mask is not None and dx is not None:
            dx *= mask
    return dx, firsts


def merged(rnn: Recurrent[Any], outputs: Sequence[Array]) -> Array:
    """Make one output of two directions'."""
    if rnn.variant.merge == "concat":
        return np.concatenate(outputs, axis=2)
    total: Array = outputs[0] + outputs[1]
    return total if rnn.variant.merge == "sum" else np.multiply(total, rnn.dtype.type(0.5), out=total)


def unmerged(rnn: Recurrent[Any], dy: Array) -> Array:
    """Give the gradient of both directions' outputs side by side."""
    if rnn.variant.merge == "concat":
        return dy
    part = dy if rnn.variant.merge == "sum" else dy * rnn.dtype.type(0.5)
    return np.concatenate([part, part], axis=2)


def columns(array: Array, direction: int) -> Array:
    """Take one of two directions' part of an array [T, N, 2*P]."""
    width = array.shape[2] // 2
    return np.ascontiguousarray(array[:, :, direction * width : (direction + 1) * width])
