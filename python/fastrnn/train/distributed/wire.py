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
    """How numbers are sent, with arrays that are used again: large new ones cost more than what is in them.

    What is asked for under a name replaces what was there before.
    """

    def empty(self, name: str, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array to receive numbers in."""

    def narrow(self, name: str, values: Array) -> NDArray[Any]:
        """Return numbers as they are sent."""

    def widen(self, name: str, sent: NDArray[Any], dtype: np.dtype[Any]) -> Array:
        """Return the numbers that were sent."""

    def widen_into(self, out: Array, sent: NDArray[Any]) -> None:
        """Write the numbers that were sent to an array."""


class _AsTheyAre:
    """Sent as they are."""

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[Any]] = {}

    def empty(self, name: str, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        kept = self._kept.get(name)
        if kept is None or len(kept) < size or kept.dtype != dtype:
            kept = self._kept[name] = np.empty(size, dtype)
        return kept[:size]

    def narrow(self, name: str, values: Array) -> NDArray[Any]:
        return values

    def widen(self, name: str, sent: NDArray[Any], dtype: np.dtype[Any]) -> Array:
        return sent

    def widen_into(self, out: Array, sent: NDArray[Any]) -> None:
        out[...] = sent


class _Bfloat16(_AsTheyAre):
    """Rounded to nearest even, which halves the bytes; float64 is rounded to float32 first."""

    def narrow(self, name: str, values: Array) -> NDArray[Any]:
        bits = self.empty(f"narrow {name}", len(values), np.dtype(np.uint16))
        return narrow_bfloat16(values.astype(np.float32, copy=False), bits)

    def widen(self, name: str, sent: NDArray[Any], dtype: np.dtype[Any]) -> Array:
        wide = self.empty(f"wide {name}", len(sent), np.dtype(np.float32))
        return widen_bfloat16(sent, wide).astype(dtype, copy=False)

    def widen_into(self, out: Array, sent: NDArray[Any]) -> None:
        if out.dtype == np.float32:
            widen_bfloat16(sent, out)
        else:
            out[...] = widen_bfloat16(sent)


WIRE_FORMATS: dict[str, type[WireFormat]] = {"float32": _AsTheyAre, "bfloat16": _Bfloat16}
