"""Forward and backward passes through all layers and directions: the kernel calls, and what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn._memory import FEWER_TOKENS, SMALLER_LAYER, named_memory
from fastrnn.layers.base.dropout import dropout_mask
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.recurrent.engine.arguments import Batch, States
from fastrnn.layers.recurrent.engine.masks import Packing
from fastrnn.layers.recurrent.engine.packed import PassWeights, option_arrays, reverse_order
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

__all__ = [
    "backward",
    "columns",
    "dropped_weight_gradients",
    "forward",
    "incoming",
    "infer",
    "joined",
]


def levels(spec: RecurrentSpec, *, masked: bool) -> Sequence[slice]:
    """Return which layers and directions run in one call of a kernel, called a level.

    A level is the layers between two dropout masks, or the two directions of a layer.
    """
    if spec.directions == 1 and (not masked or spec.num_layers == 1):
        return ALL_LAYERS
    step = spec.directions
    return [slice(first, first + step) for first in range(0, spec.count, step)]


ALL_LAYERS = (slice(0, None),)


def infer(spec: RecurrentSpec, weights: PassWeights, batch: Batch) -> tuple[Array, States]:
    """Run all layers without a tape; return y and the last states."""
    x, states = batch.x, batch.states
    finals: States = []
    plain = spec.directions == 1 and batch.packing is None  # y is that of the kernel
    for level in levels(spec, masked=False):
        results = kernels.recurrent_forward(
            weights.packed[level],
            x,
            None if states is None else states[level],
            batch.lengths,
            batch.reset,
            False,
            spec.options.reverse,
            spec.directions,
            None if spec.options.plain else level_options(spec, weights, batch, level),
        )
        if plain:
            x = results[-1][0]
        else:
            x = joined(spec, batch, [y for y, _, _ in results], top=len(finals) + len(results) == spec.count)
        finals += [final for _, final, _ in results]
    return x, finals


def forward(
    spec: RecurrentSpec, weights: PassWeights, batch: Batch, rng: np.random.Generator
) -> tuple[Array, States, Tape]:
    """Run all layers in training, with masks from `rng`; return y, the last states and the tape."""
    x, states = batch.x, batch.states
    finals: States = []
    tapes: list[Any] = []
    masks: list[Array | None] = [None] * (spec.num_layers - 1)
    run = levels(spec, masked=spec.dropout > 0.0)
    plain = spec.directions == 1 and batch.packing is None  # y is that of the kernel
    for level in run:
        if level.start > 0:
            mask = dropout_mask(x.shape, spec.dropout, spec.dtype, rng)
            if mask is not None:
                if spec.options.reverse:  # masks are drawn in the order of the loop, as the options' masks
                    mask = mask[reverse_order(batch.lengths, *x.shape[:2]), np.arange(x.shape[1])]
                with named_memory("dropout", FEWER_TOKENS):
                    x = frozen(x * mask)
                masks[level.start // spec.directions - 1] = frozen(mask)
        results = kernels.recurrent_forward(
            weights.packed[level],
            x,
            None if states is None else states[level],
            batch.lengths,
            batch.reset,
            True,
            spec.options.reverse,
            spec.directions,
            None if spec.options.plain else level_options(spec, weights, batch, level),
        )
        if plain:
            x = results[-1][0]
        else:
            top = len(finals) + len(results) == spec.count
            x = frozen(joined(spec, batch, [y for y, _, _ in results], top=top))
        finals += [final for _, final, _ in results]
        tapes += [tape for _, _, tape in results]
    tape = Tape(spec, weights, run, tapes, masks)
    tape.packing = batch.packing
    return x, finals, tape


def level_options(
    spec: RecurrentSpec, weights: PassWeights, batch: Batch, level: slice
) -> list[dict[str, Array] | None]:
    """Return the arrays of `option_arrays` for each layer and direction of a level."""
    steps = range(len(batch.x))
    reversed_ = [spec.options.reverse or (spec.directions == 2 and i % 2 == 1) for i in range(spec.count)]
    return [
        option_arrays(spec, weights, batch, i, steps, reverse=reversed_[i]) for i in range(spec.count)[level]
    ]


def backward(
    tape: Tape,
    gradients: list[Group],
    dy: Array | None,
    dstates: States | None,
    need_dx: bool,
    every: States | None = None,
) -> tuple[Array | None, States]:
    """Run BPTT through all layers, the last one first; add to the gradients.

    `every`: arrays for the gradients of every step's state, [T, N, P] and [T, N, carried], of each layer.
    """
    spec, weights = tape._spec, tape._weights
    own = dropped_weight_gradients(weights, gradients)
    firsts: States = []
    both, dx = spec.directions == 2, None if dy is None else incoming(spec, tape.packing, dy)
    for level in reversed(tape._levels):
        results = kernels.recurrent_backward(
            weights.packed[level],
            list(tape.layers[level]),
            dx,
            None if dstates is None else dstates[level],
            own[level],
            level.start > 0 or need_dx,
            spec.directions,
            None,
            None if every is None else every[level],
        )
        dx = results[0][0]
        if both and dx is not None:
            dx += results[1][0]
        firsts[:0] = [first for _, first in results]
        if level.start > 0 and dx is not None:
            mask = tape.dropout[level.start // spec.directions - 1]
            dx = dx if mask is None else np.multiply(dx, mask, out=dx)
            dx = incoming(spec, None, dx)
    add_dropped_weight_gradients(weights, own, gradients)
    return dx, firsts


@named_memory("gradients", SMALLER_LAYER)
def dropped_weight_gradients(weights: PassWeights, gradients: list[Group]) -> list[Group]:
    """Return the gradients for a pass: if weights were dropped, with a separate array for weight_hh."""
    if weights.weight_masks is None:
        return gradients
    return [{**group, "weight_hh": np.zeros_like(group["weight_hh"])} for group in gradients]


def add_dropped_weight_gradients(weights: PassWeights, own: list[Group], gradients: list[Group]) -> None:
    """Add the separate arrays of `dropped_weight_gradients`, times the masks of the weights."""
    if weights.weight_masks is None:
        return
    for group, into, mask in zip(own, gradients, weights.weight_masks, strict=True):
        into["weight_hh"][...] += group["weight_hh"] * mask


@named_memory("y", FEWER_TOKENS)
def merged(spec: RecurrentSpec, outputs: Sequence[Array]) -> Array:
    """Return the combined output of two directions."""
    merge = spec.options.merge
    if merge == "concat":
        return np.concatenate(outputs, axis=2)
    total: Array = outputs[0] + outputs[1]
    return total if merge == "sum" else np.multiply(total, spec.dtype.type(0.5), out=total)


def joined(spec: RecurrentSpec, batch: Batch, outputs: list[Array], *, top: bool) -> Array:
    """Return the output of a level, of the top one in the batch's own steps if it was packed."""
    last = outputs[-spec.directions :]
    if top and batch.packing is not None:
        last = batch.packing.spread(last, reverse=spec.options.reverse)
    return merged(spec, last) if spec.directions == 2 else last[0]


def incoming(spec: RecurrentSpec, packing: Packing | None, dy: Array) -> Array:
    """Return the gradient of a level's outputs from that of `joined`, both directions side by side."""
    dy = unmerged(spec, dy) if spec.directions == 2 else dy
    if packing is None:
        return dy
    return packing.collect(dy, directions=spec.directions, reverse=spec.options.reverse)


@named_memory("dy", FEWER_TOKENS)
def unmerged(spec: RecurrentSpec, dy: Array) -> Array:
    """Return the gradients of the outputs of both directions, side by side."""
    merge = spec.options.merge
    if merge == "concat":
        return dy
    part = dy if merge == "sum" else dy * spec.dtype.type(0.5)
    return np.concatenate([part, part], axis=2)


def columns(array: Array, direction: int) -> Array:
    """Return the half of an array [T, N, 2*P] that belongs to one direction."""
    width = array.shape[2] // 2
    return np.ascontiguousarray(array[:, :, direction * width : (direction + 1) * width])
