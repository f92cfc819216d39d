"""The backward pass of a recurrent layer: its checked arguments, and gradients of states by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._memory import SMALLER_LAYER, named_memory
from fastrnn.layers.recurrent.engine import arguments
from fastrnn.layers.recurrent.engine.arguments import States
from fastrnn.layers.recurrent.engine.packed import learned_signs
from fastrnn.layers.recurrent.engine.segments import AnyTape, CheckpointedTape, backward_segments
from fastrnn.layers.recurrent.engine.sequence_pass import backward
from fastrnn.layers.recurrent.engine.state_gradients import StateGradients
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.shapes import Group

__all__ = [
    "add_learned",
    "backpropagate",
    "check_backward",
    "check_tape",
    "no_gradient",
    "state_gradients",
]


def check_backward(layer: Any, tape: Any, dy: Any, dstate: Any) -> None:
    """Check that a tape is a layer's, and that there is a gradient.

    Raises
    ------
    ValueError, TypeError
        As for `Recurrent.backward`.
    """
    check_tape(layer, tape)
    if dy is None and no_gradient(dstate):
        raise ValueError("dy, dstate: expected at least one gradient, got None for both")


def no_gradient(dstate: Any) -> bool:
    """Return whether a gradient of the state is None, or each of its parts is."""
    return dstate is None or (isinstance(dstate, (tuple, list)) and all(map(no_gradient, dstate)))


def check_tape(layer: Any, tape: Any) -> None:
    """Check that a tape is a layer's.

    Raises
    ------
    ValueError, TypeError
        If it is another layer's, or something else.
    """
    if not isinstance(tape, (Tape, CheckpointedTape)):
        raise TypeError(f"tape: expected the Tape that forward returned, got {type(tape).__name__}")
    if tape._owner is not layer and tape._owner._identity != layer._identity:
        raise ValueError("tape: expected one of this layer, got another layer's")


def backpropagate(
    tape: AnyTape,
    gradients: list[Group],
    dy: Any,
    dstate: Any,
    need_dx: bool,
    every: StateGradients | None = None,
) -> tuple[Array | None, States]:
    """Run BPTT; add to the given groups of gradients, and fill `every`."""
    spec = tape._spec
    packing = tape.packing
    steps = tape.steps if packing is None else packing.steps
    dy = None if dy is None else arguments.as_dy(spec, dy, steps, tape.rows, alone=tape.alone)
    dstates = arguments.as_states(spec, "dstate", dstate, tape.rows, alone=tape.alone)
    parts = None if every is None else StateGradients.check(every, tape).cleared()
    run: Any = backward if isinstance(tape, Tape) else backward_segments
    dx, firsts = run(tape, gradients, dy, dstates, need_dx, parts)
    return dx if dx is None or packing is None else packing.unpack("dx", dx), firsts


def add_learned(layer: Any, firsts: States) -> None:
    """Add the gradients of the first states to those of a layer's learned initial state."""
    for i, parts in enumerate(firsts):
        for name, part in zip(layer.state_names, parts, strict=True):
            signs = learned_signs(layer.spec, name, layer.parameters[f"initial_{name}"])
            layer.gradients[f"initial_{name}"][i] += part.sum(axis=0) * signs[i]


def state_gradients(layer: Any, tape: AnyTape, dy: Any, dstate: Any) -> StateGradients:
    """Return the gradients of all states of a pass, and leave the layer's own gradients as they are."""
    check_backward(layer, tape, dy, dstate)
    with named_memory("gradients", SMALLER_LAYER):
        unused: list[Group] = [
            {name: np.zeros_like(array) for name, array in group.items()}
            for group in layer._weights.gradient_groups(layer.gradients)
        ]
    every = StateGradients.of(tape)
    backpropagate(tape, unused, dy, dstate, False, every)
    return every
