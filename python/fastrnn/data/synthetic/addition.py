"""Sums of two numbers as texts, for models that read characters and write characters."""

from __future__ import annotations

import numpy as np

from fastrnn._checks import Seed, as_generator, as_size

__all__ = ["character_addition"]


def character_addition(count: int, digits: int = 3, *, seed: Seed = None) -> tuple[list[str], list[str]]:
    """Return sums such as ``"12+345"``, and what they come to, ``"357"``.

    For each number, first how many digits it has is drawn uniformly, then the number among those with so many
    digits; none begins with 0, but 0 itself.

    Parameters
    ----------
    count : int
        N, at least 1.
    digits : int, default 3
        The most digits of a number, in ``1 .. 18``.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    X, y : list of str

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or not an integer, or the seed is of another kind.

    References
    ----------
    Zaremba, Sutskever (2014), "Learning to Execute", section 3.

    Examples
    --------
    >>> character_addition(3, seed=0)
    (['167+11', '25+8', '6+9'], ['178', '33', '15'])
    """
    rows, most = as_size("count", count), as_size("digits", digits, most=18)
    random = as_generator(seed)
    width = random.integers(1, most + 1, (rows, 2))
    numbers = random.integers(np.where(width == 1, 0, 10 ** (width - 1)), 10**width)
    sums = numbers.sum(axis=1)
    return [f"{a}+{b}" for a, b in numbers.tolist()], [str(total) for total in sums.tolist()]
