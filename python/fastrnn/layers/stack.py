"""A stack of layers and directions, forward and back: what lies between one kernel call and the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.layers.random import dropout_mask

if TYPE_CHECKING:
    from fastrnn.layers.border import States
    from fastrnn.layers.groups import Group
    from fastrnn.layers.recurrent import Recurrent
    from fastrnn.layers.tape import Tape

__all__ = ["Batch", "backward_stack", "columns", "forward_stack", "infer_stack"]


class Batch(NamedTuple):
    """Checked arguments of one pass."""

    x: Array
    states: States | None
    lengths: Ids | None
    reset: NDArray[np.bool_] | None


def infer_stack(rnn: Recurrent[Any], panels: list[Any], batch: Batch) -> tuple[Array, States]:
    """Run all layers; nothing is kept."""
    forward, directions = rnn._forward_kernel, rnn.directions
    x, states, lengths, reset = batch
    finals: States = []
    for index in range(0, len(panels), directions):
        outputs = []
        for i in range(index, index + directions):
            state = None if states is None else states[i]
            y, final, _ = forward(panels[i], x, state, lengths, reset, i > index, False)
            outputs.append(y)
            finals.append(final)
        x = outputs[0] if directions == 1 else np.concatenate(outputs, axis=2)
    return x, finals


def forward_stack(
    rnn: Recurrent[Any], panels: list[Any], batch: Batch
) -> tuple[Array, States, list[Any], list[Array | None]]:
    """Run all layers in training: y, the last states, a tape for each layer and direction, dropout masks."""
    forward, directions = rnn._forward_kernel, rnn.directions
    x, states, lengths, reset = batch
    finals: States = []
    tapes: list[Any] = []
    masks: list[Array | None] = []
    for index in range(0, len(panels), directions):
        if index > 0:
            masks.append(dropout_mask(x.shape, rnn.dropout, rnn.dtype, rnn.rng))
            x = x if masks[-1] is None else x * masks[-1]
        outputs = []
        for i in range(index, index + directions):
            state = None if states is None else states[i]
            y, final, tape = forward(panels[i], x, state, lengths, reset, i > index, True)
            outputs.append(y)
            finals.append(final)
            tapes.append(tape)
        x = outputs[0] if directions == 1 else np.concatenate(outputs, axis=2)
    return x, finals, tapes, masks


def backward_stack(
    tape: Tape, gradients: list[Group], dy: Array | None, dstates: States | None, need_dx: bool
) -> tuple[Array | None, States]:
    """Run BPTT through all layers, the last one first; adds into the gradients."""
    rnn = tape._rnn
    backward, directions = rnn._backward_kernel, rnn.directions
    firsts: States = [()] * len(tape.layers)
    dx = dy
    for index in range(len(tape.layers) - directions, -1, -directions):
        below = None
        for i in range(index, index + directions):
            part = dx if dx is None else columns(dx, i - index, directions)
            dstate = None if dstates is None else dstates[i]
            one, firsts[i] = backward(
                tape._panels[i], tape.layers[i], part, dstate, gradients[i], index > 0 or need_dx
            )
            below = one if below is None else np.add(below, one, out=below)
        dx = below
        if index > 0:
            mask = tape.dropout[index // directions - 1]
            if mask is not None and dx is not None:
                dx *= mask
    return dx, firsts


def columns(array: Array, direction: int, directions: int) -> Array:
    """Take one direction's part of an array [T, N, directions*H]."""
    width = array.shape[2] // directions
    return np.ascontiguousarray(array[:, :, direction * width : (direction + 1) * width])
