"""What a training pass keeps for its backward pass: arrays that nobody can change in between."""

from __future__ import annotations

from typing import Any, TypeVar

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels

__all__ = ["Kept", "frozen", "kept"]

SelfT = TypeVar("SelfT", bound="Kept")


def frozen(array: Array) -> Array:
    """Make an array read-only that nobody else has, and return it."""
    array.flags.writeable = False
    return array


def kept(name: str, array: Array) -> Array:
    """Return an array that keeps its values: itself if nobody can write to it, else a read-only copy.

    Nobody can write to an array that is read-only down to the memory it shows, such as the result of another
    layer's training pass.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> y = kept("x", x)
    >>> y is x, kept("x", y) is y
    (False, True)
    """
    result: Array = kernels.kept(array, name)
    return result


class Kept:
    """The base class of tapes: nothing in them changes, so that a copy is the tape itself."""

    __slots__ = ()

    def __copy__(self: SelfT) -> SelfT:
        return self

    def __deepcopy__(self: SelfT, memo: dict[int, Any]) -> SelfT:
        return self
