"""How layers above one another hang together: in a row, with sums around them, or each to all above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array, as_array
from fastrnn.layers.recurrent.engine.arguments import as_states

if TYPE_CHECKING:
    from fastrnn.layers.recurrent.layer import Recurrent

__all__ = ["CONNECTIONS", "as_entries", "ascend", "check_widths", "descend", "refuse_ids"]

CONNECTIONS = ("plain", "residual", "dense")


def ascend(
    connect: str,
    x: Any,
    passes: Sequence[Callable[[Any], Array]],
    drop: Callable[[Array], Array] | None = None,
) -> Array:
    """Send x up through all layers.

    Parameters
    ----------
    connect : {"plain", "residual", "dense"}
    x : array
        What the first layer reads.
    passes : sequence of callable
        A layer each: what it gives for what it reads.
    drop : callable, optional
        Dropout of a layer's output on its way to those above.

    Returns
    -------
    y : ndarray
    """
    y: Array = x
    read = y
    for index, run in enumerate(passes):
        if index > 0:
            below = y if drop is None else drop(y)
            read = np.concatenate((read, below), axis=-1) if connect == "dense" else below
        result = run(read)
        y = result + y if connect == "residual" and index > 0 else result
    return y


def descend(
    connect: str,
    dy: Array,
    passes: Sequence[Callable[[Array], Array | None]],
    masks: Sequence[Array | None],
    widths: Sequence[int],
) -> Array | None:
    """Send a gradient down through all layers.

    Parameters
    ----------
    connect : {"plain", "residual", "dense"}
    dy : ndarray
    passes : sequence of callable
        A layer each: the gradient of what it read for that of what it gave; the first layer's may be None.
    masks : sequence of (ndarray or None)
        What `ascend` multiplied each output but the last with.
    widths : sequence of int
        Of each layer's output.

    Returns
    -------
    dx : ndarray or None
        None where the first layer's is.
    """
    dskip: Array | None = None  # of what the layer read, as far as those above it read the same
    for index in range(len(passes) - 1, 0, -1):
        dread = _added(passes[index](dy), dskip)
        dbelow = dread
        if connect == "dense":
            own = dread.shape[-1] - widths[index - 1]
            dskip, dbelow = dread[..., :own], dread[..., own:]
        mask = masks[index - 1]
        dbelow = dbelow if mask is None else dbelow * mask
        dy = dbelow + dy if connect == "residual" else dbelow
    dx = passes[0](dy)
    return None if dx is None else _added(dx, dskip)


def _added(dread: Array | None, dskip: Array | None) -> Array:
    assert dread is not None
    return dread if dskip is None else dread + dskip


def check_widths(connect: str, layers: Sequence[Recurrent[Any]]) -> None:
    """Refuse layers that do not fit on one another.

    Raises
    ------
    ValueError
        It names the layer and both widths.
    """
    width, source = layers[0].input_size, "the stack's input"
    for index, layer in enumerate(layers):
        if layer.input_size != width:
            raise ValueError(f"layer{index}: expected input_size {width}, {source}, got {layer.input_size}")
        if connect == "residual" and index > 0 and layer.output_size != width:
            raise ValueError(
                f"layer{index}: connect='residual' adds input and output, expected one width, "
                f"got {width} and {layer.output_size}"
            )
        if connect == "dense":
            width, source = width + layer.output_size, "the stack's input and all outputs below"
        else:
            width, source = layer.output_size, f"the output of layer{index}"


def refuse_ids(x: Any, axes: int) -> None:
    """Refuse ids, which have fewer axes than floats, where x is joined with outputs."""
    array = as_array("x", x)
    if array.dtype.kind in "iu" and array.ndim < axes:
        raise TypeError("x: expected floats, as connect='dense' joins them with the outputs, got ids")


def as_entries(layers: Sequence[Recurrent[Any]], name: str, state: Any, rows: int) -> tuple[Any, ...]:
    """Check a stack's state, an entry for each layer, before anything is done with it."""
    count = len(layers)
    if state is None:
        return (None,) * count
    expected = f"{name}: expected a tuple of one entry for each of {count} layers"
    if not isinstance(state, (tuple, list)):
        raise TypeError(f"{expected}, got {type(state).__name__}")
    if len(state) != count:
        raise ValueError(f"{expected}, got {len(state)}")
    for index, layer in enumerate(layers):
        as_states(layer.spec, f"{name}[{index}]", state[index], rows)
    return tuple(state)
