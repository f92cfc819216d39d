"""Symbols and their ids, independent of any text."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn._arrays import as_dtype, as_ids
from fastrnn._checks import as_choice, as_integers
from fastrnn._foreign import of_others
from fastrnn._memory import named_memory
from fastrnn._plain import Check, as_fields, as_is, as_text, as_texts, optional
from fastrnn.data.symbols import checked_symbols, special_symbols
from fastrnn.data.tokenize import tokenizer_from_json, tokenizer_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MARKS", "SymbolTable"]

MARKS = ("eos", "bos", "pad")

# The fields of a description.
_REQUIRED: dict[str, Check] = {
    "level": partial(as_choice, choices=("char", "word")),
    "symbols": as_texts,
    "unknown": as_text,
}
_OPTIONAL: dict[str, Check] = {**{mark: optional(as_text) for mark in MARKS}, "tokenizer": as_is}


class SymbolTable:
    """The part of a `Vocabulary` that needs no text: its symbols, the special ones, and its description."""

    level: str
    unknown: str

    def __init__(
        self,
        symbols: Iterable[str],
        *,
        level: str = "char",
        unknown: str = "error",
        eos: str | None = None,
        bos: str | None = None,
        pad: str | None = None,
        tokenizer: Any = None,
    ) -> None:
        self._tokenizer = tokenizer_of(level, tokenizer)
        special = special_symbols(unknown, eos, bos, pad)
        self.symbols: tuple[str, ...] = checked_symbols(symbols, level, special)
        self.level, self.unknown = level, unknown
        self._id_of = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._special = {part: self._id_of[symbol] for part, symbol in special.items()}

    @classmethod
    def from_json(cls, value: Any, *, tokenizer: Any = None) -> Self:
        """Return the vocabulary that `to_json` described.

        Parameters
        ----------
        value : mapping
        tokenizer : str, callable or tokenizers.Tokenizer, optional
            Replaces the described one; needed if that was a function.

        Raises
        ------
        ValueError
            If the value does not describe a vocabulary, or its tokeniser was a function and none is given.
        ImportError
            If its tokeniser needs the package ``tokenizers``, which is not installed.
        """
        try:
            given = as_fields("vocabulary", value, _REQUIRED, _OPTIONAL)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if "tokenizer" in given:
            described = given.pop("tokenizer")
            tokenizer = tokenizer_from_json(described) if tokenizer is None else tokenizer
        return cls(given.pop("symbols"), tokenizer=tokenizer, **given)

    def to_json(self) -> dict[str, Any]:
        """Return a description of the vocabulary as plain values, ready for ``json.dumps``.

        It does not include a tokeniser that is a function: pass that to `from_json` again.

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> Vocabulary("ab", eos="<eos>").to_json()
        {'level': 'char', 'symbols': ['a', 'b', '<eos>'], 'unknown': 'error', 'eos': '<eos>'}
        """
        value = {"level": self.level, "symbols": list(self.symbols), "unknown": self.unknown}
        value |= {part: self.symbols[self._special[part]] for part in MARKS if part in self._special}
        return value if self._tokenizer is None else value | {"tokenizer": self._tokenizer.to_json()}

    @property
    def tokenizer(self) -> Any:
        """The tokeniser of lines; None at the character level."""
        return None if self._tokenizer is None else self._tokenizer.given

    @property
    def unknown_id(self) -> int | None:
        """Id of the replacement symbol."""
        return self._special.get("unknown")

    @property
    def eos_id(self) -> int | None:
        """Id of the end symbol."""
        return self._special.get("eos")

    @property
    def bos_id(self) -> int | None:
        """Id of the start symbol."""
        return self._special.get("bos")

    @property
    def pad_id(self) -> int | None:
        """Id of the padding symbol."""
        return self._special.get("pad")

    def one_hot(self, ids: ArrayLike, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Return ids as one-hot vectors. For illustration: layers and models take the ids themselves.

        Parameters
        ----------
        ids : array_like, int, any shape
        dtype : {"float32", "float64"}, default "float32"

        Returns
        -------
        vectors : ndarray of `dtype`, shape [..., V]

        Raises
        ------
        ValueError
            If an id is out of range.
        TypeError
            If ids are not integers.

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> Vocabulary("abc").one_hot([2, 0])
        array([[0., 0., 1.],
               [1., 0., 0.]], dtype=float32)
        """
        numbers = as_ids("ids", ids, ("...",))
        self._checked_ids(numbers.ravel())
        with named_memory("one_hot", "pass the ids themselves: layers and models take them"):
            vectors = np.zeros((*numbers.shape, len(self)), as_dtype(dtype))
        np.put_along_axis(vectors, numbers[..., None], 1, axis=-1)
        return vectors

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._id_of

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SymbolTable):
            return NotImplemented
        return (
            (self.level, self.unknown, self._special) == (other.level, other.unknown, other._special)
            and self.symbols == other.symbols
            and self._tokenizer == other._tokenizer
        )

    def __hash__(self) -> int:
        return hash((self.symbols, self.unknown))

    def __repr__(self) -> str:
        level = "" if self.level == "char" else f"level={self.level!r}, "
        marks = [f", {part}={self.symbols[self._special[part]]!r}" for part in MARKS if part in self._special]
        return f"<Vocabulary of {len(self)} symbols, {level}unknown={self.unknown!r}{''.join(marks)}>"

    def _checked_ids(self, ids: Iterable[int]) -> list[int]:
        ids = of_others("ids", ids)
        if isinstance(ids, np.ndarray) and ids.size:
            numbers: list[int] = as_ids("ids", ids, ("symbols",)).tolist()
        else:
            numbers = as_integers("ids", ids)
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(self):
            strange = next(number for number in numbers if not 0 <= number < len(self))
            raise ValueError(f"ids: {strange} is out of range for {len(self)} symbols")
        return numbers
