"""Generated texts as ``fastrnn sample`` prints them: after their prompt, word by word, and set apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary

__all__ = ["pieces", "prompt_and_text", "separated"]

_DASHES = 4


def prompt_and_text(vocabulary: Vocabulary, prompt: str, text: str) -> str:
    """Return a prompt and the text after it, between words with a space."""
    return prompt + _space(vocabulary, prompt, text) + text


def pieces(vocabulary: Vocabulary, prompt: str, ids: Iterable[int]) -> Iterator[str]:
    """Yield what to print for each symbol after a prompt.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.cli.sample_text import pieces
    >>> vocabulary = fr.Vocabulary(["cat", "sat"], level="word")
    >>> list(pieces(vocabulary, "the", [0, 1]))
    [' cat', ' sat']
    """
    before = prompt
    for symbol in ids:
        piece = vocabulary.decode([symbol])
        yield _space(vocabulary, before, piece) + piece
        before = piece or before


def separated(texts: Sequence[str], *, always: bool) -> list[str]:
    r"""Return several texts with a line before each that no text has; one text alone as it is.

    Parameters
    ----------
    texts : sequence of str
    always : bool
        Whether texts of one line, too, have a line before them.

    Examples
    --------
    >>> from fastrnn.cli.sample_text import separated
    >>> separated(["a\nb", "c"], always=True)
    ['---- 1 of 2 ----', 'a\nb', '---- 2 of 2 ----', 'c']
    >>> separated(["ann", "bob"], always=False)
    ['ann', 'bob']
    """
    if len(texts) < 2 or not (always or any("\n" in text for text in texts)):
        return list(texts)
    lines = {line for text in texts for line in text.split("\n")}
    marks = _marks(len(texts), _DASHES)
    for size in range(_DASHES + 1, max(map(len, lines)) + _DASHES):
        if lines.isdisjoint(marks):
            break
        marks = _marks(len(texts), size)
    return [line for both in zip(marks, texts, strict=True) for line in both]


def _marks(count: int, size: int) -> list[str]:
    dashes = "-" * size
    return [f"{dashes} {number} of {count} {dashes}" for number in range(1, count + 1)]


def _space(vocabulary: Vocabulary, before: str, after: str) -> str:
    """Return the separator of two pieces of text: a space between words, nothing at line ends."""
    words = vocabulary.level == "word" and before and after
    return " " if words and not before[-1].isspace() and not after.startswith("\n") else ""
