"""The two flat arrays under all parameters and gradients of a module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from fastrnn._arrays import Array

__all__ = ["Buffer", "Shapes", "flat_size"]

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


class Buffer:
    """All parameters of a module in one array, all gradients in another, a version that each write raises.

    What is made from parameters (packed weights) is kept as long as the version stays equal. While an edit is
    open the version is NaN, equal to nothing, so that nothing is kept.
    """

    __slots__ = ("_edits", "_gradients", "_writes", "values", "version")

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.values = _zeros("parameters", size, dtype)
        self._gradients: Array | None = None
        self.version: float = 0
        self._writes = 0
        self._edits = 0

    @property
    def gradients(self) -> Array:
        """Made when first asked for: who only runs a model does not pay for it."""
        if self._gradients is None:
            self._gradients = _zeros("gradients", self.values.size, self.values.dtype)
        return self._gradients

    def touch(self) -> None:
        """Say that values change."""
        self._writes += 1
        self.version = math.nan if self._edits else self._writes

    def open_edit(self) -> None:
        """Keep nothing from now on: values may change at any time."""
        self._edits += 1
        self.touch()

    def close_edit(self) -> None:
        """Say that values change no more."""
        self._edits -= 1
        self.touch()


def _zeros(name: str, size: int, dtype: np.dtype[Any]) -> Array:
    try:
        return np.zeros(size, dtype)
    except (MemoryError, OverflowError, ValueError):
        raise MemoryError(f"{name}: cannot allocate {size * dtype.itemsize} bytes") from None


def flat_size(shapes: Shapes) -> int:
    """Give the number of scalars in all the shapes together."""
    return sum(math.prod(shape) for shape in shapes.values())
