"""Random numbers of layers: the start of parameters, and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastrnn._arrays import Array

if TYPE_CHECKING:
    Seed: TypeAlias = int | np.random.Generator | None

__all__ = [
    "PackedMask",
    "as_generator",
    "as_probability",
    "dropout_mask",
    "fill_uniform",
    "random_state",
    "set_random_state",
]


def as_generator(seed: Seed) -> np.random.Generator:
    """Make the generator of a seed; a generator is used as it is, None gives another one each time."""
    return np.random.default_rng(seed)


def as_probability(name: str, value: Any) -> float:
    """Check a probability in [0, 1).

    Raises
    ------
    ValueError
        If it is out of range.
    TypeError
        If it is no number.
    """
    if not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name}: expected a probability in [0, 1), got {value}")
    return float(value)


def fill_uniform(values: Array, bound: float, generator: np.random.Generator) -> None:
    """Fill an array from the uniform distribution over [-bound, bound), in place."""
    generator.random(out=values, dtype=values.dtype)
    values *= 2.0 * bound
    values -= bound


def dropout_mask(
    shape: tuple[int, ...], probability: float, dtype: np.dtype[Any], generator: np.random.Generator
) -> Array | None:
    """Draw what to multiply with: 0 with the given probability, else ``1 / (1 - probability)``.

    Probability 0 gives None.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: A Simple Way to Prevent Neural
    Networks from Overfitting"; scaled in training, so that inference needs no change.
    """
    if probability == 0.0:
        return None
    kept = generator.random(shape, dtype=dtype) >= probability
    mask: Array = np.multiply(kept, dtype.type(1.0 / (1.0 - probability)), dtype=dtype)
    return mask


class PackedMask:
    """A mask as `dropout_mask` draws it, kept in one bit a value.

    Parameters
    ----------
    shape : (T, N, width)
    probability, dtype, generator
        As for `dropout_mask`; the generator is left as that leaves it.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        probability: float,
        dtype: np.dtype[Any],
        generator: np.random.Generator,
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self.scale = dtype.type(1.0 / (1.0 - probability))
        # Step by step, as there may be no room for all in floats; the numbers are those of one long draw.
        drawn = (generator.random(shape[1:], dtype=dtype) >= probability for _ in range(shape[0]))
        self._bits = np.array([np.packbits(kept) for kept in drawn])

    @property
    def nbytes(self) -> int:
        """Bytes of the bits."""
        return self._bits.nbytes

    def steps(self, begin: int, end: int) -> Array:
        """Give the mask of some steps, float [end - begin, N, width]."""
        _, rows, width = self.shape
        kept = np.unpackbits(self._bits[begin:end], axis=1, count=rows * width)
        mask: Array = np.multiply(kept.reshape(end - begin, rows, width), self.scale, dtype=self.dtype)
        return mask


def random_state(generator: np.random.Generator) -> dict[str, Any]:
    """Give a generator's state in plain values, ready for ``json.dumps``."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value

    state: dict[str, Any] = plain(generator.bit_generator.state)
    return state


def set_random_state(generator: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Set the state that `random_state` gave.

    Raises
    ------
    ValueError
        If it is none, or one of another kind of generator. Nothing has changed then.
    """
    own = generator.bit_generator.state
    if dict(state).get("bit_generator") != own["bit_generator"]:
        raise ValueError(f"random state: expected one of {own['bit_generator']}, got {state!r}")
    try:
        generator.bit_generator.state = _as_arrays(state, own)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        generator.bit_generator.state = own
        raise ValueError(f"random state: {error}") from None


def _as_arrays(value: Any, own: Any) -> Any:
    """Make lists arrays again where the generator's own state has arrays."""
    if isinstance(own, dict):
        return {name: _as_arrays(value[name], part) for name, part in own.items()}
    return np.asarray(value, dtype=own.dtype).reshape(own.shape) if isinstance(own, np.ndarray) else value
