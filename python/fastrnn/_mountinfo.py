"""What is mounted where, from ``/proc/self/mountinfo``; nothing on systems without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Mount", "lines_of", "mounts"]


class Mount(NamedTuple):
    """One line of mountinfo: the folder `top` of a file system of type `kind` is at `point`."""

    top: str
    point: str
    kind: str
    options: str


def mounts(root: str = "/") -> Iterator[Mount]:
    """Yield what is mounted, the oldest first.

    Parameters
    ----------
    root : str
        Where ``proc`` is; tests have their own.
    """
    for line in lines_of(f"{root}/proc/self/mountinfo"):
        # 32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
        before, _, after = line.partition(" - ")
        place, system = before.split(" "), after.split(" ")
        if len(place) >= 5 and len(system) >= 3:
            yield Mount(_unescaped(place[3]), _unescaped(place[4]), system[0], system[-1])


def lines_of(path: str) -> list[str]:
    """Return the lines of a file of the system; none if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")
    except (OSError, ValueError):
        return []


def _unescaped(path: str) -> str:
    """Return a path of mountinfo with its spaces, which are written as octal numbers there."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
