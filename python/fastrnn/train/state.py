"""The part of a training that is neither parameters nor configuration, ready for a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TrainingState", "pack_carried", "pack_generator", "unpack_carried"]


@dataclass
class TrainingState:
    """What `Trainer.state` gives and `Trainer.restore` takes.

    Attributes
    ----------
    values : dict
        Plain values, ready for JSON; programs may add their own beside those of the trainer.
    arrays : dict of str to ndarray
        The optimizer's moments and the recurrent state carried between chunks.
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


def pack_generator(generator: np.random.Generator) -> dict[str, Any]:
    """Describe where a random generator is, in plain values that its bit generator takes back as state."""
    return {name: _plain(value) for name, value in generator.bit_generator.state.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
