"""Ranks that are threads of one process: what several processes do together, in tests without MPI."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from fastrnn.train.distributed import Ranks


class Aborted(Exception):
    """A rank gave up, or another one did and this one waited for it."""


class _Meeting:
    """Where the threads leave what they share."""

    def __init__(self, size):
        self.barrier = threading.Barrier(size, timeout=120)
        self.left = [None] * size


class ThreadRanks(Ranks):
    """One of K threads."""

    def __init__(self, meeting, rank, size, **options):
        self._meeting = meeting
        super().__init__(rank, size, **options)

    def _share(self, value):
        try:
            self._meeting.left[self.rank] = value
            self._meeting.barrier.wait()
            found = list(self._meeting.left)
            self._meeting.barrier.wait()
        except threading.BrokenBarrierError:
            raise Aborted("another rank ended") from None
        return found

    def gather(self, value):
        return self._share(value)

    def abort(self, code):
        self._meeting.barrier.abort()
        raise Aborted(code)

    def exchange(self, sent, counts, received, received_counts):
        starts = np.cumsum([0, *counts])
        parts = [sent[begin:end].copy() for begin, end in pairwise(starts)]
        found = [parts_of_one[self.rank] for parts_of_one in self._share(parts)]
        assert [len(part) for part in found] == received_counts
        received[:] = np.concatenate(found)

    def join(self, parts, counts):
        starts = np.cumsum([0, *counts])
        own = parts[starts[self.rank] : starts[self.rank + 1]].copy()
        parts[:] = np.concatenate(self._share(own))

    def swap(self, other, sent, received):
        received[:] = self._share((other, sent.copy()))[other][1]

    def add_up(self, values):
        values[:] = np.sum(self._share(values.copy()), axis=0)


def run_ranks(size, function, **options):
    """Return the results of ``function(ranks)`` of each of some ranks, in their order.

    The exception of a rank ends all of them, and is raised here.
    """
    meeting = _Meeting(size)

    def one(rank):
        try:
            return function(ThreadRanks(meeting, rank, size, **options))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(one, rank) for rank in range(size)]
    errors = [future.exception() for future in futures]
    own = [error for error in errors if error is not None and not isinstance(error, Aborted)]
    for error in [*own, *filter(None, errors)]:
        raise error
    return [future.result() for future in futures]
