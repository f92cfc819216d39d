"""What started this process: its place among the ranks of a launcher, and whether MPI connects them.

A launcher, such as mpiexec or srun, tells each process its place through the environment. Processes that MPI
does not connect would each train alone and all write the same files, so such a start is refused before
anything is written.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Launch", "LaunchError", "launched_rank", "launched_size", "load_mpi", "read_launch"]

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


class LaunchError(ImportError):
    """Several processes were started, but MPI does not connect them."""


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


def launched_rank(environment: Mapping[str, str] | None = None) -> int:
    """Return the rank that the launcher gave this process: 0 without a launcher.

    Parameters
    ----------
    environment : mapping of str, optional
        By default that of this process.

    Examples
    --------
    >>> launched_rank({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "5"})
    5
    """
    return read_launch(environment).rank


def load_mpi() -> Any:
    """Initialise MPI and return the module ``mpi4py.MPI``.

    Raises
    ------
    LaunchError
        If mpi4py is not installed, finds no MPI library, or uses the library of another MPI than the
        launcher, which does not connect the processes.
    """
    launch = read_launch()
    mpi = _import_mpi(launch)
    library = _name(mpi.Get_library_version())
    check_library(launch, library)
    if not mpi.Is_initialized():
        with warnings.catch_warnings():  # mpi4py's own, of the launcher: it may be wrong, and follows below
            warnings.filterwarnings("ignore", "suspicious MPI execution environment", RuntimeWarning)
            mpi.Init_thread()
    check_world(launch, library, mpi.COMM_WORLD.Get_size())
    return mpi


def check_library(launch: Launch, library: str, environment: Mapping[str, str] | None = None) -> None:
    """Refuse another library under the mpiexec of Open MPI: it would end the process when it is initialised.

    Raises
    ------
    LaunchError
    """
    environment = os.environ if environment is None else environment
    if "OMPI_COMM_WORLD_SIZE" in environment and not library.startswith("Open MPI"):
        raise LaunchError(_not_connected(launch, library))


def check_world(launch: Launch, library: str, size: int) -> None:
    """Refuse a world of one process where there are several: so a library sees the launcher of another.

    Raises
    ------
    LaunchError
    """
    if size == 1 < launch.size:
        raise LaunchError(_not_connected(launch, library))


def _import_mpi(launch: Launch) -> Any:
    try:
        import mpi4py
    except ModuleNotFoundError:
        raise LaunchError(f"{_started(launch)}, but mpi4py is not installed; {_to_install(launch)}") from None
    if "mpi4py.MPI" not in sys.modules:
        mpi4py.rc(initialize=False, finalize=True)  # not before the library is known to be the launcher's
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise LaunchError(
            f"{_started(launch)}, but mpi4py finds no MPI library ({reason}); "
            "load the module of this cluster's MPI, or type: pip install mpich"
        ) from error
    return MPI


def _started(launch: Launch) -> str:
    return f"{launch.launcher} started {launch.size} processes"


def _to_install(launch: Launch) -> str:
    """Return what to type. What srun starts may be trainings that have nothing to do with each other."""
    alone = ", or, for as many trainings, unset SLURM_STEP_NUM_TASKS in each" * (launch.launcher == "srun")
    return f'type: pip install "fastrnn[mpi]"{alone}'


def _not_connected(launch: Launch, library: str) -> str:
    remedy = "start them with the mpiexec of that library"
    if launch.launcher == "srun":
        remedy = "try srun --mpi=pmi2, or another that srun --mpi=list shows"
    return f"{_started(launch)}, but mpi4py uses {library}, which does not connect them; {remedy}"


def _name(version: str) -> str:
    """Return the name and the number of a library from what it says about itself."""
    return re.sub(r"\s*\bVersion\s*:\s*|\s+", " ", re.split(r"[,\n\0]", version)[0]).strip()


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
