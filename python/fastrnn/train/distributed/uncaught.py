"""An exception that a script does not catch on one rank: it ends all of them, as the others wait for it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from fastrnn.train.distributed.ranks import Ranks

__all__ = ["end_all_if_uncaught"]

_FAILED, _INTERRUPTED = 1, 130


class _EndAll:
    """A function for `sys.excepthook` that ends all ranks after the one before it has shown the exception."""

    def __init__(self, ranks: Ranks, show: Callable[..., Any]) -> None:
        self._ranks, self._show = ranks, show

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ranks = self._ranks
        try:
            self._show(kind, error, trace)
            print(f"rank {ranks.rank} on {socket.gethostname()} ends all {ranks.size} ranks", file=sys.stderr)
        finally:  # also if nobody can be told
            ranks.abort(_INTERRUPTED if issubclass(kind, KeyboardInterrupt) else _FAILED)


def end_all_if_uncaught(ranks: Ranks) -> None:
    """Let an exception that nothing catches end all ranks at once, with its traceback; exit code 1 or 130.

    Without it Python would end MPI on this rank, which waits for the others, and they for this one.

    Parameters
    ----------
    ranks : Ranks
        Of one process alone nothing changes.
    """
    if ranks.size > 1 and not isinstance(sys.excepthook, _EndAll):
        sys.excepthook = _EndAll(ranks, sys.excepthook)
