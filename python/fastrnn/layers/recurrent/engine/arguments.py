"""Arguments of a recurrent layer: checked, and made time-major and contiguous for the kernels."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids, Pattern, as_array, as_floats, as_ids, as_mask, contiguous
from fastrnn._memory import named_memory
from fastrnn.layers.recurrent.engine.masks import Packing, pack_resets, packing_of
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

__all__ = [
    "Batch",
    "StateParts",
    "States",
    "add_dcontext",
    "as_context",
    "as_dy",
    "as_states",
    "as_step_mask",
    "join_states",
    "own_axes",
    "packed_batch",
    "read_input",
    "with_dcontext",
]

# The state of each layer and direction, its arrays in the order of `state_names`: (h,), (h, c), ...
States: TypeAlias = list[tuple[Array, ...]]
# The gradient of a state of several arrays, of which those that are None are zero.
StateParts: TypeAlias = tuple[Array | None, ...]


class Batch(NamedTuple):
    """Checked arguments of one pass."""

    x: Array
    states: States | None
    lengths: Ids | None
    reset: NDArray[np.bool_] | None
    context: Array | None = None  # [N, C], or [T, N, C]
    targets: Array | None = None  # [T, N, P], fed back in place of the output (teacher forcing)
    alone: bool = False  # one sequence, whose arrays came without the axis N
    packing: Packing | None = None  # where its steps stood, if there was a mask


def read_input(spec: RecurrentSpec, x: Any, *, view: bool = False) -> tuple[Array, bool]:
    """Check x, floats [T, N, D] or [T, D] or ids [T, N] or [T]; return it with an axis N, and if it had none.

    Integers of one or two axes are ids, floats of two axes one sequence. `view`: without a copy where only
    the order of axes differs.
    """
    if (
        type(x) is np.ndarray
        and x.ndim == 3
        and x.dtype == spec.dtype
        and not spec.batch_first
        and x.shape[2] == spec.input_size
    ):
        return contiguous("x", x), False  # the common case, without further checks
    raw = as_array("x", x)
    if raw.dtype.kind in "iu" and raw.ndim < 3:
        alone = raw.ndim == 1
        array: Array = as_ids("x", raw, ("T",) if alone else _axes(spec))
    else:
        alone = raw.ndim == 2
        array = as_floats("x", x, spec.dtype, (*(("T",) if alone else _axes(spec)), spec.input_size))
    if alone:
        return array[:, None], True
    return (array.swapaxes(0, 1) if view and spec.batch_first else _time_major(spec, "x", array)), False


def as_dy(spec: RecurrentSpec, dy: Any, steps: int, rows: int, *, alone: bool = False) -> Array:
    """Check the gradient of y."""
    width = spec.output_size
    if alone:
        return as_floats("dy", dy, spec.dtype, (steps, width))[:, None]
    if (
        type(dy) is np.ndarray
        and dy.dtype == spec.dtype
        and dy.shape == (steps, rows, width)
        and not spec.batch_first
    ):
        return contiguous("dy", dy)  # the common case, without further checks
    first = (rows, steps) if spec.batch_first else (steps, rows)
    return _time_major(spec, "dy", as_floats("dy", dy, spec.dtype, (*first, width)))


def as_step_mask(
    spec: RecurrentSpec, name: str, mask: Any, steps: int, rows: int, *, alone: bool = False
) -> NDArray[np.bool_]:
    """Check an array of bool for each step: the steps that count, or at which a row restarts."""
    if alone:
        return as_mask(name, mask, (steps,))[:, None]
    first = (rows, steps) if spec.batch_first else (steps, rows)
    return _time_major(spec, name, as_mask(name, mask, first))


def packed_batch(spec: RecurrentSpec, batch: Batch, mask: NDArray[np.bool_], *, zero_masked: bool) -> Batch:
    """Return the batch of the steps that count, each row's at its front; x may be a view in another order."""
    packing = packing_of(mask, batch.lengths, zero_masked=zero_masked)
    full = packing.times is None and batch.lengths is None and (packing.lengths == packing.steps).all()
    context, targets, reset = batch.context, batch.targets, batch.reset
    return batch._replace(
        x=contiguous("x", packing.pack("x", batch.x)),
        lengths=None if full else packing.lengths,
        reset=None
        if reset is None
        else pack_resets(packing, reset, directions=spec.directions, reverse=spec.options.reverse),
        context=context if context is None or context.ndim == 2 else packing.pack("context", context),
        targets=None if targets is None else packing.pack("targets", targets),
        packing=packing,
    )


