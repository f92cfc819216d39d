"""Arguments of a recurrent layer: checked, and made time-major and contiguous for the kernels."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids, Pattern, as_array, as_floats, as_ids, as_mask, contiguous
from fastrnn._memory import named_memory
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

__all__ = [
    "Batch",
    "States",
    "as_context",
    "as_dy",
    "as_input",
    "as_reset",
    "as_states",
    "join_states",
    "with_dcontext",
]

# The state of each layer and direction, its arrays in the order of `state_names`: (h,), (h, c), ...
States: TypeAlias = list[tuple[Array, ...]]


class Batch(NamedTuple):
    """Checked arguments of one pass."""

    x: Array
    states: States | None
    lengths: Ids | None
    reset: NDArray[np.bool_] | None
    context: Array | None = None
    targets: Array | None = None  # [T, N, P], fed back in place of the output (teacher forcing)


def as_input(spec: RecurrentSpec, x: Any) -> Array:
    """Check x: floats [T, N, D], or ids [T, N]."""
    if type(x) is np.ndarray and x.ndim == 3 and x.dtype == spec.dtype and not spec.batch_first:
        # The common case, without further checks.
        steps, rows, width = x.shape
        if width == spec.input_size and steps and rows:
            return contiguous("x", x)
    raw = as_array("x", x)
    array: Array
    if raw.dtype.kind in "iu" and raw.ndim != 3:
        array = as_ids("x", raw, _axes(spec))
    else:
        array = as_floats("x", x, spec.dtype, (*_axes(spec), spec.input_size))
    if array.size == 0:
        raise ValueError(f"x: expected at least one step and one sequence, got {list(array.shape)}")
    return _time_major(spec, "x", array)


def as_dy(spec: RecurrentSpec, dy: Any, steps: int, rows: int) -> Array:
    """Check the gradient of y."""
    width = spec.output_size
    if (
        type(dy) is np.ndarray
        and dy.dtype == spec.dtype
        and dy.shape == (steps, rows, width)
        and not spec.batch_first
    ):
        return contiguous("dy", dy)  # the common case, without further checks
    first = (rows, steps) if spec.batch_first else (steps, rows)
    return _time_major(spec, "dy", as_floats("dy", dy, spec.dtype, (*first, width)))


def as_reset(spec: RecurrentSpec, reset: Any, steps: int, rows: int) -> NDArray[np.bool_] | None:
    """Check the mask of steps at which a row restarts from the initial state."""
    if reset is None:
        return None
    first = (rows, steps) if spec.batch_first else (steps, rows)
    return _time_major(spec, "reset", as_mask("reset", reset, first))


def as_states(spec: RecurrentSpec, name: str, state: Any, rows: int) -> States | None:
    """Check a state in the form that users pass; split it by layer and direction."""
    if state is None:
        return None
    names, count = spec.state_names, spec.count
    shapes = [(count, *shape) for shape in spec.state_shapes(rows)]
    if len(names) == 1:
        if isinstance(state, tuple):
            raise TypeError(f"{name}: expected one array, got a tuple of {len(state)}")
        h = as_floats(name, state, spec.dtype, shapes[0])
        return [(h[i],) for i in range(count)]
    if not isinstance(state, (tuple, list)) or len(state) != len(names):
        got = f"{len(state)} arrays" if isinstance(state, (tuple, list)) else type(state).__name__
        kind = "the pair" if len(names) == 2 else "the tuple"
        raise TypeError(f"{name}: expected {kind} ({', '.join(names)}), got {got}")
    parts = [as_floats(f"{name}[{i}]", part, spec.dtype, shapes[i]) for i, part in enumerate(state)]
    # NumPy's own iterator is many times slower.
    return [tuple([part[i] for part in parts]) for i in range(count)]


def as_context(spec: RecurrentSpec, context: Any, rows: int) -> Array | None:
    """Check the context: required if, and only if, the layer has a `context_size`."""
    size = spec.options.context_size
    if size and context is None:
        raise ValueError(f"context: expected [{rows}, {size}], got None")
    if not size and context is not None:
        raise ValueError("context: expected None, as the layer has no context_size")
    return as_floats("context", context, spec.dtype, (rows, size)) if size else None


def with_dcontext(
    spec: RecurrentSpec, gradients: list[Group], dcontext: Array | None, rows: int
) -> tuple[list[Group], list[tuple[Array, Array]]]:
    """Check the array for the gradient of the context; return gradients, and pairs of it and a part to add.

    Each direction of the first layer has its own part, because both may run at the same time.
    """
    if dcontext is None:
        return gradients, []
    size = spec.options.context_size
    shape = (rows, size)
    if not size:
        raise ValueError("dcontext: expected None, as the layer has no context_size")
    if dcontext.dtype != spec.dtype:
        raise TypeError(f"dcontext: expected {spec.dtype}, got {dcontext.dtype}")
    if dcontext.shape != shape:
        raise ValueError(f"dcontext: expected {list(shape)}, got {list(dcontext.shape)}")
    parts: list[Array] = [np.zeros(shape, spec.dtype) for _ in range(spec.directions)]
    first = [{**group, "context": part} for group, part in zip(gradients, parts, strict=False)]
    return first + gradients[spec.directions :], [(dcontext, part) for part in parts]


@named_memory("state", "use fewer sequences or a smaller layer")
def join_states(states: States) -> Any:
    """Join the states of all layers and directions into the form that users receive: h, or a tuple."""
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
