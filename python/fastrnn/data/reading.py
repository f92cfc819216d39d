"""Read files and lines of any size in bounded memory."""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeAlias

__all__ = ["Paths", "as_paths", "file_chunks", "read_lines", "split_lines", "split_long_lines", "text_chunks"]

Paths: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

# Bytes of a file, or characters of a text, that are processed at a time.
_CHUNK_SIZE = 1 << 22


def read_lines(paths: Paths) -> Iterator[str]:
    r"""Read the lines of UTF-8 files one after the other, with no more than a few megabytes in memory.

    A line ends with ``\n`` or ``\r\n``, or at the end of a file. A byte order mark at the start of a file is
    dropped.

    Parameters
    ----------
    paths : path or iterable of path

    Yields
    ------
    line : str
        Without its line end.

    Raises
    ------
    ValueError
        If a file is empty or is not UTF-8 (the message names the file, the byte and its offset).
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import read_lines
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.txt")
    ...     _ = path.write_bytes(b"one\r\n\ntwo")
    ...     list(read_lines(path))
    ['one', '', 'two']
    """
    return chain.from_iterable(whole_lines(file_chunks(path)) for path in as_paths(paths))


def split_lines(text: str) -> Iterator[str]:
    """Yield the lines of a text as `read_lines` does those of a file, without copying the text."""
    return whole_lines(text_chunks(text))


def split_long_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a text in chunks; a line longer than a chunk is split at white space."""
    return whole_lines(chunks, _CHUNK_SIZE)


def as_paths(paths: Paths) -> list[Path]:
    """Return the files, at least one, as a list of paths."""
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    files = [Path(path) for path in given]
    if not files:
        raise ValueError("paths: expected at least one file, got none")
    return files


def text_chunks(text: str) -> Iterator[str]:
    """Yield a text in chunks of equal length."""
    return (text[start : start + _CHUNK_SIZE] for start in range(0, len(text), _CHUNK_SIZE))


def file_chunks(path: Path, report: Callable[[int], object] | None = None) -> Iterator[str]:
    """Decode a file in chunks, split between any two characters."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, started, empty = 0, False, True
    with path.open("rb") as file:
        while True:
            content = file.read(_CHUNK_SIZE)
            text = _decode(path, decoder, content, offset)
            if text and not started:
                text, started = text.removeprefix("\ufeff"), True
            if text:
                empty = False
                yield text
            if not content:
                break
            offset += len(content)
            if report is not None:
                report(len(content))
    if empty:
        raise ValueError(f"{path}: the file is empty")


def _decode(path: Path, decoder: codecs.IncrementalDecoder, content: bytes, offset: int) -> str:
    pending = len(decoder.getstate()[0])  # bytes of a character that the last chunk split
    try:
        return decoder.decode(content, final=not content)
    except UnicodeDecodeError as error:
        byte, position = error.object[error.start], offset - pending + error.start
        raise ValueError(
            f"{path}: not UTF-8: byte 0x{byte:02x} at offset {position} ({error.reason})"
        ) from None


def whole_lines(chunks: Iterable[str], longest: float = math.inf) -> Iterator[str]:
    """Join chunks to lines; a line longer than `longest` comes in pieces, split at white space."""
    parts: list[str] = []  # of the current line
    for chunk in chunks:
        first, *others = chunk.split("\n")
        parts.append(first)
        if others:
            yield "".join(parts).removesuffix("\r")
            yield from (line.removesuffix("\r") for line in others[:-1])
            parts = [others[-1]]
        elif sum(map(len, parts)) > longest and (start := _last_token_start(chunk)):
            parts[-1] = chunk[:start]
            yield "".join(parts)
            parts = [chunk[start:]]
    if rest := "".join(parts):
        yield rest.removesuffix("\r")


def _last_token_start(text: str) -> int:
    """Return where the last token of a text begins; 0 if there is no white space."""
    return len(text) if text[-1].isspace() else len(text) - len(text.rsplit(None, 1)[-1])
