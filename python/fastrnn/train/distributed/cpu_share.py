"""How many threads a rank uses: its share of the CPUs that it may use, which other ranks may use too."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any

from fastrnn._cpus import count_cpus, cpu_quota
from fastrnn._dispatch import suggest_num_threads

__all__ = ["thread_share", "use_share"]


def thread_share(masks: Sequence[Collection[int]], own: int, quota: int | None = None) -> int:
    """Return how many threads a rank uses so that those of all ranks have a CPU each, if there are as many.

    A CPU counts in equal parts for all ranks that may use it: ranks that are bound to CPUs of their own use
    all of them, and ranks that share CPUs use as many each.

    Parameters
    ----------
    masks : sequence of collections of int
        For each rank on this machine the CPUs that it may use.
    own : int
        Which of them is this rank.
    quota : int, optional
        The CPUs that a control group pays for, for all these ranks together.

    Returns
    -------
    threads : int
        At least 1.

    Examples
    --------
    >>> thread_share([range(8)] * 4, 0)  # not bound
    2
    >>> thread_share([range(4), range(4, 8)], 1)  # each bound to a half
    4
    >>> thread_share([range(8)] * 4, 0, quota=4)
    1
    """
    share = sum(Fraction(1, sum(cpu in mask for mask in masks)) for cpu in set(masks[own]))
    if quota is not None:
        share = min(share, Fraction(quota, len(masks)))
    return max(1, int(share))


def use_share(mpi: Any, comm: Any) -> None:
    """Use this rank's share of the CPUs, unless the user has chosen a number of threads. Collective.

    Parameters
    ----------
    mpi : module
        ``mpi4py.MPI``.
    comm : mpi4py.MPI.Comm
        All ranks.
    """
    machine = comm.Split_type(mpi.COMM_TYPE_SHARED)
    masks = machine.allgather(_usable_cpus())
    share = thread_share(masks, machine.Get_rank(), cpu_quota())
    machine.Free()
    suggest_num_threads(min(share, count_cpus()))


def _usable_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
