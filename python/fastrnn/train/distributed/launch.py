"""How many processes a launcher such as mpiexec or srun started, and which this one is: its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Launch", "launched_size", "read_launch"]

# A launcher, its variables of the size and of the rank. The first that is found counts: the processes of an
# mpiexec that runs under srun have the variables of both. A script of sbatch has SLURM_NTASKS and
# SLURM_PROCID=0 but is one process; only the steps of srun have SLURM_STEP_NUM_TASKS.
_LAUNCHERS = (
    ("mpiexec", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI
    ("mpiexec", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),  # MVAPICH2
    ("mpiexec", "PMI_SIZE", "PMI_RANK"),  # MPICH, Intel MPI, Microsoft MPI, MVAPICH from version 3
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
_LOCAL_RANKS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")


@dataclass(frozen=True)
class Launch:
    """The place of this process among those that a launcher started.

    Attributes
    ----------
    launcher : str
        The program's name; "" if there was none.
    size, rank : int
    local_rank : int
        The rank among the processes of this machine; `rank` if the launcher does not say.
    """

    launcher: str = ""
    size: int = 1
    rank: int = 0
    local_rank: int = 0


def read_launch(environment: Mapping[str, str] | None = None) -> Launch:
    """Return what the environment says about the start of this process.

    Parameters
    ----------
    environment : mapping of str, optional
        By default that of this process.

    Examples
    --------
    >>> read_launch({"PMI_SIZE": "4", "PMI_RANK": "3", "MPI_LOCALRANKID": "1"})
    Launch(launcher='mpiexec', size=4, rank=3, local_rank=1)
    >>> read_launch({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}).size  # a script of sbatch
    1
    """
    environment = os.environ if environment is None else environment
    for launcher, *names in _LAUNCHERS:
        size, rank = (_number(environment, name) for name in names)
        if size is not None and rank is not None:
            local = [_number(environment, name) for name in _LOCAL_RANKS]
            return Launch(launcher, size, rank, next((one for one in local if one is not None), rank))
    return Launch()


def launched_size(environment: Mapping[str, str] | None = None) -> int:
    """Return how many processes the launcher of this one started: 1 without a launcher.

    Nothing is imported, and MPI is not asked.

    Parameters
    ----------
    environment : mapping of str, optional
        By default that of this process.

    Examples
    --------
    >>> launched_size({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "0"})
    8
    >>> launched_size({})
    1
    """
    return read_launch(environment).size


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
