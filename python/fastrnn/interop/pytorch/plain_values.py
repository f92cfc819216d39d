"""Whether nested values from a stranger are plain: no cycles, no depth, no sharing that grows without end."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from fastrnn.interop.pytorch.pickle_machine import Global

__all__ = ["check_plain"]

_DEEPEST = 100
_MOST_VALUES = 2_000_000  # counted as often as they appear
_LEAVES = (type(None), bool, int, float, str, bytes, np.ndarray)


def check_plain(value: Any) -> None:
    """Check that a value can be walked, printed and copied in bounded time.

    A list of ten lists that are one, and so on fifteen times, takes a few bytes in a file and in memory, and
    has 10^15 entries for whoever walks it.

    Raises
    ------
    ValueError
        If it holds itself, is nested too deep, has too many entries, or one that is not plain.
    """
    sizes: dict[int, tuple[int, int]] = {}  # of each finished container: entries, depth
    open_: set[int] = set()
    todo: list[tuple[Any, bool]] = [(value, False)]
    while todo:
        item, entered = todo.pop()
        if type(item) in _LEAVES or id(item) in sizes:
            continue
        parts = _parts(item)
        if not entered:
            if id(item) in open_:
                raise ValueError("a container that holds itself")
            open_.add(id(item))
            todo.append((item, True))
            todo += [(part, False) for part in parts if type(part) not in _LEAVES]
            continue
        open_.discard(id(item))
        known = [sizes.get(id(part), (1, 0)) for part in parts]
        entries, depth = 1 + sum(size for size, _ in known), 1 + max((deep for _, deep in known), default=0)
        if depth > _DEEPEST:
            raise ValueError(f"nested too deep: expected at most {_DEEPEST} levels")
        if entries > _MOST_VALUES:
            raise ValueError(f"expected at most {_MOST_VALUES} entries, containers in containers")
        sizes[id(item)] = entries, depth


def _parts(item: Any) -> list[Any]:
    if type(item) in (dict, OrderedDict):
        return list(item.values())
    if type(item) in (list, tuple):
        return list(item)
    if type(item) in (set, frozenset):
        return []  # of plain keys, which the reader checked
    named = f"the name {item}" if isinstance(item, Global) else f"a {type(item).__name__.strip('_').lower()}"
    raise ValueError(f"expected tensors and plain values, got {named}")
