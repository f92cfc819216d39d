"""Read files and lines of any size in bounded memory."""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

from fastrnn._files import open_regular

__all__ = [
    "Paths",
    "as_encoding",
    "as_paths",
    "binary_chunks",
    "decode_chunk",
    "file_chunks",
    "line_pieces",
    "read_lines",
    "split_lines",
    "split_long_lines",
    "text_chunks",
]

Paths: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

# Bytes of a file, or characters of a text, that are processed at a time.
_CHUNK_SIZE = 1 << 22
# Encodings whose byte order marks a file begins with, the longer marks first.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_lines(paths: Paths, *, encoding: str = "utf-8") -> Iterator[str]:
    r"""Read the lines of text files one after the other, with no more than a few megabytes in memory.

    A line ends with ``\n`` or ``\r\n``, or at the end of a file. A byte order mark at the start of a file is
    dropped.

    Parameters
    ----------
    paths : path or iterable of path
    encoding : str, default "utf-8"
        A text encoding of Python.

    Yields
    ------
    line : str
        Without its line end.

    Raises
    ------
    ValueError
        If a file is empty or has another encoding (the message names the file, the byte and its offset), or
        the encoding is unknown.
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
    name = as_encoding("encoding", encoding)
    return chain.from_iterable(whole_lines(file_chunks(path, encoding=name)) for path in as_paths(paths))


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


def as_encoding(name: str, value: str) -> str:
    """Check the name of a text encoding.

    Raises
    ------
    ValueError
        If Python does not know it, or it does not encode text.
    TypeError
        If it is not a str.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected the name of an encoding, got {type(value).__name__}")
    try:
        "".encode(value)
        codecs.getincrementaldecoder(value)
    except (LookupError, ValueError):
        raise ValueError(f"{name}: expected a text encoding, such as 'latin-1', got {value!r}") from None
    return value


def file_chunks(
    path: Path, report: Callable[[int], object] | None = None, *, encoding: str = "utf-8"
) -> Iterator[str]:
    """Decode a file in chunks, split between any two characters."""
    empty = True
    with open_regular(path) as file:
        for chunk in binary_chunks(str(path), file, report, encoding=encoding):
            empty = False
            yield chunk
    if empty:
        raise ValueError(f"{path}: the file is empty")


def binary_chunks(
    name: str, file: BinaryIO, report: Callable[[int], object] | None = None, *, encoding: str = "utf-8"
) -> Iterator[str]:
    """Decode an open binary file in chunks; `name` is what messages call it.

    A byte order mark at its start is dropped.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    offset, started = 0, False
    while True:
        content = file.read(_CHUNK_SIZE)
        text = decode_chunk(name, decoder, content, offset, encoding)
        if text and not started:
            text, started = text.removeprefix("\ufeff"), True
        if text:
            yield text
        if not content:
            return
        offset += len(content)
        if report is not None:
            report(len(content))


def decode_chunk(
    name: str, decoder: codecs.IncrementalDecoder, content: bytes, offset: int, encoding: str
) -> str:
    """Decode bytes of a file from an offset on, none at its end; `name` is what messages call the file."""
    pending = decoder.getstate()[0]  # bytes of a character that the last chunk split
    try:
        return decoder.decode(content, final=not content)
    except UnicodeDecodeError as error:
        data = error.object
        byte, position = data[error.start], offset - len(pending) + error.start
        mark = next((mark for mark in _MARKS if offset == 0 and data.startswith(mark)), None)
        likely = f"it begins as {_MARKS[mark]} does" if mark else "another encoding must be named"
        example = _MARKS[mark] if mark else "latin-1"
        raise ValueError(
            f"{name}: not {encoding.upper()}: byte 0x{byte:02x} at offset {position} ({error.reason}); "
            f"{likely}: encoding={example!r}, or --encoding {example}"
        ) from None
    except UnicodeError as error:  # as of UTF-16 without its mark
        raise ValueError(f"{name}: not {encoding.upper()}: {error}") from None


def whole_lines(chunks: Iterable[str], longest: float = math.inf) -> Iterator[str]:
    """Join chunks to lines; a line longer than `longest` comes in pieces, split at white space."""
    return (line for line, _ in line_pieces(chunks, longest))


def line_pieces(chunks: Iterable[str], longest: float | None = None) -> Iterator[tuple[str, bool]]:
    """Yield lines, or pieces of those longer than `longest` (default: a chunk), and whether a line ends."""
    most = _CHUNK_SIZE if longest is None else longest
    parts: list[str] = []  # of the current line
    for chunk in chunks:
        first, *others = chunk.split("\n")
        parts.append(first)
        if others:
            yield "".join(parts).removesuffix("\r"), True
            yield from ((line.removesuffix("\r"), True) for line in others[:-1])
            parts = [others[-1]]
        elif sum(map(len, parts)) > most and (start := _last_token_start(chunk)):
            parts[-1] = chunk[:start]
            yield "".join(parts), False
            parts = [chunk[start:]]
    if rest := "".join(parts):
        yield rest.removesuffix("\r"), True


def _last_token_start(text: str) -> int:
    """Return where the last token of a text begins; 0 if there is no white space."""
    return len(text) if text[-1].isspace() else len(text) - len(text.rsplit(None, 1)[-1])
