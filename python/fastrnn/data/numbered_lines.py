"""Numbered lines of a text file or of standard input, for readers whose messages name the line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from fastrnn.data.reading import as_encoding, binary_chunks, file_chunks, whole_lines

__all__ = ["numbered_lines", "source_name"]


def source_name(path: str | os.PathLike[str]) -> str:
    """Return what messages call a file; ``"-"`` is standard input."""
    name = os.fspath(path)
    return "standard input" if name == "-" else name


def numbered_lines(path: str | os.PathLike[str], encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, from 1, as `read_lines` reads them.

    Raises
    ------
    ValueError
        If it is empty or has another encoding.
    OSError
        If it cannot be read, or is a pipe or a device other than standard input (``"-"``).
    """
    name = as_encoding("encoding", encoding)
    if os.fspath(path) == "-":
        chunks = binary_chunks("standard input", sys.stdin.buffer, encoding=name)
    else:
        chunks = file_chunks(Path(path), encoding=name)
    number = 0
    for number, line in enumerate(whole_lines(chunks), 1):
        yield number, line
    if not number:
        raise ValueError(f"{source_name(path)}: the file is empty")
