"""The tokenisers of a word vocabulary: from lines of text to words and back.

A tokeniser gets one line at a time, without its line end. So a text in memory, a streamed file and a prompt
are split into the same words, and a line end is the same as any other white space.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from fastrnn._checks import as_choice
from fastrnn._plain import errors_of_library

__all__ = ["Tokenizer", "as_tokenizer", "check_text", "split_words", "tokenizer_from_json", "tokenizer_of"]

_CHOICES = '"words", "whitespace", a function or a tokenizers.Tokenizer'


def split_words(text: str) -> list[str]:
    """Split a text into words and punctuation marks: the tokeniser ``"words"``.

    White space, as defined by Unicode, separates tokens and is never part of one. From left to right, the
    first of these patterns that matches is a token:

    1. A mark in angle brackets, such as ``<unk>``: ``<``, one or more characters that are neither white space
       nor angle brackets, ``>``.
    2. WikiText's marks inside words and numbers: ``@-@``, ``@,@`` and ``@.@``.
    3. A run of letters, digits, underscores and combining marks. A single apostrophe (``'`` or ``’``) or
       hyphen (``-``) between two such runs joins them: ``don't`` and ``well-known`` are one token each,
       ``dogs'`` is two.
    4. Any other character, with the combining marks after it: ``3.14`` is three tokens.

    Case is kept. Scripts without spaces between words (Chinese, Japanese, Thai) yield whole phrases: give a
    `Vocabulary` of these a tokeniser for the language.

    Parameters
    ----------
    text : str

    Returns
    -------
    tokens : list of str

    Examples
    --------
    >>> from fastrnn.data import split_words
    >>> split_words("The well-known <unk> doesn't cost $3.50!")
    ['The', 'well-known', '<unk>', "doesn't", 'cost', '$', '3', '.', '50', '!']
    >>> split_words("a state @-@ of @-@ the @-@ art 1 @,@ 000")
    ['a', 'state', '@-@', 'of', '@-@', 'the', '@-@', 'art', '1', '@,@', '000']
    """
    check_text("text", text)
    find = _word_pattern().findall
    tokens: list[str] = []
    for piece in text.split():  # no token contains white space
        if piece.isalnum() or len(piece) == 1:  # most pieces are: twice as fast as the pattern
            tokens.append(piece)
        else:
            tokens.extend(find(piece))
    return tokens


@cache
def _word_pattern() -> re.Pattern[str]:
    # `\w` lacks combining marks, without which "हिन्दी" would be split; `re` has no class for them. The
    # look-ahead spares ASCII, which nearly always follows a word, the comparison with 300 ranges.
    mark = rf"(?:(?![\x00-\x7f])[{_combining_marks()}])"
    return re.compile(rf"<[^\s<>]+>|@[-,.]@|\w+(?:['’-]\w+|{mark}\w*)*|\S{mark}*")


def _combining_marks() -> str:
    """Return the ranges of a character class: Unicode's category M, and the joiners inside words."""
    import unicodedata

    codes = [
        code
        for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))  # no marks outside these
        if code in (0x200C, 0x200D) or unicodedata.category(chr(code)).startswith("M")
    ]
    firsts = [code for code, before in zip(codes, [-1, *codes], strict=False) if code != before + 1]
    lasts = [code for code, after in zip(codes, [*codes[1:], -1], strict=True) if code != after - 1]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(firsts, lasts, strict=True))


class Tokenizer(Protocol):
    """The interface of a tokeniser."""

    @property
    def given(self) -> Any:
        """The user's argument."""

    def split(self, line: str) -> list[str]:
        """Return the tokens of a line."""

    def join(self, tokens: list[str]) -> str:
        """Return a line from its tokens."""

    def to_json(self) -> dict[str, str]:
        """Return a description of the tokeniser, ready for JSON."""


class _Named(NamedTuple):
    """A tokeniser of this package."""

    given: str

    def split(self, line: str) -> list[str]:
        return split_words(line) if self.given == "words" else line.split()

    def join(self, tokens: list[str]) -> str:
        return " ".join(tokens)

    def to_json(self) -> dict[str, str]:
        return {"kind": self.given}


