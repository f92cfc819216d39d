"""Texts that commands read: files, or - for standard input."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Iterable
from typing import BinaryIO

from fastrnn._files import NotRegularFileError
from fastrnn.cli.standard_streams import show
from fastrnn.data import read_text
from fastrnn.data.reading import binary_chunks

__all__ = ["STANDARD_INPUT", "check_standard_input", "name_of", "read_input"]

STANDARD_INPUT = "-"


def check_standard_input(paths: Iterable[str | None]) -> None:
    """Check that standard input is named no more than once.

    Raises
    ------
    ValueError
        If it is: it can be read once.
    """
    if [*paths].count(STANDARD_INPUT) > 1:
        raise ValueError(f"{STANDARD_INPUT}: standard input can be only one of the texts")


def read_input(paths: Iterable[str], encoding: str) -> str:
    """Read texts and join them in the order given.

    Raises
    ------
    ValueError
        If one is empty or has another encoding.
    OSError
        If one cannot be read, or is a pipe or a device.
    """
    return "".join([_read(path, encoding) for path in paths])


def name_of(path: str) -> str:
    """Return what messages call a text.

    Examples
    --------
    >>> from fastrnn.cli.text_input import name_of
    >>> name_of("-"), name_of("book.txt")
    ('standard input', 'book.txt')
    """
    return "standard input" if path == STANDARD_INPUT else path


def _read(path: str, encoding: str) -> str:
    if path == STANDARD_INPUT:
        stream: BinaryIO = sys.stdin.buffer
        if sys.stdin.isatty():  # somebody types a text, whose end is seen once
            show("reading the text from standard input; Ctrl-D on an empty line ends it", err=True)
            stream = io.BytesIO(stream.read())
        text = "".join(binary_chunks("standard input", stream, encoding=encoding))
        if not text:
            raise ValueError("standard input: is empty; send a text to it, or name a FILE instead of -")
        return text
    try:
        return read_text([path], encoding=encoding)
    except NotRegularFileError:
        hint = "not a regular file; give - to read standard input"
        raise NotRegularFileError(errno.EINVAL, hint, path) from None
