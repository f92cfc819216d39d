"""The edit distance between two sequences: the fewest insertions, deletions and substitutions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

__all__ = ["edit_distance"]


def edit_distance(found: Sequence[Hashable], wanted: Sequence[Hashable]) -> int:
    """Return how many insertions, deletions and substitutions turn one sequence into the other.

    Parameters
    ----------
    found, wanted : sequence
        Of any symbols: the characters of a str, or a list of words.

    References
    ----------
    Levenshtein (1966), "Binary Codes Capable of Correcting Deletions, Insertions, and Reversals". Wagner,
    Fischer (1974), "The String-to-String Correction Problem".

    Examples
    --------
    >>> edit_distance("kitten", "sitting"), edit_distance("six one".split(), "six nine one".split())
    (3, 1)
    """
    ids = {symbol: i for i, symbol in enumerate({*found, *wanted})}
    columns = np.array([ids[symbol] for symbol in wanted], np.int64)
    places = np.arange(len(columns) + 1)
    row = places.copy()  # distances between the first symbols of `found` and each beginning of `wanted`
    for symbol in found:
        below = row + 1
        below[1:] = np.minimum(below[1:], row[:-1] + (columns != ids[symbol]))
        row = (
            np.minimum.accumulate(below - places) + places
        )  # insertions: one more for each place to the right
    return int(row[-1])
