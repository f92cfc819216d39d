"""The symbols of a vocabulary: special symbols, and the most frequent ones of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from fastrnn._checks import as_integers, as_size
from fastrnn.data.tokenize import check_text, tokenizer_of

__all__ = [
    "POLICIES",
    "Recipe",
    "Split",
    "checked_counts",
    "checked_symbols",
    "choose_types",
    "level_of",
    "special_symbols",
]

# Returns the tokens of a line; None at character level, where each character is a token.
Split: TypeAlias = Callable[[str], list[str]] | None

POLICIES = ("error", "skip")
_SHOWN = 10  # symbols shown in a message


def choose_types(
    name: str, counts: Mapping[str, int], special: Iterable[str], max_types: int | None, min_count: int
) -> list[str]:
    """Return the most frequent symbols except the special ones; ties by code point.

    Raises
    ------
    ValueError
        If there is none, or none occurs `min_count` times.

    Examples
    --------
    >>> counts = {"b": 2, "a": 2, "c": 1, "d": 5, "<unk>": 9}
    >>> choose_types("counts", counts, ["<unk>"], max_types=3, min_count=2)
    ['d', 'a', 'b']
    """
    ordinary = sorted(counts.keys() - set(special))
    if not ordinary:
        got = ", ".join(map(repr, sorted(counts)[:_SHOWN])) or "none"
        raise ValueError(f"{name}: no symbols: expected at least one besides special ones, got {got}")
    chosen = [symbol for symbol in ordinary if counts[symbol] >= min_count]
    if not chosen:
        most = max(map(counts.__getitem__, ordinary))
        raise ValueError(f"min_count: expected at most {most}, the greatest count, got {min_count}")
    chosen.sort(key=counts.__getitem__, reverse=True)
    return chosen[:max_types]


def special_symbols(unknown: Any, eos: str | None, bos: str | None, pad: str | None) -> dict[str, str]:
    """Return the special symbols by role: unknown (unless that is a policy), eos, bos, pad.

    Raises
    ------
    ValueError
        If one is empty or two are the same.
    TypeError
        If one is not a str.
    """
    check_text("unknown", unknown)
    if not unknown:
        raise ValueError("unknown: expected 'error', 'skip' or a replacement symbol, got ''")
    special = {} if unknown in POLICIES else {"unknown": unknown}
    for part, symbol in (("eos", eos), ("bos", bos), ("pad", pad)):
        if symbol is None:
            continue
        check_text(part, symbol)
        if not symbol:
            raise ValueError(f"{part}: expected a symbol, got ''")
        if symbol in special.values():
            raise ValueError(f"{part}: expected a symbol of its own, got {symbol!r}, which has another role")
        special[part] = symbol
    return special


def checked_symbols(symbols: Iterable[str], level: str, special: Mapping[str, str]) -> tuple[str, ...]:
    """Check the symbols of a vocabulary and append the special ones that are missing."""
    if isinstance(symbols, str) and level == "word":
        raise TypeError("symbols: expected an iterable of words, got str")
    names = tuple(symbols)
    marks = set(special.values())
    for symbol in names:
        check_text("symbols", symbol)
        if level == "char" and len(symbol) != 1 and symbol not in marks:
            raise ValueError(
                f"symbols: expected single characters, got {symbol!r}; for words write level='word'"
            )
        if not symbol:
            raise ValueError("symbols: expected words, got ''")
    given = set(names)
    if len(given) != len(names):
        twice = next(symbol for symbol, count in Counter(names).items() if count > 1)
        raise ValueError(f"symbols: expected distinct symbols, got {twice!r} twice")
    if level == "char" and len(special.get("unknown", "")) == 1:
        marks.remove(special["unknown"])  # a single character also occurs in texts
    if given <= marks:
        raise ValueError("symbols: expected at least one besides special symbols, got none")
    return names + tuple(symbol for symbol in special.values() if symbol not in given)


def checked_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Check the symbol counts given by a user."""
    if not isinstance(counts, Mapping):
        raise TypeError(
            f"counts: expected a mapping of symbols to counts, got {type(counts).__name__}; "
            "write collections.Counter(symbols)"
        )
    checked = {}
    for symbol, count in counts.items():
        check_text("counts", symbol)
        [checked[symbol]] = as_integers(f"counts[{symbol!r}]", [count])
    return checked


def level_of(symbols: Iterable[str], special: Iterable[str | None], tokenizer: Any) -> str:
    """Return the level that symbols are of: "char" if all but the special ones are single characters.

    Examples
    --------
    >>> level_of(["a", "b", "<eos>"], ["<eos>"], None), level_of(["a", "bc"], [], None)
    ('char', 'word')
    """
    marks = set(special)
    short = all(len(symbol) == 1 for symbol in symbols if symbol not in marks)
    return "char" if short and tokenizer is None else "word"


class Recipe(NamedTuple):
    """The arguments that determine how a vocabulary is made from symbol counts."""

    level: str
    max_types: int | None
    min_count: int
    unknown: str | None
    eos: str | None
    bos: str | None
    pad: str | None
    tokenizer: Any

    def checked(self) -> Recipe:
        """Return the recipe itself, after checking what does not depend on the counts."""
        tokenizer_of(self.level, self.tokenizer)
        if self.max_types is not None:
            as_size("max_types", self.max_types)
        as_size("min_count", self.min_count)
        special_symbols(self.policy, self.eos, self.bos, self.pad)
        return self

    @property
    def policy(self) -> str:
        """What to do with unknown symbols; the default is "error" for characters and "<unk>" for words."""
        default = "error" if self.level == "char" else "<unk>"
        return default if self.unknown is None else self.unknown

    @property
    def split(self) -> Split:
        """The function that splits a line into tokens, or None at character level."""
        tokenizer = tokenizer_of(self.level, self.tokenizer)
        return None if tokenizer is None else tokenizer.split

    def options(self) -> dict[str, Any]:
        """Return the arguments of the vocabulary except its symbols."""
        given = {name: getattr(self, name) for name in ("level", "eos", "bos", "pad", "tokenizer")}
        return given | {"unknown": self.policy}

    def symbols(self, name: str, counts: Mapping[str, int]) -> list[str]:
        """Return the symbols; `name` is the name of the counted text in messages."""
        if not counts:
            raise ValueError(f"{name}: no symbols: expected at least one, got none")
        if self.level == "char" and self.max_types is None and self.min_count == 1:
            return sorted(symbol for symbol, count in counts.items() if count > 0)
        special = list(special_symbols(self.policy, self.eos, self.bos, self.pad).values())
        return special + choose_types(name, counts, special, self.max_types, self.min_count)
