"""The table of operators: each makes a function of arrays from a node; how much memory they may take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastrnn._memory import available_memory

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node

__all__ = [
    "OPERATORS",
    "Operator",
    "RoomError",
    "check_room",
    "int_list",
    "limited_room",
    "normal_axis",
    "operator",
    "same_dtype",
]

#: Takes a node's inputs, None for one that is left out; returns its output, or a tuple of several.
Operator: TypeAlias = Callable[..., Any]
Maker: TypeAlias = Callable[["Node"], Operator]

OPERATORS: dict[tuple[str, str], Maker] = {}

_UNCHECKED = 1 << 22  # bytes: asking how much memory is left takes longer than filling these

_room: ContextVar[int | None] = ContextVar("room", default=None)


def operator(*names: str, domain: str = "") -> Callable[[Maker], Maker]:
    """Enter what is decorated into the table under these names."""

    def entered(maker: Maker) -> Maker:
        OPERATORS.update({(domain, name): maker for name in names})
        return maker

    return entered


class RoomError(ValueError):
    """An array would be larger than what there is room for."""


@contextmanager
def limited_room(nbytes: int) -> Iterator[None]:
    """Limit each array that operators make in the body to `nbytes`."""
    token = _room.set(nbytes)
    try:
        yield
    finally:
        _room.reset(token)


def check_room(shape: Sequence[int], dtype: Any) -> None:
    """Refuse an array that does not fit into the memory: a file of a few bytes can ask for any size.

    Raises
    ------
    RoomError
        With the number of bytes.
    """
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    most = _room.get()
    if nbytes <= (_UNCHECKED if most is None else most):
        return
    if most is None:
        most = available_memory()
    if most is not None and nbytes > most:
        raise RoomError(f"an output {list(shape)} would take {nbytes} bytes; there is room for {most}")


def int_list(name: str, value: Array | None) -> list[int] | None:
    """Return an input that is a list of integers, such as axes, sizes or a shape."""
    if value is None:
        return None
    if value.dtype.kind not in "iu" or value.ndim > 1:
        raise TypeError(f"{name}: expected a list of integers, got {value.dtype} {list(value.shape)}")
    return [int(one) for one in value.reshape(-1)]


def normal_axis(axis: int, ndim: int) -> int:
    """Return an axis counted from the front.

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis: expected {-ndim} to {ndim - 1}, got {axis}")
    return axis % ndim


def same_dtype(*arrays: Array) -> None:
    """Refuse inputs of different dtypes, which no operator converts.

    Raises
    ------
    TypeError
    """
    if any(array.dtype != arrays[0].dtype for array in arrays):
        raise TypeError(f"expected inputs of one dtype, got {', '.join(str(one.dtype) for one in arrays)}")
