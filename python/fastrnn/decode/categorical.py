"""Random symbols for a batch of texts, each text with its own random generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import Seed, as_generator

__all__ = ["UniformStreams", "sample_categorical"]


class UniformStreams:
    """Uniform random numbers for each text of a batch: text i gets the same ones in a batch of any size.

    Parameters
    ----------
    count : int
        Number of texts.
    seed : int or numpy.random.Generator, optional
        One number is taken from a generator, as the seed of all.

    Examples
    --------
    >>> import numpy as np
    >>> many, one = UniformStreams(64, seed=3), UniformStreams(1, seed=3)
    >>> bool(many(np.arange(64))[0] == one(np.arange(1))[0])
    True
    """

    def __init__(self, count: int, seed: Seed = None) -> None:
        # Not Generator.spawn: NumPy before 1.25 lacks it, and a generator's saved state does not include it.
        as_generator(seed)  # raises if it is not a seed
        number = int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else seed
        sequences = np.random.SeedSequence(number).spawn(count)
        self._random = [np.random.default_rng(sequence).random for sequence in sequences]

    def __call__(self, texts: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the next number in [0, 1) of each of these texts."""
        random = self._random
        return np.array([random[text]() for text in texts.tolist()])


def sample_categorical(probabilities: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the symbol at a given point of each distribution's cumulative sum.

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
    >>> sample_categorical(np.array([[0.0, 0.5, 0.5, 0.0]] * 3), np.array([0.0, 0.49, 0.99])).tolist()
    [1, 1, 2]
    """
    sums = np.add.accumulate(probabilities, axis=1)
    # The highest point is 1 - 2**-53. Multiplying by it lowers a sum by more than half an ulp, and a power of
    # two by exactly one ulp below it: the product never rounds up to the sum, so a symbol is always found.
    symbols: NDArray[np.int64] = (sums <= points[:, None] * sums[:, -1:]).argmin(axis=1)
    return symbols
