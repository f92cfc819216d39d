r"""Properties of a text at each symbol: position in the line, depth of brackets, inside quotes, ...

Each function takes a text, or its symbols, and returns a float64 array with a number for each. The number
describes the text up to and including that symbol, as a network could know it: only what is never closed, and
an apostrophe inside a word, are told by what follows.

>>> from fastrnn.inspect import properties
>>> properties.line_position("ab\nc").tolist()
[1.0, 2.0, 0.0, 1.0]
>>> properties.bracket_depth("a(b[c])").tolist()
[0.0, 1.0, 1.0, 2.0, 2.0, 1.0, 0.0]
>>> properties.inside_quotes('Say "I don\'t".').astype(int).tolist()
[0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "STANDARD",
    "at_line_start",
    "at_word_start",
    "bracket_depth",
    "indentation",
    "inside_brackets",
    "inside_matches",
    "inside_quotes",
    "is_digit",
    "is_letter",
    "is_punctuation",
    "is_space",
    "is_symbol",
    "is_upper",
    "line_number",
    "line_position",
    "standard_properties",
    "steps_since",
    "word_number",
    "word_position",
]

Floats: TypeAlias = NDArray[np.float64]
Text: TypeAlias = "str | Sequence[str]"

BRACKETS = ("()", "[]", "{}")
QUOTES = ('"', "“”", "«»")
_APOSTROPHES = "'’"


def inside_quotes(text: Text, quotes: Sequence[str] = QUOTES) -> Floats:
    """Return 1 inside quotation marks, else 0: from the opening mark, to before the closing one.

    An apostrophe between two letters is none. A quote that is not closed before a blank line, or the end of
    the text, does not count.

    Parameters
    ----------
    text : str or sequence of str
    quotes : sequence of str
        The marks, each one character (that opens and closes) or two. For a text that quotes with single marks
        add ``"'"`` or ``"‘’"``: ``'`` opens before a word and closes after one, so that a word such as 'tis
        may seem to open a quote.

    Examples
    --------
    >>> inside_quotes("“A «b» c” d").astype(int).tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    """
    symbols = _symbols(text)
    return (_nesting(symbols, _quote_marks(symbols, _pairs("quotes", quotes))) > 0).astype(np.float64)


def bracket_depth(text: Text, brackets: Sequence[str] = BRACKETS) -> Floats:
    """Return how many brackets are open after each symbol.

    Brackets without a partner do not count: one that is never closed, or closes none of its kind that is
    open. A closing bracket also ends those inside it that are not closed.

    Parameters
    ----------
    text : str or sequence of str
    brackets : sequence of str
        Pairs of an opening and a closing character.

    Examples
    --------
    >>> bracket_depth("f(a[1]) :( ]").astype(int).tolist()
    [0, 1, 1, 2, 2, 1, 0, 0, 0, 0, 0, 0]
    """
    symbols, pairs = _symbols(text), _pairs("brackets", brackets, size=2)
    opening, closing = (
        {a: kind for kind, (a, _) in enumerate(pairs)},
        {b: kind for kind, (_, b) in enumerate(pairs)},
    )
    marks = [
        (place, opening.get(symbol), closing.get(symbol))
        for place, symbol in enumerate(symbols)
        if symbol in opening or symbol in closing
    ]
    return _nesting(symbols, marks)


def inside_brackets(text: Text, brackets: Sequence[str] = BRACKETS) -> Floats:
    """Return 1 where `bracket_depth` is more than 0, else 0."""
    return (bracket_depth(text, brackets) > 0).astype(np.float64)


def inside_matches(text: Text, pattern: str | re.Pattern[str]) -> Floats:
    r"""Return 1 on the symbols of which a regular expression matches some part, else 0.

    Parameters
    ----------
    text : str or sequence of str
    pattern : str or re.Pattern
        A str is compiled with ``re.MULTILINE``: ``^`` and ``$`` are at every line.

    Raises
    ------
    ValueError
        If the pattern is not a regular expression.
    TypeError
        If it is neither a str nor compiled from one.

    Examples
    --------
    >>> inside_matches("ROMEO:\nO me!", r"^[A-Z]+:$").astype(int).tolist()
    [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    """
    symbols = _symbols(text)
    found = _as_pattern(pattern)
    whole = text if isinstance(text, str) else "".join(symbols)
    change = np.zeros(len(whole) + 1)
    for match in found.finditer(whole):
        change[match.start()] += 1
        change[match.end()] -= 1
    inside = (np.cumsum(change)[:-1] > 0).astype(np.float64)
    if isinstance(text, str):
        return inside
    ends = [*accumulate(map(len, symbols), initial=0)]
    return np.array([inside[first:last].max(initial=0.0) for first, last in pairwise(ends)], np.float64)


def line_position(text: Text) -> Floats:
    r"""Return how many symbols of the line have been read: 0 at a line end, 1 at the first of a line."""
    return steps_since(text, "\n", start=0.0)


def line_number(text: Text) -> Floats:
    """Return how many line ends have been read."""
    count: Floats = np.cumsum(is_symbol(text, "\n"))
    return count


def at_line_start(text: Text) -> Floats:
    """Return 1 at the first symbol of each line, else 0; an empty line has none."""
    starts: Floats = (line_position(text) == 1).astype(np.float64)
    return starts


def indentation(text: Text) -> Floats:
    """Return the width of the white space at the start of the line, as far as it has been read."""
    result, width, leading = [], 0, True
    for symbol in _symbols(text):
        if symbol == "\n":
            width, leading = 0, True
        elif leading and symbol.isspace():
            width += len(symbol)
        else:
            leading = False
        result.append(width)
    return np.array(result, np.float64)


def word_position(text: Text) -> Floats:
    """Return how many symbols of the word have been read: 1 at its first, 0 between words.

    A word is letters, digits and underscores, and apostrophes between them.

    Examples
    --------
    >>> word_position("I don't.").astype(int).tolist()
    [1, 0, 1, 2, 3, 4, 5, 0]
    """
    result, position = [], 0
    for inside in _in_words(_symbols(text)):
        position = position + 1 if inside else 0
        result.append(position)
    return np.array(result, np.float64)


def at_word_start(text: Text) -> Floats:
    """Return 1 at the first symbol of each word, else 0."""
    starts: Floats = (word_position(text) == 1).astype(np.float64)
    return starts


def word_number(text: Text) -> Floats:
    """Return how many words of the line have begun; 0 at a line end."""
    result, count = [], 0
    for symbol, start in zip(_symbols(text), at_word_start(text), strict=True):
        count = 0 if symbol == "\n" else count + int(start)
        result.append(count)
    return np.array(result, np.float64)


def is_symbol(text: Text, symbols: Iterable[str]) -> Floats:
    """Return 1 at symbols that are among the given ones (of a str: its characters), else 0."""
    wanted = set(symbols)
    return np.array([symbol in wanted for symbol in _symbols(text)], np.float64)


def steps_since(text: Text, symbols: Iterable[str], *, start: float = np.nan) -> Floats:
    """Return how many steps ago one of some symbols was last read; 0 at them.

    Parameters
    ----------
    text : str or sequence of str
    symbols : iterable of str
        Of a str: its characters.
    start : float, default NaN
        What a step before the text would have: the first step then has one more. NaN: steps before the first
        such symbol have NaN, which `rank_units` leaves out.

    Examples
    --------
    >>> steps_since("ab,cd", ",").tolist()
    [nan, nan, 0.0, 1.0, 2.0]
    """
    result, count = [], start
    for there in is_symbol(text, symbols):
        count = 0.0 if there else count + 1
        result.append(count)
    return np.array(result, np.float64)


def is_upper(text: Text) -> Floats:
    """Return 1 at upper-case letters, and words of them, else 0."""
    return _where(text, str.isupper)


def is_letter(text: Text) -> Floats:
    """Return 1 at letters, and words of them, else 0."""
    return _where(text, str.isalpha)


def is_digit(text: Text) -> Floats:
    """Return 1 at digits, and numbers of them, else 0."""
    return _where(text, str.isdigit)


def is_space(text: Text) -> Floats:
    """Return 1 at white space, line ends included, else 0."""
    return _where(text, str.isspace)


def is_punctuation(text: Text) -> Floats:
    """Return 1 at what is neither a letter nor a digit nor white space, else 0."""
    return _where(text, lambda symbol: not any(map(_is_word_or_space, symbol)))


#: The properties that need nothing but a text, by name.
STANDARD: dict[str, Callable[[Text], Floats]] = {
    one.__name__: one
    for one in (
        inside_quotes, inside_brackets, bracket_depth, line_position, line_number, at_line_start, indentation,
        word_position, at_word_start, word_number, is_upper, is_letter, is_digit, is_space, is_punctuation,
    )
}  # fmt: skip


def standard_properties(text: Text) -> dict[str, Floats]:
    """Return all properties that need nothing but the text and are not the same number everywhere.

    Examples
    --------
    >>> list(standard_properties("ab"))
    ['line_position', 'at_line_start', 'word_position', 'at_word_start']
    """
    found = {name: compute(text) for name, compute in STANDARD.items()}
    return {name: values for name, values in found.items() if len(values) and values.min() < values.max()}


def _symbols(text: Text) -> Sequence[str]:
    """Return the symbols of a text, checked."""
    if isinstance(text, str):
        return text
    if not isinstance(text, (list, tuple)) or not all(isinstance(symbol, str) for symbol in text):
        raise TypeError(f"text: expected a str, or a list or tuple of them, got {type(text).__name__}")
    return text


def _as_pattern(pattern: Any) -> re.Pattern[str]:
    """Return a compiled regular expression for texts."""
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
        return pattern
    if not isinstance(pattern, str):
        raise TypeError(f"pattern: expected a str or a re.Pattern of str, got {type(pattern).__name__}")
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"pattern: expected a regular expression, got {pattern!r}: {error}") from None


def _pairs(name: str, marks: Sequence[str], size: int | None = None) -> list[tuple[str, str]]:
    """Return the opening and the closing character of each kind of mark."""
    given = [marks] if isinstance(marks, str) else list(marks)
    sizes = (1, 2) if size is None else (size,)
    for mark in given:
        if len(mark) not in sizes:
            expected = "one or two characters" if size is None else "two characters"
            raise ValueError(f"{name}: expected {expected} for each kind, got {mark!r}")
    return [(mark[0], mark[-1]) for mark in given]


# A mark: its place, and the kind that it may open and the kind that it may close.
_Mark: TypeAlias = "tuple[int, int | None, int | None]"


def _quote_marks(symbols: Sequence[str], pairs: list[tuple[str, str]]) -> list[_Mark]:
    """Return the quotation marks of a text, without apostrophes; a blank line is a mark that closes all."""
    opening, closing = (
        {a: kind for kind, (a, _) in enumerate(pairs)},
        {b: kind for kind, (_, b) in enumerate(pairs)},
    )
    marks: list[_Mark] = []
    for place, symbol in enumerate(symbols):
        before = symbols[place - 1] if place else "\n"
        after = symbols[place + 1] if place + 1 < len(symbols) else "\n"
        if symbol == "\n" and before == "\n" and place:
            marks.append((place, None, None))
        if symbol not in opening and symbol not in closing:
            continue
        opens, closes = opening.get(symbol), closing.get(symbol)
        if symbol in _APOSTROPHES:
            if before.isalnum() and after.isalnum():
                continue
            opens = None if before.isalnum() or after.isspace() else opens
            closes = None if before.isspace() else closes
        marks.append((place, opens, closes))
    return marks


def _nesting(symbols: Sequence[str], marks: Iterable[_Mark]) -> Floats:
    """Return how many pairs of marks are open after each symbol; a mark of no kind ends all that are open."""
    change = np.zeros(len(symbols))
    waiting: list[tuple[int, int]] = []  # place and kind of what is open
    count: Counter[int] = Counter()  # of each kind in it
    for place, opens, closes in marks:
        if opens is None and closes is None:
            waiting.clear()
            count.clear()
        elif closes is not None and count[closes]:
            kind = None
            while kind != closes:
                start, kind = waiting.pop()
                count[kind] -= 1
            change[start] += 1
            change[place] -= 1
        elif opens is not None:
            waiting.append((place, opens))
            count[opens] += 1
    return np.cumsum(change)


def _in_words(symbols: Sequence[str]) -> list[bool]:
    """Return which symbols are part of a word."""
    inside = [bool(symbol) and all(one.isalnum() or one == "_" for one in symbol) for symbol in symbols]
    for place in range(1, len(symbols) - 1):
        if symbols[place] in _APOSTROPHES and inside[place - 1] and inside[place + 1]:
            inside[place] = True
    return inside


def _where(text: Text, holds: Callable[[str], bool]) -> Floats:
    return np.array([bool(symbol) and holds(symbol) for symbol in _symbols(text)], np.float64)


def _is_word_or_space(character: str) -> bool:
    return character.isalnum() or character.isspace()


def __dir__() -> list[str]:
    return sorted(__all__)
