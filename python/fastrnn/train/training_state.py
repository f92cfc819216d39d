"""The part of a training that is neither parameters nor configuration, ready for a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

__all__ = ["TrainingState", "arrays_under", "pack_carried", "unpack_carried"]


@dataclass
class TrainingState:
    """What `Trainer.state` gives and `Trainer.restore` takes; so do averages for their part.

    Attributes
    ----------
    values : dict
        Plain values, ready for JSON; programs may add their own beside those of the trainer.
    arrays : dict of str to ndarray
        The optimizer's moments, averaged parameters and the recurrent state carried between batches.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def pack_carried(carried: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    """Describe a recurrent state, and name its arrays: none, one (h) or a tuple of them (h, c)."""
    if carried is None:
        return "none", {}
    if isinstance(carried, tuple):
        return "tuple", {f"carried.{index}": array for index, array in enumerate(carried)}
    return "array", {"carried.0": carried}


def unpack_carried(kind: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Undo `pack_carried`."""
    parts = tuple(arrays[name] for name in sorted(arrays) if name.startswith("carried."))
    if kind == "tuple":
        return parts
    return parts[0] if kind == "array" else None


def arrays_under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Give the arrays whose names begin with a prefix, without it."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
