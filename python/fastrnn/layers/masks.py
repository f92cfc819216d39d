"""Random masks, functions of a key and a step: the same on replay, in segments and for any threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import Array, Ids

__all__ = ["draw", "draw_key", "locked_mask", "step_masks"]


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
