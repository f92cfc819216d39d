"""What users hand to an RNN, GRU or LSTM: checked, and made time-major and contiguous for the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Pattern, as_array, as_floats, as_ids, as_mask, contiguous

if TYPE_CHECKING:
    from fastrnn.layers.recurrent.layer import Recurrent

__all__ = ["as_dy", "as_input", "as_reset", "as_states", "join_states"]

# The state of each layer and direction: (h,) or (h, c), each [N, H].
States: TypeAlias = list[tuple[Array, ...]]


def as_input(rnn: Recurrent[Any], x: Any) -> Array:
    """Check x: floats [T, N, D], or ids [T, N]."""
    if type(x) is np.ndarray and x.ndim == 3 and x.dtype == rnn.dtype and not rnn.batch_first:
        # The common case, at once.
        steps, rows, width = x.shape
        if width == rnn.input_size and steps and rows:
            return contiguous("x", x)
    raw = as_array("x", x)
    array: Array
    if raw.dtype.kind in "iu" and raw.ndim != 3:
        array = as_ids("x", raw, _axes(rnn))
    else:
        array = as_floats("x", x, rnn.dtype, (*_axes(rnn), rnn.input_size))
    if array.size == 0:
        raise ValueError(f"x: expected at least one step and one sequence, got {list(array.shape)}")
    return _time_major(rnn, "x", array)


def as_dy(rnn: Recurrent[Any], dy: Any, steps: int, rows: int) -> Array:
    """Check the gradient of y."""
    width = rnn.output_size
    if (
        type(dy) is np.ndarray
        and dy.dtype == rnn.dtype
        and dy.shape == (steps, rows, width)
        and not rnn.batch_first
    ):
        return contiguous("dy", dy)  # the common case, at once
    first = (rows, steps) if rnn.batch_first else (steps, rows)
    return _time_major(rnn, "dy", as_floats("dy", dy, rnn.dtype, (*first, width)))


def as_reset(rnn: Recurrent[Any], reset: Any, steps: int, rows: int) -> NDArray[np.bool_] | None:
    """Check the mask of steps that start again from the initial state."""
    if reset is None:
        return None
    first = (rows, steps) if rnn.batch_first else (steps, rows)
    return _time_major(rnn, "reset", as_mask("reset", reset, first))


def as_states(rnn: Recurrent[Any], name: str, state: Any, rows: int) -> States | None:
    """Check a state as users have it and split it over layers and directions."""
    if state is None:
        return None
    names, count = rnn.state_names, rnn.num_layers * rnn.directions
    shapes = [(count, *shape) for shape in rnn.variant.state_shapes(rnn.hidden_size, rows)]
    if len(names) == 1:
        if isinstance(state, tuple):
            raise TypeError(f"{name}: expected one array, got a tuple of {len(state)}")
        h = as_floats(name, state, rnn.dtype, shapes[0])
        return [(h[i],) for i in range(count)]
    if not isinstance(state, (tuple, list)) or len(state) != len(names):
        got = f"{len(state)} arrays" if isinstance(state, (tuple, list)) else type(state).__name__
        kind = "the pair" if len(names) == 2 else "the tuple"
        raise TypeError(f"{name}: expected {kind} ({', '.join(names)}), got {got}")
    parts = [as_floats(f"{name}[{i}]", part, rnn.dtype, shapes[i]) for i, part in enumerate(state)]
    # NumPy's own iterator is many times slower.
    return [tuple([part[i] for part in parts]) for i in range(count)]


def join_states(states: States) -> Any:
    """Make a state as users have it of all layers' and directions': h, or the pair (h, c), each [L, N, H]."""
    if len(states) == 1:
        parts = tuple([array[None] for array in states[0]])
    else:
        parts = tuple(
            [np.concatenate(a).reshape(len(states), *a[0].shape) for a in zip(*states, strict=True)]
        )
    return parts[0] if len(parts) == 1 else parts


def _axes(rnn: Recurrent[Any]) -> Pattern:
    return ("N", "T") if rnn.batch_first else ("T", "N")


def _time_major(rnn: Recurrent[Any], name: str, array: Array) -> Array:
    return contiguous(name, array.swapaxes(0, 1)) if rnn.batch_first else array
