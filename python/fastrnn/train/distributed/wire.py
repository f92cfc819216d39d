"""What gradients are sent as between the ranks: as they are, or rounded to bfloat16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastrnn._arrays import narrow_bfloat16, widen_bfloat16

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastrnn._arrays import Array

__all__ = ["WIRE_FORMATS", "WireFormat"]


class WireFormat(Protocol):
    """How numbers are sent."""

    def narrow(self, values: Array) -> NDArray[Any]:
        """Return numbers as they are sent."""

    def widen(self, sent: NDArray[Any], dtype: np.dtype[Any]) -> Array:
        """Return the numbers that were sent."""


class _AsTheyAre:
    def narrow(self, values: Array) -> NDArray[Any]:
        return values

    def widen(self, sent: NDArray[Any], dtype: np.dtype[Any]) -> Array:
        return sent


class _Bfloat16:
    """Rounded to nearest even, which halves the bytes; float64 is rounded to float32 first."""

    def narrow(self, values: Array) -> NDArray[Any]:
        return narrow_bfloat16(values.astype(np.float32, copy=False))

    def widen(self, sent: NDArray[Any], dtype: np.dtype[Any]) -> Array:
        return widen_bfloat16(sent).astype(dtype, copy=False)


WIRE_FORMATS: dict[str, WireFormat] = {"float32": _AsTheyAre(), "bfloat16": _Bfloat16()}
