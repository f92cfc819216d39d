"""The order of layers whose file keeps none: those in which each can read what the one before it returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from fastrnn.layers.composite.parts import widths

__all__ = ["fit_together", "fitting_orders"]

_MOST_TRIED = 10_000


def fitting_orders(layers: Mapping[str, Any], most: int = 3) -> list[tuple[str, ...]]:
    """Return orders in which all layers form a chain, at most so many.

    Examples
    --------
    >>> import fastrnn as fr
    >>> fitting_orders({"decoder": fr.Linear(8, 10), "encoder": fr.Embedding(10, 4), "rnn": fr.GRU(4, 8)})
    [('encoder', 'rnn', 'decoder')]
    """
    search = _Search(layers)
    return [order for order, _ in zip(search.orders((), None), range(most), strict=False)]


def fit_together(layers: Mapping[str, Any]) -> bool:
    """Return whether each layer can read what the one before it returns."""
    return all(reads == returns for (_, returns), (reads, _) in pairwise(widths(layers)))


class _Search:
    """Tries one layer after the other; gives up after so many tries."""

    def __init__(self, layers: Mapping[str, Any]) -> None:
        self._widths = dict(zip(layers, widths(layers), strict=True))
        self._left = _MOST_TRIED

    def orders(self, begun: tuple[str, ...], width: int | None) -> Iterator[tuple[str, ...]]:
        """Yield the ways to go on from a chain of this width."""
        if len(begun) == len(self._widths):
            yield begun
            return
        for name, (reads, returns) in self._widths.items():
            if name in begun or (begun and reads != width):
                continue
            self._left -= 1
            if self._left < 0:
                return
            yield from self.orders((*begun, name), returns)
