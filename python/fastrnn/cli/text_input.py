"""Texts that commands read: files, or - for standard input."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable

from fastrnn._files import NotRegularFileError
from fastrnn.data import read_text
from fastrnn.data.reading import binary_chunks

__all__ = ["STANDARD_INPUT", "check_standard_input", "read_input"]

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


def _read(path: str, encoding: str) -> str:
    if path == STANDARD_INPUT:
        text = "".join(binary_chunks("standard input", sys.stdin.buffer, encoding=encoding))
        if not text:
            raise ValueError("standard input: is empty")
        return text
    try:
        return read_text([path], encoding=encoding)
    except NotRegularFileError:
        hint = "not a regular file; give - to read standard input"
        raise NotRegularFileError(errno.EINVAL, hint, path) from None
