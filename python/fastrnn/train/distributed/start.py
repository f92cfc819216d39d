"""Find the other processes of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn.train.distributed.cpu_share import use_share
from fastrnn.train.distributed.launch import launched_size
from fastrnn.train.distributed.mpi_library import load_mpi
from fastrnn.train.distributed.ranks import OneProcess
from fastrnn.train.distributed.uncaught import end_all_if_uncaught

if TYPE_CHECKING:
    from fastrnn.train.distributed.ranks import Ranks

__all__ = ["start"]


def start(
    shards: int | None = None, *, reduction: str = "ordered", wire: str = "float32", comm: Any = None
) -> Ranks:
    """Return the processes that ``mpiexec`` started, as this one of them sees them.

    An exception that ends one of several processes then ends all.

    Each uses as many threads as its share of the CPUs that it may use, which it divides with the others that
    may use them, unless `fastrnn.set_num_threads` or ``FASTRNN_NUM_THREADS`` says how many.

    Parameters
    ----------
    shards : int, optional
        S, the number of parts of a batch whose gradients are computed one by one and added in a fixed order:
        the results depend on S, and not on the number of processes, which must divide it. Default: the number
        of processes.
    reduction : {"ordered", "fastest"}
        How gradients are added over the processes: in the fixed order, or in whichever order MPI finds
        fastest, in which the last bits depend on the number of processes.
    wire : {"float32", "bfloat16"}
        What gradients are sent as. bfloat16 halves the bytes, and rounds what processes send, so that the
        result depends on their number too.
    comm : mpi4py.MPI.Comm, optional
        Default: all processes of ``mpiexec``.

    Returns
    -------
    ranks : Ranks
        Of one process if no launcher started this one; then MPI is neither needed nor imported.

    Raises
    ------
    ValueError
        If the number of processes does not divide `shards`, or an option is none of its choices.
    ImportError
        If a launcher started several processes and mpi4py is missing or belongs to another MPI.

    Examples
    --------
    >>> import fastrnn as fr
    >>> ranks = fr.train.distributed.start(shards=4)
    >>> ranks.rank, ranks.size, ranks.shards, ranks.is_first
    (0, 1, 4, True)
    """
    options = {"shards": shards, "reduction": reduction, "wire": wire}
    if comm is None and launched_size() == 1:
        return OneProcess(**(options | {"shards": 1 if shards is None else shards}))  # type: ignore[arg-type]
    mpi = load_mpi()
    from fastrnn.train.distributed.mpi import MPIRanks

    ranks = MPIRanks(comm, **options)
    use_share(mpi, ranks.comm)
    end_all_if_uncaught(ranks)
    return ranks
