"""Random masks, functions of a key and a step: the same on replay, in segments and for any threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastrnn._arrays import Array, Ids

__all__ = ["DropoutMask", "draw", "draw_key", "dropout_mask", "locked_mask", "step_masks"]

BETWEEN_LAYERS = 100  # a stream of random numbers of its own; those of one layer's masks are in general.py


def draw_key(generator: np.random.Generator) -> int:
    """Draw what the masks of one pass hang on."""
    return int(generator.integers(1 << 63))


def draw(key: int, purpose: int, first: int, steps: int, width: int, probability: float) -> Any:
    """Say for each of `width` things at each step, from `first` on, whether it is dropped: [steps, width].

    The numbers are those of the counter-based generator Philox 4x64 (Salmon et al. 2011, "Parallel Random
    Numbers: As Easy as 1, 2, 3"): a step begins at a counter of its own, so that any can be drawn alone.
    """
    blocks = -(-width // 8)  # of four 64-bit numbers, each of which serves two things
    generator = np.random.Philox(key=[key, purpose])
    generator.advance(first * blocks)
    numbers = generator.random_raw(steps * blocks * 4).view(np.uint32).reshape(steps, blocks * 8)
    return numbers[:, :width] < np.uint32(round(probability * 2.0**32))


def dropout_mask(
    shape: tuple[int, ...], probability: float, dtype: np.dtype[Any], generator: np.random.Generator
) -> Array | None:
    """Draw what to multiply with, [T, N, width]: 0 with the given probability p, else ``1 / (1 - p)``.

    Probability 0 gives None.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: A Simple Way to Prevent Neural
    Networks from Overfitting"; scaled in training, so that inference needs no change.
    """
    if probability == 0.0:
        return None
    return DropoutMask(shape, probability, dtype, generator).steps(0, shape[0])


class DropoutMask:
    """A mask as `dropout_mask` draws it, of which only the key is kept.

    Parameters
    ----------
    shape : (T, N, width)
    probability, dtype, generator
        As for `dropout_mask`; the generator is left as that leaves it.
    """

    __slots__ = ("dtype", "key", "probability", "shape")

    def __init__(
        self,
        shape: tuple[int, ...],
        probability: float,
        dtype: np.dtype[Any],
        generator: np.random.Generator,
    ) -> None:
        self.shape, self.probability, self.dtype = shape, probability, dtype
        self.key = draw_key(generator)

    def steps(self, begin: int, end: int) -> Array:
        """Give the mask of some steps, float [end - begin, N, width]."""
        width = math.prod(self.shape[1:])
        kept = ~draw(self.key, BETWEEN_LAYERS, begin, end - begin, width, self.probability)
        scale = self.dtype.type(1.0 / (1.0 - self.probability))
        mask: Array = np.multiply(kept.reshape(-1, *self.shape[1:]), scale, dtype=self.dtype)
        return mask


def locked_mask(
    key: int, purpose: int, shape: tuple[int, int], probability: float, dtype: np.dtype[Any]
) -> Array:
    """Draw a mask for every step alike, [N, width]: 0 with the given probability, else ``1 / (1 - p)``."""
    dropped = draw(key, purpose, 0, 1, shape[0] * shape[1], probability).reshape(shape)
    mask: Array = np.multiply(~dropped, dtype.type(1.0 / (1.0 - probability)), dtype=dtype)
    return mask


def step_masks(dropped: Any, shape: tuple[int, int, int], times: Ids | None) -> Any:
    """Give the masks of a walk's steps [T, N, width] in the order of time.

    `times` [T, N]: the step of the walk at each time and row, where the walk does not go with time.
    """
    walk = dropped.reshape(shape)
    return walk if times is None else walk[times, np.arange(shape[1])]
