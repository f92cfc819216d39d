"""What an exception that nothing catches does on one rank of several: it ends all."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrnn.train.distributed.ranks import Ranks

__all__ = ["end_all_by_uncaught"]

_FAILED, _INTERRUPTED = 1, 130


def end_all_by_uncaught(ranks: Ranks) -> None:
    """From now on an exception that ends this process ends all ranks, after its traceback.

    Otherwise the process would wait for the others at its end, and they for it in the next collective call.
    ``sys.exit`` is no such exception: it is for what all ranks do.
    """
    report = sys.excepthook

    def report_and_end(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        report(kind, error, where)
        ranks.abort(_INTERRUPTED if issubclass(kind, KeyboardInterrupt) else _FAILED)

    if ranks.size > 1:
        sys.excepthook = report_and_end