class _Function(NamedTuple):
    """A user's function, which cannot be saved."""

    given: Callable[[str], list[str]]

    def split(self, line: str) -> list[str]:
        tokens: Any = self.given(line)
        if not isinstance(tokens, (list, tuple)):
            raise TypeError(f"tokenizer: expected a list of str for a line, got {type(tokens).__name__}")
        for token in tokens:
            check_text("tokenizer", token)
            if not token:
                raise ValueError(f"tokenizer: expected no empty tokens, got {list(tokens)!r:.200}")
        return list(tokens)

    def join(self, tokens: list[str]) -> str:
        return " ".join(tokens)

    def to_json(self) -> dict[str, str]:
        return {"kind": "callable"}


class _HuggingFace:
    """A ``tokenizers.Tokenizer``, or an object with the same methods."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def split(self, line: str) -> list[str]:
        with errors_of_library("tokenizer: cannot split a line"):
            return list(self.given.encode(line, add_special_tokens=False).tokens)

    def join(self, tokens: list[str]) -> str:
        with errors_of_library("tokenizer: cannot join the tokens of a line"):
            decoder = getattr(self.given, "decoder", None)
            return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    def to_json(self) -> dict[str, str]:
        return {"kind": "huggingface", "value": self.given.to_str()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _HuggingFace):
            return NotImplemented
        return self.given is other.given or self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash("huggingface")  # its settings may change at any time


def as_tokenizer(value: Any) -> Tokenizer:
    """Return the tokeniser for a user's argument.

    Parameters
    ----------
    value : None, str, callable or tokenizers.Tokenizer
        None is ``"words"``.

    Returns
    -------
    tokenizer : Tokenizer

    Raises
    ------
    ValueError
        If it is an unknown name.
    TypeError
        If it is none of these types.

    Examples
    --------
    >>> as_tokenizer("whitespace").split("It's 3.50!")
    ["It's", '3.50!']
    """
    if value is None or isinstance(value, str):
        name = "words" if value is None else value
        if name not in ("words", "whitespace"):
            raise ValueError(f"tokenizer: expected {_CHOICES}, got {value!r}")
        return _Named(name)
    # Before `callable`: an object that can also be called is used through its method.
    if hasattr(value, "encode") and hasattr(value, "token_to_id"):
        return _HuggingFace(value)
    if not callable(value):
        raise TypeError(f"tokenizer: expected {_CHOICES}, got {type(value).__name__}")
    return _Function(value)


def tokenizer_of(level: str, value: Any) -> Tokenizer | None:
    """Return the tokeniser of a level: None for characters, which need none.

    Raises
    ------
    ValueError, TypeError
        If the level is unknown, or does not take this tokeniser.
    """
    if as_choice("level", level, ("char", "word")) == "word":
        return as_tokenizer(value)
    if value is not None:
        raise ValueError(f'tokenizer: expected None at level "char", got {value!r:.100}')
    return None


def tokenizer_from_json(value: Any) -> Any:
    """Return the argument of `as_tokenizer` from the description that `Tokenizer.to_json` returned.

    Raises
    ------
    ValueError
        If it was a user's function, or the value does not describe a tokeniser.
    ImportError
        If it needs the package ``tokenizers``, which is not installed.
    """
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind in ("words", "whitespace"):
        return kind
    if kind == "callable":
        raise ValueError(
            "tokenizer: the vocabulary was made with a function, which is not saved; pass it as tokenizer="
        )
    if kind != "huggingface" or not isinstance(value.get("value"), str):
        raise ValueError(f"vocabulary: expected the description of a tokenizer, got {value!r:.100}")
    return _hugging_face(value["value"])


def _hugging_face(description: str) -> Any:
    try:
        tokenizers = import_module("tokenizers")  # not `import`, so that mypy does not need it installed
    except ImportError:
        raise ImportError(
            "the vocabulary's tokenizer needs the package tokenizers: "
            'pip install "fastrnn[tokenizers]", or pass it as tokenizer='
        ) from None
    with errors_of_library("vocabulary: its tokenizer cannot be read"):
        tokenizer = tokenizers.Tokenizer.from_str(description)
        tokenizer.no_padding()  # a line has no padding, and a file could ask for any amount of it
        return tokenizer


def check_text(name: str, value: object) -> None:
    """Raise a TypeError that names the argument, and says what to write, unless it is a str."""
    if isinstance(value, str):
        return
    hint = ""
    if isinstance(value, (bytes, bytearray)):
        hint = f"; write {name}.decode()"
    elif isinstance(value, os.PathLike):
        hint = "; write fastrnn.data.read_text(path)"
    elif isinstance(value, Iterable) and name == "text":
        hint = "; write '\\n'.join(texts)"
    raise TypeError(f"{name}: expected str, got {type(value).__name__}{hint}")
