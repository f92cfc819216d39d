"""A lock on a file that a process writes again and again, so that no other process writes it too."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from fastrnn.files import file_locks
from fastrnn.files.file_locks import is_at, lock_file, short_name

__all__ = ["InUseError", "hold_output"]

_ATTEMPTS = 100


class InUseError(ValueError):
    """Another process writes the file."""


@contextmanager
def hold_output(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from writing a file while the body runs.

    A file ``.NAME.lock`` beside it is locked (``flock``) and says who holds it; it is removed at the end. The
    system drops the lock of a process that dies, however it dies, and what it leaves is no obstacle. Whether
    a lock reaches other machines is up to the file system, and one without locks keeps nobody out.

    Parameters
    ----------
    path : path
        Symbolic links are followed. The file need not exist, but its folder must.

    Raises
    ------
    InUseError
        If another process, or another call in this one, holds it; the message says which.
    OSError
        If the file of the lock cannot be created.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with hold_output(pathlib.Path(folder, "model.safetensors")):
    ...         print(*(entry.name for entry in pathlib.Path(folder).iterdir()))
    .model.safetensors.lock
    """
    target = Path(os.path.realpath(path))
    place = target.with_name(f".{short_name(target)}.lock")
    descriptor = _take(place, os.fspath(path))
    try:
        with contextlib.suppress(OSError):  # on a full disk it keeps others out without a name
            os.write(descriptor, json.dumps(_this_process()).encode())
        yield
    finally:
        _give_back(place, descriptor)


def _take(place: Path, name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(place, flags, 0o666)
        except FileExistsError:
            _remove_unheld(place, name)
            continue
        # Between its creation and its lock another process may have taken it for a dead one's.
        if lock_file(descriptor) is not False and is_at(place, descriptor):
            return descriptor
        os.close(descriptor)
    raise _in_use(place, name)


def _remove_unheld(place: Path, name: str) -> None:
    """Remove the file of a lock that nobody holds.

    Raises
    ------
    InUseError
        If somebody holds it.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return
    try:
        if lock_file(descriptor) is False:
            raise _in_use(place, name)
        _remove(place, descriptor)
    finally:
        os.close(descriptor)
    if file_locks.fcntl is None:
        try:
            place.unlink(missing_ok=True)
        except PermissionError:  # Windows removes no file that is open
            raise _in_use(place, name) from None


def _give_back(place: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        _remove(place, descriptor)
    os.close(descriptor)
    if file_locks.fcntl is None:
        with contextlib.suppress(OSError):
            place.unlink()


def _remove(place: Path, descriptor: int) -> None:
    """Remove a file under its lock, so that one who has opened it sees that it has gone."""
    if file_locks.fcntl is not None and is_at(place, descriptor):
        place.unlink()


def _this_process() -> dict[str, str | int]:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return {"process": os.getpid(), "host": platform.node(), "since": since}


def _in_use(place: Path, name: str) -> InUseError:
    holder = "another process"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(place.read_bytes())
        holder = f"process {found['process']} on {found['host']}, since {found['since']},"
    return InUseError(
        f"{name}: {holder} writes it; wait for its end, or choose another name "
        f"(if that machine has crashed, remove {place})"
    )
