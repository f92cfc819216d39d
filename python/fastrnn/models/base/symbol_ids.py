"""Symbols and their ids: what was seen in training, with reserved ids before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size
from fastrnn._plain import as_fields, as_list

__all__ = ["SymbolIds"]

Symbol = Any  # a str or an int


class SymbolIds:
    """Symbols (str or int) and their ids, which start after a number of reserved ids.

    Parameters
    ----------
    symbols : sequence of str or int
        Symbol ``i`` has the id ``reserved + i``.
    counts : sequence of int
        How often each was seen.
    reserved : int, default 1
        The ids ``0 .. reserved - 1`` are no symbols. 0 stands for every unknown symbol.
    """

    symbols: tuple[Any, ...]
    counts: tuple[int, ...]
    reserved: int

    def __init__(self, symbols: Sequence[Symbol], counts: Sequence[int], reserved: int = 1) -> None:
        self.symbols, self.counts, self.reserved = tuple(symbols), tuple(counts), reserved
        self._ids = {symbol: reserved + i for i, symbol in enumerate(self.symbols)}

    @classmethod
    def learn(
        cls, sequences: Iterable[Iterable[Symbol]], *, min_count: int = 1, reserved: int = 1
    ) -> SymbolIds:
        """Return the symbols that occur at least `min_count` times, the most frequent first."""
        counts: Counter[Symbol] = Counter()
        for sequence in sequences:
            counts.update(sequence)
        kept = [(symbol, count) for symbol, count in counts.items() if count >= min_count]
        kept.sort(key=lambda pair: (-pair[1], str(type(pair[0])), pair[0]))
        return cls([symbol for symbol, _ in kept], [count for _, count in kept], reserved)

    def __len__(self) -> int:
        """Return the number of ids, the reserved ones included."""
        return self.reserved + len(self.symbols)

    def __contains__(self, symbol: Symbol) -> bool:
        return symbol in self._ids

    def encode(self, sequence: Iterable[Symbol]) -> NDArray[np.int64]:
        """Return the ids of a sequence, int64 [T]; 0 for a symbol that is unknown."""
        ids = self._ids
        return np.array([ids.get(symbol, 0) for symbol in sequence], np.int64)

    def decode(self, ids: Iterable[int]) -> list[Symbol]:
        """Return the symbols of ids, without the reserved ones."""
        return [self.symbols[i - self.reserved] for i in map(int, ids) if i >= self.reserved]

    def unknown_probabilities(self, alpha: float) -> NDArray[np.float64] | None:
        """Return for each id the probability ``alpha / (alpha + count)``; None if all are 0.

        References
        ----------
        Kiperwasser, Goldberg (2016), "Simple and Accurate Dependency Parsing Using Bidirectional LSTM Feature
        Representations", section 4.
        """
        if alpha == 0.0:
            return None
        return np.array([0.0] * self.reserved + [alpha / (alpha + count) for count in self.counts])

    def to_plain(self) -> dict[str, Any]:
        """Return the table as plain values, ready for ``json.dumps``."""
        return {"symbols": list(self.symbols), "counts": list(self.counts), "reserved": self.reserved}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> SymbolIds:
        """Return the table that `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        fields = as_fields("symbols", values, {"symbols": _symbols, "counts": _counts, "reserved": as_size})
        if len(fields["symbols"]) != len(fields["counts"]):
            raise ValueError("symbols: expected a count for each")
        return cls(fields["symbols"], fields["counts"], fields["reserved"])


def as_symbol(name: str, value: Any) -> Symbol:
    """Check a symbol: a str or an int; NumPy's become Python's.

    Raises
    ------
    TypeError
        If it is of another kind.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise TypeError(f"{name}: expected a str or an int, got {type(value).__name__}")


def _symbols(name: str, value: Any) -> list[Symbol]:
    symbols = as_list(name, value, as_symbol)
    if len(set(symbols)) != len(symbols):
        raise ValueError(f"{name}: expected each once")
    return symbols


def _counts(name: str, value: Any) -> list[int]:
    return as_list(name, value, as_size)
