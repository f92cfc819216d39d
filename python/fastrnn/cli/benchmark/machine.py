"""Description of the machine, and the choice of CPUs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn import _dispatch
from fastrnn._version import __version__

__all__ = ["cache_sizes", "choose_cpus", "facts", "usable_cpus"]

_CPUS = Path("/sys/devices/system/cpu")
_PEER_PACKAGES = ("torch", "jax", "jaxlib", "onnxruntime", "onnx")


def usable_cpus() -> list[int]:
    """Return the numbers of the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def choose_cpus(count: int) -> list[int]:
    """Choose CPUs on different cores where possible, last CPU first: CPU 0 serves interrupts.

    Raises
    ------
    ValueError
        If the process may not use that many.

    Examples
    --------
    >>> choose_cpus(1) == usable_cpus()[-1:]
    True
    """
    cpus = usable_cpus()
    if not 1 <= count <= len(cpus):
        raise ValueError(f"threads: expected 1 .. {len(cpus)}, the CPUs this process may use, got {count}")
    seen: set[str] = set()
    first_on_core: list[int] = []
    siblings: list[int] = []
    for cpu in reversed(cpus):
        core = _text(_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu)
        (siblings if core in seen else first_on_core).append(cpu)
        seen.add(core)
    return sorted((first_on_core + siblings)[:count])


def cache_sizes() -> dict[str, int]:
    """Return the size of each data cache level in bytes, such as {"L1": 32768, ...}; empty if unknown."""
    sizes = {}
    for folder in sorted((_CPUS / "cpu0" / "cache").glob("index*")):
        size = _text(folder / "size")
        if _text(folder / "type") != "Instruction" and size.endswith("K"):
            sizes[f"L{_text(folder / 'level')}"] = 1024 * int(size[:-1])
    return sizes


def facts() -> dict[str, Any]:
    """Return what a measurement depends on, for JSON: the machine, its load and all versions."""
    return {
        "cpu": _cpu_name(),
        "cpus": len(usable_cpus()),
        "caches": cache_sizes(),
        "memory_bytes": _memory_bytes(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "fastrnn": __version__,
        "isa": _dispatch.isa(),
        "numpy": np.__version__,
        **_versions(_PEER_PACKAGES),
    }


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
