"""Where a batch has targets: masks and lengths of elementwise losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import Array, as_lengths, as_mask, check_shape

__all__ = ["counted_elements"]


def counted_elements(name: str, shape: tuple[int, ...], mask: Any, lengths: Any) -> Array | None:
    """Return where mask and lengths leave a target, in a shape that broadcasts to `shape`; None: everywhere.

    Parameters
    ----------
    name : str
        What a message calls the array of that shape.
    shape : tuple of int
    mask : array_like, bool, optional
        Of that shape, or of its first axes.
    lengths : array_like, int [N], optional
        Steps of each sequence of [T, N, ...].

    Raises
    ------
    ValueError
        If a shape does not fit or a length is out of range.
    TypeError
        If the mask is not bool, or the lengths are not integers.
    """
    counted = None
    if mask is not None:
        counted = as_mask("mask", mask, ("...",))
        check_shape("mask", counted, shape[: max(counted.ndim, 1)])
        counted = counted.reshape(counted.shape + (1,) * (len(shape) - counted.ndim))
    if lengths is not None:
        if len(shape) < 2:
            raise ValueError(f"lengths: expected {name} [T, N, ...] with them, got {list(shape)}")
        ends = as_lengths(lengths, shape[0], shape[1])
        assert ends is not None
        inside = np.arange(shape[0])[:, None] < ends
        inside = inside.reshape(inside.shape + (1,) * (len(shape) - 2))
        counted = inside if counted is None else counted & inside
    return counted
