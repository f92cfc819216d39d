"""Random numbers for layers: initial parameters, and states of generators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_size
from fastrnn._plain import as_mapping
from fastrnn.layers.base.batch_rows import current_rows
from fastrnn.layers.base.dropout import draw_key

__all__ = [
    "even_draws",
    "fill_uniform",
    "random_state",
    "rows_generator",
    "set_random_state",
]


def fill_uniform(values: Array, bound: float, generator: np.random.Generator) -> None:
    """Fill an array from the uniform distribution over [-bound, bound), in place."""
    generator.random(out=values, dtype=values.dtype)
    values *= 2.0 * bound
    values -= bound


def rows_generator(generator: np.random.Generator) -> np.random.Generator:
    """Return the generator of what is drawn for the rows of a batch, in any order and number.

    It is the given one, unless a pass computes a part of a batch (`batch_rows`). Then it is a new one that
    follows from the given one and from the part's first row, and the given one advances by the same amount
    for all parts.
    """
    part = current_rows()
    if part is None:
        return generator
    return np.random.Generator(np.random.Philox(key=draw_key(generator), counter=part.first << 192))


@contextmanager
def even_draws(generator: np.random.Generator) -> Iterator[None]:
    """Leave a generator in the same state for all parts of a batch, however much the block draws.

    For passes that draw at each step, as the longest rows of the parts differ in length. With a whole batch
    it does nothing.
    """
    if current_rows() is None:
        yield
        return
    numbers = generator.bit_generator
    before = numbers.state
    after = type(numbers)(draw_key(generator)).state
    numbers.state = before
    yield
    numbers.state = after


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
