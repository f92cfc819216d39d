"""Texts in files as spans of bytes: measured, cut and decoded a few megabytes at a time."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastrnn._files import open_regular
from fastrnn.data.counting import byte_progress
from fastrnn.data.reading import decode_chunk
from fastrnn.files.atomic_files import name_file_in_unnamed_errors

__all__ = [
    "Block",
    "Span",
    "Text",
    "block_characters",
    "count_characters",
    "cut_at_line",
    "file_spans",
    "part_of_text",
    "text_blocks",
    "text_bytes",
    "text_characters",
    "text_digest",
    "text_pieces",
    "text_size",
    "with_progress",
]

_BLOCK = 1 << 22  # bytes that are read at a time, and by one process
_T = TypeVar("_T")
_LOOK = 1 << 16  # bytes in which the next line end is looked for


class Span(NamedTuple):
    """Bytes ``start .. stop - 1`` of a file in UTF-8; `name` is what messages call the file."""

    path: str
    start: int
    stop: int
    name: str


class Block(NamedTuple):
    """A part of a text, and whether it ends where a line, or the text, ends."""

    text: Sequence[Span]
    whole: bool


Text: TypeAlias = Sequence[Span]  # a text is its spans, one after the other


def file_spans(paths: Iterable[Path], names: Iterable[str] | None = None) -> list[Span]:
    """Return the text of files in UTF-8, without their byte order marks.

    Raises
    ------
    ValueError
        If a file is empty.
    OSError
        If one cannot be read.
    """
    files = list(paths)
    spans = []
    for path, name in zip(files, names or map(str, files), strict=True):
        with open_regular(path) as file:
            start = 3 if file.read(3) == codecs.BOM_UTF8 else 0
            stop = os.fstat(file.fileno()).st_size
        if stop <= start:
            raise ValueError(f"{name}: the file is empty")
        spans.append(Span(str(path), start, stop, name))
    return spans


def text_size(text: Text) -> int:
    """Return the number of bytes of a text."""
    return sum(span.stop - span.start for span in text)


def part_of_text(text: Text, start: int, stop: int) -> list[Span]:
    """Return bytes ``start .. stop - 1`` of a text.

    Examples
    --------
    >>> one, two = Span("a", 3, 9, "a"), Span("b", 0, 5, "b")
    >>> part_of_text([one, two], 4, 7)
    [Span(path='a', start=7, stop=9, name='a'), Span(path='b', start=0, stop=1, name='b')]
    """
    spans, before = [], 0
    for span in text:
        first = max(span.start, span.start + start - before)
        last = min(span.stop, span.start + stop - before)
        if first < last:
            spans.append(span._replace(start=first, stop=last))
        before += span.stop - span.start
    return spans


def text_bytes(text: Text) -> Iterator[tuple[Span, bytes]]:
    """Yield the bytes of a text in chunks, each with its place.

    Raises
    ------
    ValueError
        If a file has become shorter.
    OSError
        If one cannot be read.
    """
    for span in text:
        with name_file_in_unnamed_errors(span.name), open_regular(span.path) as file:
            file.seek(span.start)
            yield from _chunks(file, span)


def _chunks(file: BinaryIO, span: Span) -> Iterator[tuple[Span, bytes]]:
    position = span.start
    while position < span.stop:
        content = file.read(min(_BLOCK, span.stop - position))
        if not content:
            raise ValueError(f"{span.name}: has become shorter while it was read")
        yield span._replace(start=position, stop=position + len(content)), content
        position += len(content)


def text_characters(text: Text) -> Iterator[str]:
    """Decode a text in chunks, split between any two characters.

    Raises
    ------
    ValueError
        If it is not UTF-8; the message names the file, the byte and its offset.
    """
    for span in text:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for place, content in text_bytes([span]):
            yield decode_chunk(span.name, decoder, content, place.start, "utf-8")
        yield decode_chunk(span.name, decoder, b"", span.stop, "utf-8")


def block_characters(block: Block) -> str:
    """Return the characters of a block."""
    return "".join(text_characters(block.text))


def with_progress(what: str, blocks: Sequence[Block], results: Iterable[_T], *, shown: bool) -> Iterator[_T]:
    """Yield the results of blocks; if it is shown, with a bar of the bytes that are done."""
    total = sum(text_size(block.text) for block in blocks)
    with byte_progress(total, what, shown=shown) as report:
        for block, result in zip(blocks, results, strict=True):
            yield result
            if report is not None:
                report(text_size(block.text))


def text_digest(texts: Iterable[Text]) -> str:
    """Return what identifies texts: the SHA-256 of the SHA-256 of each."""
    parts = []
    for text in texts:
        digest = hashlib.sha256()
        for _, content in text_bytes(text):
            digest.update(content)
        parts.append(digest.hexdigest())
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def count_characters(text: Text) -> int:
    """Return the number of characters of a text: of its bytes that do not continue a character."""
    return sum(int(np.count_nonzero(_begins(content))) for _, content in text_bytes(text))


def cut_at_line(text: Text, character: int, counts: Sequence[int], *, lines: bool) -> int:
    """Return the byte at which a text is cut.

    Parameters
    ----------
    text : Text
    character : int
        The number of characters before the cut, less than there are.
    counts : sequence of int
        The characters of each `text_pieces`.
    lines : bool
        Cut at the last line end before, if there is one.
    """
    start = 0
    for count in counts:
        if character < count:
            break
        character, start = character - count, start + _BLOCK
    content = _read(text, start, start + _BLOCK)
    cut = start + int(np.flatnonzero(_begins(content))[character])
    return (_line_end_before(text, cut) or cut) if lines else cut


def text_pieces(text: Text) -> list[list[Span]]:
    """Return a text in pieces of a fixed number of bytes, whose characters can be counted one by one."""
    size, step = text_size(text), _BLOCK
    return [part_of_text(text, start, start + step) for start in range(0, size, step)]


def text_blocks(text: Text, *, lines: bool) -> list[Block]:
    """Return a text in blocks of a few megabytes, cut at line ends or between any two characters.

    A longer line is cut at spaces. Where a text is cut depends on nothing but the text.
    """
    size = text_size(text)
    blocks: list[Block] = []
    start = 0
    while start < size:
        wanted = (start // _BLOCK + 1) * _BLOCK
        stop, whole = _next_line(text, wanted) if lines else (_next_character(text, wanted), True)
        blocks.append(Block(part_of_text(text, start, stop), whole or stop == size))
        start = stop
    return blocks


def _next_line(text: Text, position: int) -> tuple[int, bool]:
    """Return where a line, or else a word, begins at or after a byte, and whether it is a line."""
    for mark, size in ((b"\n", position + _BLOCK), (b" ", text_size(text))):
        for start in range(position - 1, min(size, text_size(text)), _LOOK):
            found = _read(text, start, start + _LOOK).find(mark)
            if found >= 0:
                return start + found + 1, mark == b"\n"
    return text_size(text), True


def _next_character(text: Text, position: int) -> int:
    """Return where the first character begins at or after a byte; no UTF-8 if that is not within four."""
    following = _begins(_read(text, position, position + 4))
    return min(position + (int(following.argmax()) if len(following) else 0), text_size(text))


def _line_end_before(text: Text, position: int) -> int:
    """Return where the last line begins that does so at or before a byte; 0 if none ended before."""
    while position > 0:
        start = max(0, position - _LOOK)
        found = _read(text, start, position).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _read(text: Text, start: int, stop: int) -> bytes:
    return b"".join(content for _, content in text_bytes(part_of_text(text, start, stop)))


def _begins(content: bytes) -> NDArray[np.bool_]:
    """Return of each byte whether it begins a character."""
    begins: NDArray[np.bool_] = (np.frombuffer(content, np.uint8) & 0xC0) != 0x80
    return begins
