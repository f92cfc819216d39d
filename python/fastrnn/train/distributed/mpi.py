"""Ranks that MPI started. `start` imports this file, and with it mpi4py, when there are several."""

from __future__ import annotations

import sys
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from mpi4py import MPI

from fastrnn.train.distributed.ranks import Ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastrnn._arrays import Array

__all__ = ["MPIRanks", "rank_executor"]

_T = TypeVar("_T")


class MPIRanks(Ranks):
    """The processes of an MPI communicator; `start` creates it.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        Default: a copy of ``MPI.COMM_WORLD``.
    shards, reduction, wire
        As for `Ranks`.
    """

    def __init__(self, comm: Any = None, **options: Any) -> None:
        self.comm: Any = (MPI.COMM_WORLD if comm is None else comm).Dup()
        super().__init__(self.comm.Get_rank(), self.comm.Get_size(), **options)

    def gather(self, value: _T) -> list[_T]:
        """See `Ranks.gather`."""
        values: list[_T] = self.comm.allgather(value)
        return values

    def any(self, flag: bool) -> bool:
        """See `Ranks.any`."""
        return bool(self.comm.allreduce(int(flag), MPI.MAX))

    def broadcast(self, value: _T) -> _T:
        """See `Ranks.broadcast`."""
        result: _T = self.comm.bcast(value, 0)
        return result

    def abort(self, code: int) -> NoReturn:
        """See `Ranks.abort`."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # None, on a full disk, or closed
                stream.flush()
        self.comm.Abort(code)
        raise SystemExit(code)

    def exchange(
        self, sent: NDArray[Any], counts: list[int], received: NDArray[Any], received_counts: list[int]
    ) -> None:
        """See `Ranks.exchange`."""
        self.comm.Alltoallv(_buffer(sent, counts), _buffer(received, received_counts))

    def join(self, parts: NDArray[Any], counts: list[int]) -> None:
        """See `Ranks.join`."""
        self.comm.Allgatherv(MPI.IN_PLACE, _buffer(parts, counts))

    def swap(self, other: int, sent: NDArray[Any], received: NDArray[Any]) -> None:
        """See `Ranks.swap`."""
        self.comm.Sendrecv(sent, other, recvbuf=received, source=other)

    def add_up(self, values: Array) -> None:
        """See `Ranks.add_up`."""
        self.comm.Allreduce(MPI.IN_PLACE, values, MPI.SUM)


def rank_executor() -> AbstractContextManager[Executor | None]:
    """Return an executor of the first rank that runs calls on the others; None there, once they are done."""
    from mpi4py.futures import MPICommExecutor

    return cast("AbstractContextManager[Executor | None]", MPICommExecutor(MPI.COMM_WORLD, root=0))


def _buffer(values: NDArray[Any], counts: list[int]) -> list[Any]:
    return [values, counts, MPI.Datatype.fromcode(values.dtype.char)]
