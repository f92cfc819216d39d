"""The state of a training run besides parameters and configuration, in a form that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

__all__ = ["TrainingState", "arrays_under", "pack_carried", "unpack_carried"]


@dataclass
class TrainingState:
    """State that `Trainer.state` returns and `Trainer.restore` accepts; averages use it in the same way.

    Attributes
    ----------
    values : dict
        Values that JSON can hold; a program may add its own.
    arrays : dict of str to ndarray
        The optimizer's moments, the averaged parameters and the recurrent state carried between batches.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def pack_carried(carried: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the kind of a recurrent state (none, array h or tuple h, c) and its arrays by name."""
    if carried is None:
        return "none", {}
    if isinstance(carried, tuple):
        return "tuple", {f"carried.{index}": array for index, array in enumerate(carried)}
    return "array", {"carried.0": carried}


def unpack_carried(kind: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the recurrent state that `pack_carried` described."""
    parts = tuple(arrays[name] for name in sorted(arrays) if name.startswith("carried."))
    if kind == "tuple":
        return parts
    return parts[0] if kind == "array" else None


def arrays_under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, with the prefix removed."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
