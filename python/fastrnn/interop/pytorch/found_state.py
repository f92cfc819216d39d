"""The state dict within a mapping, such as a checkpoint, and its arrays by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array
from fastrnn.layers.base.parameters import as_any_floats

__all__ = ["FoundState", "Weight", "find_state"]

# Where programs put the state dict in a checkpoint, in the order in which they are looked for.
_KEYS = (
    "state_dict model_state_dict model_state model module net network model_weights weights params"
).split()
_OTHERS = re.compile(r"optim|sched|scaler|ema$|momentum|criterion|loss", re.IGNORECASE)
_DEEPEST = 20
_MOST_NAMED = 20
_MOST_WEIGHTS = 1_000_000


class Weight(NamedTuple):
    """An array, and the dtype that it came in."""

    array: Array
    dtype: str


class FoundState(NamedTuple):
    """The arrays of a state dict by name, and one sentence on each thing that was left out."""

    weights: dict[str, Weight]
    notes: list[str]


def find_state(mapping: Any) -> FoundState:
    """Find the state dict in a mapping: itself, or under a usual key; nested mappings are joined by dots.

    Raises
    ------
    TypeError
        If it is not a mapping.
    ValueError
        If it holds no array.
    """
    if not isinstance(mapping, Mapping):
        hint = "; write model.state_dict()" if hasattr(mapping, "state_dict") else ""
        hint = "; write load_pt(path)" if isinstance(mapping, (str, os.PathLike)) else hint
        raise TypeError(
            f"state_dict: expected a mapping of names to arrays, got {type(mapping).__name__}{hint}"
        )
    notes = list(getattr(mapping, "notes", ()))
    state: Mapping[Any, Any] = mapping
    for _ in range(_DEEPEST):
        inner = _inner_key(state)
        if inner is None:
            break
        others = [str(key) for key in state if key != inner]
        others[_MOST_NAMED:] = ["..."] if len(others) > _MOST_NAMED else []
        notes.append(f"read {inner!r}" + (f", left out {', '.join(others)}" if others else ""))
        state = state[inner]
    weights: dict[str, Weight] = {}
    for name, value in _arrays("", state, _DEEPEST):
        if name in weights or len(weights) >= _MOST_WEIGHTS:
            raise ValueError(
                f"state_dict: expected each name once, and at most {_MOST_WEIGHTS}, got {name} again"
            )
        weights[name] = Weight(as_any_floats(name, value, np.dtype("float32")), _dtype(value))
    if not weights:
        keys = ", ".join(map(str, [*mapping][:5])) or "nothing"
        raise ValueError(f"state_dict: expected arrays by name, got none in {keys}")
    return FoundState(weights, notes)


def _inner_key(state: Mapping[Any, Any]) -> Any:
    """Return the key under which a checkpoint has its state dict; None if it is one itself."""
    for key in _KEYS:
        if isinstance(state.get(key), Mapping) and any(_arrays("", state[key], _DEEPEST)):
            return key
    return None


def _arrays(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of nested mappings, but those of optimisers and the like, with their joined names."""
    if _is_array(value):
        yield name, value
    elif isinstance(value, Mapping) and depth:
        for key, part in value.items():
            if not (isinstance(part, Mapping) and _OTHERS.search(str(key))):
                yield from _arrays(f"{name}.{key}" if name else str(key), part, depth - 1)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (
        hasattr(value, "shape") and (hasattr(value, "__array__") or hasattr(value, "__dlpack__"))
    )


def _dtype(value: Any) -> str:
    return str(getattr(value, "dtype", "float32")).rpartition(".")[2]
