"""Atomic writing: a reader finds either the complete old file or the complete new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastrnn.train.interrupts import defer_interrupts

__all__ = ["check_writable", "name_file_in_errors", "write_atomically"]


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: write and sync a temporary file beside it, rename that, sync the folder.

    On failure the old file stays as it was and the temporary one is removed. A process killed while writing
    may leave its temporary file ``.NAME.PID.tmp``. Ctrl-C takes effect after the write.

    Parameters
    ----------
    path : path
        Symbolic links are followed.
    content : bytes

    Raises
    ------
    OSError
        If the file cannot be written; the error names ``path``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.bin")
    ...     write_atomically(path, b"new")
    ...     path.read_bytes(), [entry.name for entry in path.parent.iterdir()]
    (b'new', ['a.bin'])
    """
    target = Path(os.path.realpath(path))
    temporary = _temporary_for(target)
    with defer_interrupts(), name_file_in_errors(path):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
        _sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written, before hours of training depend on it.

    Raises
    ------
    OSError
        If ``path`` is a folder, or its folder does not exist or is not writable.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)}: is a folder")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{os.fspath(path)}: the folder does not exist")
    temporary = _temporary_for(target)
    with name_file_in_errors(path):
        try:
            temporary.touch()
        finally:
            _remove(temporary)


@contextmanager
def name_file_in_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make an OSError of the body name this file: a failed write names none, or a temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _temporary_for(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _remove(path: Path) -> None:
    # Cleaning up must not hide the original error.
    try:
        path.unlink()
    except OSError:
        return


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
