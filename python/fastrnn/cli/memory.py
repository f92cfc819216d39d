"""The memory that a training needs, against what the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fastrnn.layers.recurrent.options import CELLS

if TYPE_CHECKING:
    from fastrnn.cli.settings import TrainingSettings

__all__ = ["available_memory", "check_memory", "describe_bytes", "training_memory"]

_FLOAT = 4  # bytes
_MOMENTS = {"sgd": 1, "rmsprop": 1, "adam": 2, "adamw": 2}
_CGROUPS = Path("/sys/fs/cgroup")


def training_memory(
    settings: TrainingSettings, shapes: Mapping[str, tuple[int, ...]], largest_batch: int
) -> int:
    """Estimate the memory that the arrays of a training take, in bytes.

    Of parameters, there are the gradients, the optimizer's moments, an average, packed copies for both
    passes, and three times what a checkpoint holds while it is written. Of the largest batch, there is what
    backpropagation keeps of each layer.

    Parameters
    ----------
    settings : TrainingSettings
    shapes : mapping of str to tuple of int
        Of the model's parameters.
    largest_batch : int
        Steps times rows.
    """
    moments = _MOMENTS[settings.optimizer] if settings.momentum or settings.optimizer != "sgd" else 0
    averages = 0 if settings.average == "none" else 1
    saved = 1 + moments + averages
    copies = 2 + moments + 2 * averages + 2 + 3 * saved
    parameters = sum(map(math.prod, shapes.values()))
    gates = {cell.name: cell.gates for cell in CELLS.values()}[settings.cell]
    per_step = settings.num_layers * settings.hidden_size * (gates + 6) + 2 * (settings.embedding_width or 0)
    return _FLOAT * (copies * parameters + largest_batch * (per_step + 16))


def check_memory(
    settings: TrainingSettings, needed: int, largest_batch: int, parameters: int, symbols: int
) -> None:
    """Refuse a training that needs more memory than there is, before anything is allocated.

    Raises
    ------
    MemoryError
        With what would need less.
    """
    available = available_memory()
    if available is None or needed <= available:
        return
    smaller = f"--hidden-size, --batch-size or {'--longest-line' if settings.sentences else '--seq-length'}"
    raise MemoryError(
        f"training needs about {describe_bytes(needed)}, and {describe_bytes(available)} are "
        f"available: {parameters:,} parameters for {symbols:,} distinct symbols, and batches of up to "
        f"{largest_batch:,} tokens; --max-types N keeps the N most frequent symbols, a smaller {smaller} "
        "needs less too, and --force trains all the same"
    )


def describe_bytes(count: float) -> str:
    """Return a number of bytes as people write it: ``12.9 GB``."""
    for unit in ("kB", "MB"):
        count /= 1000.0
        if count < 1000.0:
            return f"{count:.3g} {unit}"
    return f"{count / 1000.0:,.1f} GB"


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
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


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
