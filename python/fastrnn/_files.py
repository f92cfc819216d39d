"""Regular files: opening and reading them without ever waiting for a pipe, a device or a socket."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

__all__ = ["NotRegularFileError", "check_regular", "open_regular", "read_regular"]


class NotRegularFileError(OSError):
    """A file is a pipe, a device or a socket, which cannot be read or replaced like a file."""


def check_regular(path: str | os.PathLike[str]) -> None:
    """Check that a path, if it exists, is that of a regular file.

    Raises
    ------
    NotRegularFileError
        If it is a pipe, a device or a socket.
    IsADirectoryError
        If it is a folder.
    OSError
        If it cannot be looked at.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    _check_mode(path, mode)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises
    ------
    NotRegularFileError
        If it is a pipe, a device or a socket; it is not waited for.
    OSError
        If it cannot be opened.
    """
    check_regular(path)  # before opening, which alone can have effects on a device
    # Should it become a pipe in between, O_NONBLOCK keeps the opening from waiting for a writer.
    descriptor = os.open(
        os.fspath(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        _check_mode(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Read the bytes of a regular file.

    Raises
    ------
    NotRegularFileError, OSError
        As `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def _check_mode(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise NotRegularFileError(errno.EINVAL, "not a regular file", os.fspath(path))