def as_states(spec: RecurrentSpec, name: str, state: Any, rows: int, *, alone: bool = False) -> States | None:
    """Check a state in the form that users pass; split it by layer and direction.

    A part of a gradient, of ``dstate``, may be None: zero.
    """
    if state is None:
        return None
    names, count = spec.state_names, spec.count
    shapes = [(count, *(shape[1:] if alone else shape)) for shape in spec.state_shapes(rows)]
    if len(names) == 1:
        if isinstance(state, tuple):
            raise TypeError(f"{name}: expected one array, got a tuple of {len(state)}")
        h = as_floats(name, state, spec.dtype, shapes[0])
        h = h[:, None] if alone else h
        return [(h[i],) for i in range(count)]
    if not isinstance(state, (tuple, list)) or len(state) != len(names):
        got = f"{len(state)} arrays" if isinstance(state, (tuple, list)) else type(state).__name__
        kind = "the pair" if len(names) == 2 else "the tuple"
        raise TypeError(f"{name}: expected {kind} ({', '.join(names)}), got {got}")
    if name.startswith("dstate"):
        state = [np.zeros(shapes[i], spec.dtype) if part is None else part for i, part in enumerate(state)]
    parts = [as_floats(f"{name}[{i}]", part, spec.dtype, shapes[i]) for i, part in enumerate(state)]
    parts = [part[:, None] for part in parts] if alone else parts
    # NumPy's own iterator is many times slower.
    return [tuple([part[i] for part in parts]) for i in range(count)]


def as_context(
    spec: RecurrentSpec, context: Any, rows: int, steps: int | None = None, *, alone: bool = False
) -> Array | None:
    """Check the context: required if, and only if, the layer has a `context_size`.

    It is one for all steps, [N, C], or, where a number of `steps` is given, also one of each, [T, N, C];
    `alone`: [C] or [T, C].
    """
    size = spec.options.context_size
    if not size:
        if context is not None:
            raise ValueError("context: expected None, as the layer has no context_size")
        return None
    one = (size,) if alone else (rows, size)
    expected, each = f"context: expected {list(one)}", None
    if steps is not None:
        axes = (steps,) if alone else (rows, steps) if spec.batch_first else (steps, rows)
        each = (*axes, size)
        expected += f", or one of each step, {list(each)}"
    if context is None:
        raise ValueError(f"{expected}, got None")
    shape = as_array("context", context).shape
    if each is not None and len(shape) == len(each):
        array = as_floats("context", context, spec.dtype, each)
        return array[:, None] if alone else _time_major(spec, "context", array)
    if shape != one:
        raise ValueError(f"{expected}, got {list(shape)}")
    return as_floats("context", context, spec.dtype, one).reshape(rows, size)


def with_dcontext(
    tape: Any, gradients: list[Group], dcontext: Array | None
) -> tuple[list[Group], list[tuple[Array, Array]]]:
    """Check the array for the gradient of the context of a tape; return gradients, and what to add.

    That is pairs for `add_dcontext`, of the array and a part. Each direction of the first layer has its own
    part, because both may run at the same time.
    """
    spec, alone, packing, context = tape._spec, tape.alone, tape.packing, tape.context_shape
    if dcontext is None:
        return gradients, []
    if context is None:
        raise ValueError("dcontext: expected None, as the layer has no context_size")
    if isinstance(dcontext, np.ma.MaskedArray) or not hasattr(dcontext, "dtype"):
        raise TypeError(f"dcontext: expected a NumPy array to add to, got {type(dcontext).__name__}")
    if dcontext.dtype != spec.dtype:
        raise TypeError(f"dcontext: expected {spec.dtype}, got {dcontext.dtype}")
    swap = spec.batch_first and len(context) == 3 and not alone
    own = context  # of the pass
    if packing is not None and len(context) == 3:
        context = packing.steps, *context[1:]
    shape: tuple[int, ...] = context
    if alone:
        shape = (*context[:-2], context[-1])
    elif swap:
        shape = (context[1], context[0], context[2])
    if dcontext.shape != shape:
        raise ValueError(f"dcontext: expected {list(shape)}, got {list(dcontext.shape)}")
    into = dcontext.swapaxes(0, 1) if swap else dcontext
    parts: list[Array] = [np.zeros(own, spec.dtype) for _ in range(spec.directions)]
    first = [{**group, "context": part} for group, part in zip(gradients, parts, strict=False)]
    return first + gradients[spec.directions :], [(into, part) for part in parts]


def add_dcontext(tape: Any, parts: list[tuple[Array, Array]]) -> None:
    """Add the parts of `with_dcontext` to their array, at the steps of the pass's arguments."""
    for into, part in parts:
        moved = tape.packing is not None and part.ndim == 3
        into += (tape.packing.unpack("dcontext", part) if moved else part).reshape(into.shape)


def own_axes(spec: RecurrentSpec, array: Array, *, alone: bool) -> Array:
    """Return y or dx with the axes of the x that users passed."""
    return array[:, 0] if alone else array.swapaxes(0, 1) if spec.batch_first else array


@named_memory("state", "use fewer sequences or a smaller layer")
def join_states(states: States, *, alone: bool = False) -> Any:
    """Join the states of all layers and directions into the form that users receive: h, or a tuple."""
    if alone:
        states = [tuple([part[0] for part in parts]) for parts in states]
    if len(states) == 1:
        parts = tuple([array[None] for array in states[0]])
    else:
        parts = tuple(
            [np.concatenate(a).reshape(len(states), *a[0].shape) for a in zip(*states, strict=True)]
        )
    return parts[0] if len(parts) == 1 else parts


def _axes(spec: RecurrentSpec) -> Pattern:
    return ("N", "T") if spec.batch_first else ("T", "N")


def _time_major(spec: RecurrentSpec, name: str, array: Array) -> Array:
    return contiguous(name, array.swapaxes(0, 1)) if spec.batch_first else array
