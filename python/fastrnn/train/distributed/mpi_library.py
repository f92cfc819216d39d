"""The MPI library, loaded and initialised once it is known to connect the processes that were started.

Processes that MPI does not connect would each train alone and all write the same files, so such a start is
refused before anything is written.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

from fastrnn.train.distributed.launch import Launch, read_launch

__all__ = ["LaunchError", "check_library", "check_world", "load_mpi"]

_TO_SAY_IT = 1.0  # seconds


class LaunchError(ImportError):
    """Several processes were started, but MPI does not connect them."""


def load_mpi() -> Any:
    """Initialise MPI and return the module ``mpi4py.MPI``.

    Raises
    ------
    LaunchError
        If mpi4py is not installed, finds no MPI library, or uses the library of another MPI than the
        launcher, which does not connect the processes.
    """
    launch = read_launch()
    try:
        return _connected(launch)
    except LaunchError:
        atexit.register(_end_others, launch)
        raise


def _connected(launch: Launch) -> Any:
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


def _end_others(launch: Launch) -> None:
    """End the other ranks, which may wait for this one in MPI; at the exit, when it has said what is wrong.

    The mpiexec of Open MPI does so by itself. That of MPICH and of Intel MPI is told to as their libraries
    would: by a line of PMI, the protocol that they speak.
    """
    if launch.local_rank:
        time.sleep(_TO_SAY_IT)  # the first on this machine may have more to say, and is ended with all others
    with contextlib.suppress(KeyError, ValueError, OSError):
        if "MPI_LOCALRANKID" in os.environ:
            os.write(int(os.environ["PMI_FD"]), b"cmd=abort exitcode=2\n")


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
