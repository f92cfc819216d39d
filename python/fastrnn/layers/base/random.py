"""Random numbers for layers: initial parameters, and states of generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_size
from fastrnn._plain import as_mapping

__all__ = [
    "fill_uniform",
    "random_state",
    "set_random_state",
]


def fill_uniform(values: Array, bound: float, generator: np.random.Generator) -> None:
    """Fill an array from the uniform distribution over [-bound, bound), in place."""
    generator.random(out=values, dtype=values.dtype)
    values *= 2.0 * bound
    values -= bound


def random_state(generator: np.random.Generator) -> dict[str, Any]:
    """Return a generator's state as plain values, ready for ``json.dumps``."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value

    state: dict[str, Any] = plain(generator.bit_generator.state)
    return state


def set_random_state(generator: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Restore a state returned by `random_state`.

    Raises
    ------
    ValueError
        If it is not a state, or belongs to another kind of generator. The generator stays unchanged.
    """
    own = generator.bit_generator.state
    given = as_mapping("random state", state)
    if given.get("bit_generator") != own["bit_generator"]:
        raise ValueError(f"random state: expected one of {own['bit_generator']}, got {state!r:.200}")
    try:
        position = given["state"].get("pos", 0) if isinstance(given.get("state"), Mapping) else 0
        as_size("pos", position, least=0, most=624)  # of MT19937, which NumPy does not check
        generator.bit_generator.state = _as_arrays(state, own)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        generator.bit_generator.state = own
        raise ValueError(f"random state: {error}") from None


def _as_arrays(value: Any, own: Any) -> Any:
    """Convert lists back to arrays where the generator's own state has arrays."""
    if isinstance(own, dict):
        return {name: _as_arrays(value[name], part) for name, part in own.items()}
    return np.asarray(value, dtype=own.dtype).reshape(own.shape) if isinstance(own, np.ndarray) else value
