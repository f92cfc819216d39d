"""Locks on open files, which the system drops when their process dies, however it dies."""

from __future__ import annotations

import contextlib
import os
from importlib import import_module
from pathlib import Path
from typing import Any

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows, where a file that is open cannot be removed
    fcntl = import_module("fcntl")

__all__ = ["is_at", "lock_file", "short_name"]

_LONGEST_NAME = 200  # bytes of a file's name, so that those of the files beside it fit into the usual 255


def lock_file(descriptor: int) -> bool | None:
    """Lock a file; return whether that worked, or None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return None
    return True


def is_at(path: Path, descriptor: int) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def short_name(path: Path) -> str:
    """Return the name of a file, cut so that one beside it can have a longer name."""
    return os.fsdecode(os.fsencode(path.name)[:_LONGEST_NAME])
