"""The sum over a power of two of ranks, in the order of the tree, with few messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.train.distributed.ranks import Ranks

__all__ = ["add_up_in_pairs", "come_in_pairs"]


def come_in_pairs(ranks: Ranks) -> bool:
    """Return whether the ranks are a power of two: then the tree splits each group of them in the middle.

    Examples
    --------
    >>> import fastrnn as fr
    >>> come_in_pairs(fr.train.distributed.OneProcess(shards=3))
    True
    """
    return ranks.size & (ranks.size - 1) == 0


def add_up_in_pairs(ranks: Ranks, values: Array) -> int:
    """Replace an array by its sum over the ranks, and return the bytes that this rank sent. Collective.

    Neighbours exchange halves and add them, then pairs of neighbours exchange halves of these, and so on, one
    level of the tree after the other, until each rank has a slice of the total. The slices return the same
    way. A rank sends ``2 log2 K`` messages instead of ``2 (K - 1)``, and as many bytes.

    The algorithm is that of R. Rabenseifner, "Optimization of Collective Reduction Operations", ICCS 2004,
    with the nearest ranks first.

    Parameters
    ----------
    ranks : Ranks
        A power of two of them.
    values : ndarray, 1-D
        This rank's addend.
    """
    received = np.empty((len(values) + 1) // 2, values.dtype)
    own, turns = slice(0, len(values)), []
    distance = 1
    while distance < ranks.size:
        other = ranks.rank ^ distance
        middle = (own.start + own.stop + 1) // 2
        halves = slice(own.start, middle), slice(middle, own.stop)
        own, given = halves if ranks.rank < other else halves[::-1]
        sum_of_both = values[own]
        came = received[: len(sum_of_both)]
        ranks.swap(other, values[given], came)
        sum_of_both += came
        turns.append((other, own, given))
        distance *= 2
    for other, own, given in reversed(turns):
        ranks.swap(other, values[own], values[given])
    return sum(values[given].nbytes + values[own].nbytes for _, own, given in turns)
