"""The shards of a batch, and the fixed binary tree in which their gradients are added."""

from __future__ import annotations

from math import isqrt

__all__ = ["MOST_SHARDS", "SumTree", "divisors", "shard_rows"]

#: More than any batch needs; the tree of so many takes a few megabytes.
MOST_SHARDS = 1 << 16

Node = tuple[int, int]


def divisors(number: int) -> list[int]:
    """Return the numbers that divide a number, in order.

    Examples
    --------
    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [one for one in range(1, isqrt(number) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})


def shard_rows(rows: int, shards: int) -> list[slice]:
    """Return the rows of each shard of a batch: consecutive and of equal size, the first ones with one more.

    Parameters
    ----------
    rows : int
        Rows of the batch.
    shards : int
        Number of shards; those beyond the number of rows are empty.

    Examples
    --------
    >>> [(part.start, part.stop) for part in shard_rows(10, 4)]
    [(0, 3), (3, 6), (6, 8), (8, 10)]
    """
    size, more = divmod(rows, shards)
    ends = [(shard + 1) * size + min(shard + 1, more) for shard in range(shards)]
    return [slice(first, end) for first, end in zip([0, *ends], ends, strict=False)]


class SumTree:
    """A binary tree over the shards ``0 .. shards - 1``: the order in which what they computed is added.

    A node is a range of shards ``[first, end)``. It is the sum of its two halves, of which the left one has a
    shard more if their number is odd.

    Parameters
    ----------
    shards : int
        At least 1.

    Examples
    --------
    >>> tree = SumTree(12)
    >>> tree.middle[0, 12], tree.middle[0, 6], tree.middle[0, 3]
    (6, 3, 2)

    Of 12 shards on 2 processes the first one adds all of its own; on 3 its four are parts of two sums:

    >>> tree.cover(range(0, 6)), tree.cover(range(0, 4))
    ([(0, 6)], [(0, 3), (3, 4)])
    """

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self.middle: dict[Node, int] = {}
        todo = [(0, shards)]
        while todo:
            first, end = todo.pop()
            if end - first > 1:
                middle = first + (end - first + 1) // 2
                self.middle[first, end] = middle
                todo += [(first, middle), (middle, end)]

    def cover(self, own: range) -> list[Node]:
        """Return the fewest nodes that together are some consecutive shards, in their order."""
        found: list[Node] = []
        todo = [(0, self.shards)]
        while todo:
            first, end = todo.pop()
            if end <= own.start or own.stop <= first:
                continue
            if own.start <= first and end <= own.stop:
                found.append((first, end))
                continue
            middle = self.middle[first, end]
            todo += [(middle, end), (first, middle)]
        return found
