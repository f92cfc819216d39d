"""Temporary files beside the file that they will replace, and which of them dead processes have left.

A temporary file is named ``.NAME.KERNEL.RANDOM.tmp``. Its writer creates it exclusively and holds a lock
(``flock``) on it until it is renamed or removed. The system drops the lock when the writer dies, however it
dies, so an unlocked file is a dead writer's: process numbers say nothing, as two containers on one volume
both have a process 1. Locks need not reach other machines that share a volume, nor is there a lock on systems
without ``flock``; there a file is a dead writer's if nothing has been written to it for an hour. KERNEL tells
the two cases apart: it stands for this start of this machine.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from fastrnn.files import file_locks
from fastrnn.files.file_locks import is_at, lock_file, short_name

__all__ = ["create_temporary", "remove_abandoned"]

_ABANDONED_AFTER = 3600.0  # seconds without a write, where locks say nothing
_ATTEMPTS = 100


class Temporary:
    """A temporary file that is being written, and the file that it will replace."""

    path: Path

    def __init__(self, path: Path, target: Path, file: BinaryIO) -> None:
        self.path, self._target, self._file = path, target, file

    def replace_by_rename(self) -> None:
        """Give the file its name, in place of a file that has it already."""
        if file_locks.fcntl is None:
            self._file.close()  # Windows renames no open file
        try:
            os.replace(self.path, self._target)
        except OSError:
            if not self._has_arrived():
                raise

    def _has_arrived(self) -> bool:
        """Return whether a rename happened although it failed: NFS repeats one whose answer was lost."""
        if self._file.closed:
            return False
        try:
            descriptor = os.open(self._target, os.O_RDONLY | os.O_NONBLOCK)  # opening asks the server
        except OSError:
            return False
        try:
            return os.path.samestat(os.fstat(descriptor), os.fstat(self._file.fileno()))
        finally:
            os.close(descriptor)


@contextmanager
def create_temporary(target: Path) -> Iterator[tuple[Temporary, BinaryIO]]:
    """Create a temporary file beside a file, with the permissions of any new file; remove it at the end.

    After `Temporary.replace_by_rename` there is nothing left to remove.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    path, file = _create(target)
    try:
        yield Temporary(path, target, file), file
    finally:
        # The lock is held until the file has gone, or has its name. Cleaning up must not hide an error.
        if file_locks.fcntl is None:
            _close(file)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        _close(file)


def _close(file: BinaryIO) -> None:
    """Close a file whose content no longer matters, or has been flushed."""
    with contextlib.suppress(OSError):  # what a full disk has left in the buffer is written again
        file.close()


def remove_abandoned(target: Path) -> list[Path]:
    """Remove the temporary files of a file whose writers are dead, and return them.

    What cannot be looked at or removed stays where it is.
    """
    removed: list[Path] = []
    pattern = re.compile(
        rf"\.{re.escape(short_name(target))}\.(?:([0-9a-f]{{8}})\.[0-9a-f]{{16}}|[0-9]+)\.tmp"
    )
    try:
        names = [entry.name for entry in os.scandir(target.parent) if entry.name.endswith(".tmp")]
    except OSError:
        return removed
    for name in names:
        match = pattern.fullmatch(name)
        path = target.with_name(name)
        if match is not None and _remove_if_abandoned(path, lockable=match[1] == _kernel()):
            removed.append(path)
    return removed


def _create(target: Path) -> tuple[Path, BinaryIO]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    for _ in range(_ATTEMPTS):
        name = f".{short_name(target)}.{_kernel()}.{secrets.token_hex(8)}.tmp"
        path = target.with_name(name)
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileExistsError:
            continue
        file = os.fdopen(descriptor, "wb")
        try:
            # Between its creation and its lock another process may have taken it for a dead writer's.
            if lock_file(descriptor) is not False and is_at(path, descriptor):
                return path, file
        except BaseException:
            path.unlink(missing_ok=True)
            file.close()
            raise
        file.close()
    raise FileExistsError(errno.EEXIST, "cannot create a temporary file", os.fspath(target))


def _remove_if_abandoned(path: Path, *, lockable: bool) -> bool:
    try:
        # Never a symbolic link, and never waiting for a pipe of that name.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)
        try:
            locked = lock_file(descriptor)
            idle = time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_AFTER
            abandoned = locked is not False and (idle or (locked is True and lockable))
            if abandoned and is_at(path, descriptor):
                if file_locks.fcntl is not None:  # under the lock, so that its writer sees that it has gone
                    path.unlink()
                    return True
            else:
                return False
        finally:
            os.close(descriptor)
        path.unlink()
    except OSError:
        return False
    return True


@cache
def _kernel() -> str:
    """Return eight digits for this start of this machine, the same in all its containers."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        name = platform.node()
    return hashlib.sha256(name.encode()).hexdigest()[:8]
