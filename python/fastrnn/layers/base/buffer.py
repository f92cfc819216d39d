"""The two flat arrays that hold all parameters and gradients of a module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from fastrnn._arrays import Array
from fastrnn._memory import SMALLER_LAYER, out_of_memory
from fastrnn.layers.base.precision import Precision

__all__ = ["Buffer", "Shapes", "flat_size"]


Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


class Buffer:
    """A module's parameters in one array, its gradients in another, and a version that each write raises.

    Anything computed from parameters (packed weights) is cached until the version changes. While an edit is
    open the version is NaN, which equals nothing, so nothing is cached.

    Attributes
    ----------
    grid : str
        The precision on whose grid the weights lie; those of a quantized module are no longer written to.
    """

    __slots__ = ("_edits", "_gradients", "_writes", "grid", "values", "version")

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.values: Array = _zeros("parameters", size, dtype)
        self._gradients: Array | None = None
        self.version: float = 0
        self.grid: Precision = "float32"
        self._writes = 0
        self._edits = 0

    @property
    def gradients(self) -> Array:
        """Gradients, allocated on first use, so that inference does not pay for them."""
        if self._gradients is None:
            self._gradients = _zeros("gradients", self.values.size, self.values.dtype)
        return self._gradients

    def touch(self) -> None:
        """Record that values changed; refuse it for a quantized module."""
        if self.grid != "float32":
            raise ValueError(
                "quantized: these parameters are for inference; write to the model they were made of, then "
                "fr.quantize(model, ...)"
            )
        self._writes += 1
        self.version = math.nan if self._edits else self._writes

    def open_edit(self) -> None:
        """Disable caching: values may change at any time."""
        self._edits += 1
        self.touch()

    def close_edit(self) -> None:
        """Enable caching again: values no longer change."""
        self._edits -= 1
        self.touch()


def _zeros(name: str, size: int, dtype: np.dtype[Any]) -> Array:
    try:
        return np.zeros(size, dtype)
    except (MemoryError, OverflowError, ValueError):
        raise out_of_memory(name, size * dtype.itemsize, SMALLER_LAYER) from None


def flat_size(shapes: Shapes) -> int:
    """Return the total number of scalars in all shapes."""
    return sum(math.prod(shape) for shape in shapes.values())
