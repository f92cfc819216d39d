"""Symbols as a page shows them: nothing invisible, nothing that changes the direction of writing."""

from __future__ import annotations

import unicodedata
from typing import Any

__all__ = ["describe_symbol", "visible"]

_NAMES = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\xa0": "⍽"}
_PICTURES = 0x2400  # the first of Unicode's pictures of control characters
_LONGEST = 200  # characters shown of one symbol


def visible(symbol: str) -> str:
    r"""Return a symbol with a visible sign for each character that has none, or that acts on its neighbours.

    Line ends, tabs and control characters become the signs that Unicode has for them. Characters that change
    the direction of writing, are invisible or belong to no script become their code point in brackets. A mark
    that combines with the character before it gets a dotted circle of its own.

    Examples
    --------
    >>> visible("a\n"), visible("\x00"), visible("\u202e"), visible("\u0301")
    ('a⏎', '␀', '⟨U+202E⟩', '◌́')
    """
    shown = "".join(map(_visible_character, symbol[:_LONGEST]))
    if symbol and unicodedata.category(symbol[0]) in {"Mn", "Me", "Mc"}:
        shown = "\N{DOTTED CIRCLE}" + shown
    return shown + ("…" if len(symbol) > _LONGEST else "")


def _visible_character(character: str) -> str:
    if character in _NAMES:
        return _NAMES[character]
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    if code == 0x7F:
        return "␡"
    kind = unicodedata.category(character)
    if kind[0] == "C" or kind in {"Zl", "Zp"} or (kind == "Zs" and character != " "):
        return f"⟨U+{code:04X}⟩"
    return character


def describe_symbol(symbol: str) -> dict[str, Any]:
    """Return what the page knows of a symbol.

    ``shown`` is what stands in the text, ``name`` the symbol by itself, where a space is seen too, and
    ``mark`` whether what is shown is a sign in its place.

    Examples
    --------
    >>> describe_symbol(" ")
    {'shown': ' ', 'name': '␣', 'mark': False}
    """
    shown = visible(symbol)
    name = shown.replace(" ", "␣") if not symbol.strip(" ") else shown
    return {"shown": shown, "name": name, "mark": shown != symbol}
