"""The memory of this machine, whether parameters can fit into it, and what a MemoryError says."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = [
    "FEWER_TEXTS",
    "FEWER_TOKENS",
    "SMALLER_LAYER",
    "available_memory",
    "check_memory",
    "limited_memory",
    "machine_memory",
    "named_memory",
    "out_of_memory",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

FEWER_TOKENS = "use fewer sequences or fewer steps at a time, or a smaller layer"
FEWER_TEXTS = "use fewer or shorter texts at a time"
SMALLER_LAYER = "use a smaller or fewer layers, or a smaller vocabulary"

_CGROUPS = Path("/sys/fs/cgroup")

# The bytes that parameters may still take, where a file says how large they are.
_allowance: ContextVar[list[int] | None] = ContextVar("allowance", default=None)


@contextmanager
def limited_memory(nbytes: int) -> Iterator[None]:
    """Limit the parameters that the body may make: sizes from a file may claim no more than the file holds.

    Raises
    ------
    ValueError
        In the body, before an allocation that would exceed the limit.

    Examples
    --------
    >>> with limited_memory(100):
    ...     check_memory("parameters", {"weight": (10, 10)}, "float32")
    Traceback (most recent call last):
    ValueError: parameters: expected at most 100 bytes, those of the file, got 400 for weight [10, 10]
    """
    token = _allowance.set([nbytes])
    try:
        yield
    finally:
        _allowance.reset(token)


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


def check_memory(
    what: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: Any,
    advice: str = SMALLER_LAYER,
) -> None:
    """Check that arrays, such as all parameters, fit into this machine's memory.

    Raises
    ------
    MemoryError
        With the number of bytes, the largest array and what to reduce.

    Examples
    --------
    >>> check_memory("parameters", {"weight": (2**40, 8), "bias": (2**40,)}, "float32")
    Traceback (most recent call last):
    MemoryError: parameters: cannot allocate 39582418599936 bytes (39582.4 GB); the largest is weight ...
    """
    size = sum(map(math.prod, shapes.values())) * np.dtype(dtype).itemsize
    memory = machine_memory()
    if size > (2**63 - 1 if memory is None else memory):
        name = max(shapes, key=lambda name: math.prod(shapes[name]))
        raise out_of_memory(what, size, f"the largest is {name} {list(shapes[name])}; {advice}")
    allowed = _allowance.get()
    if allowed is not None and size:
        if size > allowed[0]:
            name = max(shapes, key=lambda name: math.prod(shapes[name]))
            raise ValueError(
                f"{what}: expected at most {allowed[0]} bytes, those of the file, got {size} for "
                f"{name} {list(shapes[name])}"
            )
        allowed[0] -= size


def out_of_memory(what: str, nbytes: int, advice: str) -> MemoryError:
    """Make the error for an allocation of `nbytes`.

    Examples
    --------
    >>> out_of_memory("parameters", 32 * 10**9, "use a smaller layer")
    MemoryError('parameters: cannot allocate 32000000000 bytes (32.0 GB); use a smaller layer')
    """
    gigabytes = f" ({nbytes // 10**8 / 10} GB)" if 10**8 <= nbytes < 2**70 else ""
    return MemoryError(f"{what}: cannot allocate {nbytes} bytes{gigabytes}; {advice}")


class named_memory:  # used as a function and as a decorator
    """Complete the message of a MemoryError that does not say what to reduce; also a decorator.

    Examples
    --------
    >>> import numpy as np
    >>> with named_memory("mask", "use fewer rows"):
    ...     np.empty(2**60, np.uint8)
    Traceback (most recent call last):
    MemoryError: mask: cannot allocate 1152921504606846976 bytes (1152921504.6 GB); use fewer rows
    """

    __slots__ = ("_advice", "_what")

    def __init__(self, what: str, advice: str) -> None:
        self._what, self._advice = what, advice

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if isinstance(error, MemoryError):
            raise self._completed(error) from None

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def named(*arguments: _P.args, **options: _P.kwargs) -> _R:
            try:
                return function(*arguments, **options)
            except MemoryError as error:
                raise self._completed(error) from None

        return named

    def _completed(self, error: MemoryError) -> MemoryError:
        if "; " in str(error):
            return error
        size = getattr(error, "_total_size", None)  # NumPy's own subclass has it
        if size is None:
            return MemoryError(f"{self._what}: out of memory; {self._advice}")
        return out_of_memory(self._what, int(size), self._advice)


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
