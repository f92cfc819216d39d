"""The memory of this machine, what of it is free, and whether parameters can fit: judged before any exist."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["available_memory", "check_memory", "machine_memory"]

_CGROUPS = Path("/sys/fs/cgroup")


@cache
def machine_memory() -> int | None:
    """Return the bytes of memory and swap space of this machine; None where the system does not say."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return memory + 1024 * int(fields["SwapTotal"].split()[0])
    except (OSError, KeyError, ValueError):
        return memory


def check_memory(what: str, shapes: Mapping[str, tuple[int, ...]], dtype: Any) -> None:
    """Check that arrays, such as all parameters, fit into this machine's memory.

    Raises
    ------
    MemoryError
        With the number of bytes, and the largest array.

    Examples
    --------
    >>> check_memory("parameters", {"weight": (2**40, 8), "bias": (2**40,)}, "float32")
    Traceback (most recent call last):
    MemoryError: parameters: cannot allocate 39582418599936 bytes; the largest is weight [1099511627776, 8]
    """
    size = sum(map(math.prod, shapes.values())) * np.dtype(dtype).itemsize
    memory = machine_memory()
    if size > (2**63 - 1 if memory is None else memory):
        name = max(shapes, key=lambda name: math.prod(shapes[name]))
        raise MemoryError(f"{what}: cannot allocate {size} bytes; the largest is {name} {list(shapes[name])}")


def available_memory() -> int | None:
    """Return the bytes that this process can still take: of the machine, its control group and its limits.

    None where the system does not say.
    """
    known = [_of_machine(), _of_control_group(), _of_address_space()]
    found = [count for count in known if count is not None]
    return max(0, min(found)) if found else None


def _of_machine() -> int | None:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return machine_memory()


def _of_control_group() -> int | None:
    """Return what the limits of the control group and of those above it leave, versions 2 and 1."""
    rooms = []
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = _CGROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            rooms.append(_room(group, *names))
            if group == root:
                break
    found = [room for room in rooms if room is not None]
    return min(found) if found else None


def _room(group: Path, limit: str, usage: str, cache: str) -> int | None:
    try:
        most, used = (int((group / name).read_text()) for name in (limit, usage))
    except (OSError, ValueError):  # no such group here, or "max"
        return None
    for line in _lines(group / "memory.stat"):
        if line.startswith(f"{cache} "):
            used -= int(line.split()[1])
    return most - used


def _of_address_space() -> int | None:
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None
    return None if most == resource.RLIM_INFINITY else most - used


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
