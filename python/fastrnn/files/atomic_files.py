"""Atomic writing: a reader finds either the complete old file or the complete new one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from fastrnn._files import check_regular
from fastrnn.files.file_systems import file_system_of, renames_atomically
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.files.temporary_files import create_temporary, remove_abandoned

__all__ = [
    "check_writable",
    "name_file_in_errors",
    "name_file_in_unnamed_errors",
    "replaced_file",
    "write_atomically",
]

# Paths beside which this process has looked for what dead ones left.
_cleared: set[Path] = set()


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: write and sync a temporary file beside it, rename that, sync the folder.

    On failure the old file stays as it was and the temporary one is removed. Of several writers at the same
    time, whether threads, processes or containers, the last to finish wins, with its whole content. A process
    killed while writing leaves its temporary file ``.NAME.*.tmp``, which the next one removes. Ctrl-C takes
    effect after the write.

    Parameters
    ----------
    path : path
        Symbolic links are followed.
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written, or the path is that of a folder, device, pipe or socket; the error
        names ``path``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.bin")
    ...     write_atomically(path, b"new")
    ...     path.read_bytes(), [entry.name for entry in path.parent.iterdir()]
    (b'new', ['a.bin'])
    """
    with defer_interrupts(), replaced_file(path) as (_, file), name_file_in_errors(path):
        file.write(content)


@contextmanager
def replaced_file(path: str | os.PathLike[str]) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a temporary file that replaces a file atomically once the body has ended, however long it takes.

    If the body raises an error, the old file stays as it was and the temporary one is removed.

    Parameters
    ----------
    path : path
        As for `write_atomically`.

    Yields
    ------
    temporary : Path
        Where the temporary file is; other processes may write to it too, before the body ends.
    file : binary file

    Raises
    ------
    OSError
        As `write_atomically`. Errors of the body's own writes do not name ``path``: see
        `name_file_in_unnamed_errors`.
    """
    target = Path(os.path.realpath(path))
    check_regular(path)
    if target not in _cleared:
        _clear(target)
    with ExitStack() as stack:
        with name_file_in_errors(path):
            temporary, file = stack.enter_context(create_temporary(target))
        yield temporary.path, file
        with defer_interrupts(), name_file_in_errors(path):
            file.flush()
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
            temporary.replace_by_rename()
            _sync_folder(target.parent)
            _check_size(target, size)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written, before hours of training depend on it.

    Temporary files that dead processes left beside it are removed.

    Raises
    ------
    OSError
        If ``path`` is that of a folder, device, pipe or socket, or its folder does not exist or is not
        writable.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)}: is a folder")
    check_regular(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{os.fspath(path)}: the folder does not exist")
    _clear(target)
    with name_file_in_errors(path), create_temporary(target):
        pass  # it is removed again


def _clear(target: Path) -> None:
    remove_abandoned(target)
    _cleared.add(target)


@contextmanager
def name_file_in_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make an OSError of the body name this file: a failed write names none, or a temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def name_file_in_unnamed_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make an OSError of the body that names no file, as that of a write or of closing, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _check_size(target: Path, size: int) -> None:
    """Check what a file system made of a rename that is not atomic there."""
    kind = file_system_of(target)
    if renames_atomically(kind):
        return
    found = target.stat().st_size
    if found != size:
        raise OSError(errno.EIO, f"expected {size} bytes after a rename on {kind}, found {found}")


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
