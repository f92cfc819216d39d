"""Work on the parts of something, shared by processes of this machine and by ranks of MPI."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Alone", "Ranks", "Workers"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Shared = TypeVar("_Shared")
_given: dict[str, Any] = {}  # in a worker process: the function, and what it shares


class Ranks(Protocol):
    """The processes that work together, as of `fastrnn.train.distributed`."""

    @property
    def rank(self) -> int:
        """The number of this process."""

    @property
    def size(self) -> int:
        """The number of processes."""

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, on every rank."""


class Alone:
    """One process."""

    rank: int = 0
    size: int = 1

    def gather(self, value: Any) -> list[Any]:
        """Return the value of this process."""
        return [value]


class Workers:
    """Who shares work: ranks, each of which has processes of its own machine.

    Parameters
    ----------
    ranks : Ranks
    processes : int
        Processes of each rank; 1 works in the rank itself.
    """

    ranks: Ranks
    processes: int

    def __init__(self, ranks: Ranks, processes: int) -> None:
        self.ranks, self.processes = ranks, processes

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.ranks.rank == 0

    def own(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """Return this rank's share of items: consecutive ones."""
        ranks = self.ranks
        first, last = (len(items) * rank // ranks.size for rank in (ranks.rank, ranks.rank + 1))
        return items[first:last]

    def together(self, work: Callable[[], _Result]) -> _Result:
        """Do work on every rank; if it fails on one, raise that error on all, so that none waits for another.

        Examples
        --------
        >>> Workers(Alone(), 1).together(lambda: 1 + 1)
        2
        """
        result: Any = None
        error = None
        try:
            result = work()
        except Exception as found:  # of whatever kind, the other ranks must know of it
            error = found
        errors = [found for found in self.ranks.gather(error) if found is not None]
        if errors:
            raise errors[0] if error is None else error
        return result  # type: ignore[no-any-return]  # it is the work's

    def from_first(self, work: Callable[[], _Result]) -> _Result:
        """Do work on rank 0, and return its result on every rank."""
        result: _Result = self.ranks.gather(self.together(lambda: work() if self.is_first else None))[0]
        return result

    def map(
        self, work: Callable[[_Shared, _Item], _Result], shared: _Shared, items: Sequence[_Item]
    ) -> Iterator[_Result]:
        """Yield ``work(shared, item)`` of each of this rank's items, in order; few results wait at any time.

        Parameters
        ----------
        work : callable
            A function of a module, as other processes import it.
        shared : object
            Sent to each process once.
        items : sequence

        Raises
        ------
        ChildProcessError
            If a process was killed.
        """
        processes = min(self.processes, len(items) // 2)  # for fewer it does not pay to start one
        if processes < 2:
            yield from (work(shared, item) for item in items)
            return
        # Imported here: `import fastrnn` must stay fast.
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool

        # Not forked: this process has threads, and forking copies its memory.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, context, _start, (work, shared))
        try:
            waiting: deque[Future[_Result]] = deque()
            for item in items:
                waiting.append(pool.submit(_run, item))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise ChildProcessError(
                "a process that read the text was killed, perhaps for want of memory; try --processes 1"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start(work: Callable[[Any, Any], Any], shared: Any) -> None:
    """Remember the work of this process; Ctrl-C is for the process that waits for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _given.update(work=work, shared=shared)


def _run(item: Any) -> Any:
    return _given["work"](_given["shared"], item)
