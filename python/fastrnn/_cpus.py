"""How many CPUs this process may use: those of its affinity mask, or fewer if a control group has a quota.

A quota, such as that of ``docker run --cpus 2``, leaves all CPUs visible and stops the process for the rest
of each period once its threads together have run for the time allowed. More threads than the quota pays for
then wait for each other.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator

from fastrnn._mountinfo import lines_of, mounts

__all__ = ["count_cpus", "cpu_quota"]

#: Microseconds of CPU time in each period, and the period: "150000 100000" or "max 100000"; -1 and 100000.
_FILES = {"v2": ("cpu.max",), "v1": ("cpu.cfs_quota_us", "cpu.cfs_period_us")}


def count_cpus(root: str = "/") -> int:
    """Return the number of CPUs that this process may use, at least 1.

    Parameters
    ----------
    root : str
        Where ``proc`` and the mount points of control groups are; tests have their own.

    Examples
    --------
    >>> count_cpus() >= 1
    True
    """
    quota = cpu_quota(root)
    return _schedulable_cpus() if quota is None else min(_schedulable_cpus(), quota)


def cpu_quota(root: str = "/") -> int | None:
    """Return the CPUs that the quotas of this process's control groups pay for; None if there is no quota.

    The least of those of its group and of the groups above it counts, in version 1 and 2 of control groups.
    A fraction of a CPU counts as a whole one. A file that is missing or not understood is no quota.

    Parameters
    ----------
    root : str
        As for `count_cpus`.
    """
    groups = _groups(root)
    found = []
    for kind, top, mount_point in _mounts(root):
        group = groups.get(kind)
        if group is None or not _contains(top, group):
            continue
        folder = posixpath.relpath(group, top)
        while True:
            found.append(_quota(kind, posixpath.normpath(f"{root}/{mount_point}/{folder}")))
            if folder in (".", ""):
                break
            folder = posixpath.dirname(folder)
    return min((quota for quota in found if quota is not None), default=None)


def _schedulable_cpus() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13; heeds PYTHON_CPU_COUNT too
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups(root: str) -> dict[str, str]:
    """Return the path of this process's group in the hierarchies that can have a quota: "v1" and "v2"."""
    groups = {}
    for line in lines_of(f"{root}/proc/self/cgroup"):
        # 4:cpu,cpuacct:/user.slice, and in version 2 0::/user.slice
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or not path.startswith("/"):
            continue
        if not controllers:
            groups["v2"] = path
        elif "cpu" in controllers.split(","):
            groups["v1"] = path
    return groups


def _mounts(root: str) -> Iterator[tuple[str, str, str]]:
    """Yield "v1" or "v2", the group at the top of each mounted hierarchy, and the mount point."""
    for top, point, kind, options in mounts(root):
        if kind == "cgroup2":
            yield "v2", top, point
        elif kind == "cgroup" and "cpu" in options.split(","):
            yield "v1", top, point


def _contains(top: str, group: str) -> bool:
    """Whether a group is at or below the top of a mounted hierarchy; one outside the namespace has ".."."""
    return f"{group}/".startswith(f"{top.rstrip('/')}/") and ".." not in group.split("/")


def _quota(kind: str, folder: str) -> int | None:
    words = [word for name in _FILES[kind] for line in lines_of(f"{folder}/{name}") for word in line.split()]
    try:
        quota, period = map(int, words)
    except ValueError:
        return None
    return -(-quota // period) if quota > 0 and period > 0 else None
