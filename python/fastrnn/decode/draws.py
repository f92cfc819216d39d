"""Random numbers of many texts side by side, each from a generator of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import Seed, as_generator

__all__ = ["Uniforms", "draw"]


class Uniforms:
    """Uniform numbers of each text of a batch: those of text i are the same in a batch of any size.

    Parameters
    ----------
    count : int
        How many texts.
    seed : int or numpy.random.Generator, optional
        A generator gives one number, as the seed of all.

    Examples
    --------
    >>> import numpy as np
    >>> many, one = Uniforms(64, seed=3), Uniforms(1, seed=3)
    >>> bool(many(np.arange(64))[0] == one(np.arange(1))[0])
    True
    """

    def __init__(self, count: int, seed: Seed = None) -> None:
        # Not Generator.spawn: NumPy before 1.25 lacks it, and a generator's saved state knows nothing of it.
        as_generator(seed)  # refuses what is no seed
        number = int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else seed
        sequences = np.random.SeedSequence(number).spawn(count)
        self._random = [np.random.default_rng(sequence).random for sequence in sequences]

    def __call__(self, texts: NDArray[np.intp]) -> NDArray[np.float64]:
        """Give the next number in [0, 1) of each of these texts."""
        random = self._random
        return np.array([random[text]() for text in texts.tolist()])


def draw(probabilities: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose the symbol at a point of each distribution.

    Parameters
    ----------
    probabilities : ndarray, float64, shape [N, V]
        Each row may sum to any number that is not subnormal.
    points : ndarray, float64, shape [N]
        In [0, 1).

    Returns
    -------
    symbols : ndarray, int64, shape [N]
        Never one whose probability is 0.

    Examples
    --------
    >>> import numpy as np
    >>> draw(np.array([[0.0, 0.5, 0.5, 0.0]] * 3), np.array([0.0, 0.49, 0.99])).tolist()
    [1, 1, 2]
    """
    sums = np.add.accumulate(probabilities, axis=1)
    # The highest point is 1 - 2**-53. It takes more than half of its last place from a sum, or a power of two
    # exactly one place of those below: the product never rounds up to the sum, and a symbol is found.
    symbols: NDArray[np.int64] = (sums <= points[:, None] * sums[:, -1:]).argmin(axis=1)
    return symbols
