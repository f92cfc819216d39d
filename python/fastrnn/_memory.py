"""The memory of this machine, and whether parameters can fit into it: judged before any is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

__all__ = ["check_memory", "machine_memory"]


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
