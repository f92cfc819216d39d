"""Symbols and their numbers: the vocabulary of a character model."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Vocabulary"]

_NOT_A_SYMBOL = -1


class Vocabulary:
    """Characters and their ids: symbol ``i`` of ``symbols`` has id ``i``.

    Parameters
    ----------
    symbols : iterable of str
        The symbols in the order of their ids, each a single character and each once.
    unknown : str, default "error"
        What `encode` does with a character that is no symbol. ``"error"``: raise ValueError with the
        character and its position. ``"skip"``: leave it out. Anything else is a replacement symbol, for
        example ``"<unk>"`` or ``"?"``: the character gets that symbol's id. The replacement is added behind
        the other symbols if it is not one of them.

    Attributes
    ----------
    symbols : tuple of str
        All symbols, the replacement symbol included.
    unknown : str
        As given.

    Raises
    ------
    ValueError
        If there is no symbol, a symbol comes twice or is not a single character.

    Examples
    --------
    >>> from fastrnn.data import Vocabulary
    >>> vocabulary = Vocabulary.from_text("hello")
    >>> vocabulary.symbols
    ('e', 'h', 'l', 'o')
    >>> vocabulary.encode("hole")
    array([1, 3, 2, 0])
    >>> vocabulary.decode([1, 0, 2, 2, 3])
    'hello'
    """

    level = "char"

    def __init__(self, symbols: Iterable[str], *, unknown: str = "error") -> None:
        names = list(symbols)
        if not _is_text(unknown):
            raise ValueError(f'unknown: expected "error", "skip" or a replacement symbol, got {unknown!r}')
        if unknown not in ("error", "skip") and unknown not in names:
            names.append(unknown)
        _check_symbols(names, unknown)
        self.symbols: tuple[str, ...] = tuple(names)
        self.unknown = unknown
        self._id_of = {symbol: index for index, symbol in enumerate(names)}
        self._id_of_code = self._lookup_table()

    @classmethod
    def from_text(cls, text: str, *, unknown: str = "error") -> Vocabulary:
        """Make the vocabulary of all the characters of a text, sorted by code point.

        Parameters
        ----------
        text : str
            At least one character.
        unknown : str, default "error"
            As for the constructor.

        Raises
        ------
        ValueError
            If the text is empty.
        """
        return cls(sorted(set(text)), unknown=unknown)

    @classmethod
    def from_json(cls, value: Any) -> Vocabulary:
        """Make the vocabulary that `to_json` described.

        Raises
        ------
        ValueError
            If the value does not describe a character vocabulary.
        """
        if not isinstance(value, Mapping) or value.get("level") != cls.level:
            raise ValueError("vocabulary: expected a description with level 'char'")
        symbols: Any = value.get("symbols")
        unknown: Any = value.get("unknown")
        if not isinstance(symbols, list) or not _is_text(unknown):
            raise ValueError("vocabulary: expected a list of symbols and a policy for unknown ones")
        return cls(symbols, unknown=unknown)

    def to_json(self) -> dict[str, Any]:
        """Describe the vocabulary in plain values, ready for ``json.dumps``."""
        return {"level": self.level, "symbols": list(self.symbols), "unknown": self.unknown}

    def encode(self, text: str, *, unknown: str | None = None) -> NDArray[np.int64]:
        """Turn a text into ids.

        Parameters
        ----------
        text : str
            Any text, empty included.
        unknown : {"error", "skip"}, optional
            Another policy for this call alone.

        Returns
        -------
        ids : ndarray, int64, shape [len(text)] (shorter where unknown characters are skipped)

        Raises
        ------
        ValueError
            If the policy is "error" and a character is no symbol; the message names it and its position.
        """
        policy = self.unknown if unknown is None else unknown
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids: NDArray[np.int64] = self._id_of_code[np.minimum(codes, len(self._id_of_code) - 1)]
        strange: NDArray[np.bool_] = ids == _NOT_A_SYMBOL
        if not strange.any():
            return ids
        if policy == "skip":
            return ids[~strange]
        if policy == "error":
            position = int(strange.argmax())
            raise ValueError(f"text: {text[position]!r} at position {position} is not in the vocabulary")
        if policy not in self._id_of:
            raise ValueError(f"unknown: {policy!r} is no symbol of the vocabulary")
        ids[strange] = self._id_of[policy]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into a text.

        Parameters
        ----------
        ids : iterable of int
            Each in ``0 .. len(vocabulary) - 1``.

        Raises
        ------
        ValueError
            If an id is out of range; the message names it.
        """
        numbers = [operator.index(i) for i in ids]
        for number in numbers:
            if not 0 <= number < len(self.symbols):
                raise ValueError(f"ids: {number} is out of range for {len(self.symbols)} symbols")
        return "".join([self.symbols[number] for number in numbers])

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._id_of

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.symbols == other.symbols and self.unknown == other.unknown

    def __hash__(self) -> int:
        return hash((self.symbols, self.unknown))

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} symbols, unknown={self.unknown!r}>"

    def _lookup_table(self) -> NDArray[np.int64]:
        """Id of each code point up to the highest symbol; the last entry stands for everything above."""
        single = {ord(symbol): index for symbol, index in self._id_of.items() if len(symbol) == 1}
        table = np.full(max(single, default=0) + 2, _NOT_A_SYMBOL, dtype=np.int64)
        for code, index in single.items():
            table[code] = index
        return table


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _check_symbols(names: list[str], unknown: str) -> None:
    if not names:
        raise ValueError("symbols: expected at least one, got none")
    for symbol in names:
        if not _is_text(symbol) or (len(symbol) != 1 and symbol != unknown):
            raise ValueError(f"symbols: expected single characters, got {symbol!r}")
    if len(set(names)) != len(names):
        twice = next(symbol for index, symbol in enumerate(names) if symbol in names[:index])
        raise ValueError(f"symbols: {twice!r} comes twice")
