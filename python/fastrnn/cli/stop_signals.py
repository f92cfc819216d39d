"""The signals that stop a training: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is gone."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from fastrnn.files.interrupts import STOP_SIGNALS
from fastrnn.train.distributed.agreement import as_ranks

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["StopSignals"]

_SIGUSR1 = (signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()  # not every system has it


class StopSignals:
    """Raise KeyboardInterrupt on the first signal that stops a program, and ignore further ones.

    A signal that was ignored before, as SIGHUP is under ``nohup``, stays ignored.

    Of several ranks none may stop before the others know: there a signal is only noted, until `check`, and
    after the body, when all has been saved and they end together, it is ignored. SIGUSR1 stops them too, as
    it is what launchers pass on without ending the ranks soon after.

    Parameters
    ----------
    ranks : Ranks, optional
    at_once : bool, default False
        Raise also on one of several ranks: around a loop that defers it until all know.
    """

    def __init__(self, ranks: Ranks | None = None, *, at_once: bool = False) -> None:
        self.received: bool = False
        self._ranks = as_ranks(ranks)
        self._raises = at_once or self._ranks.size == 1
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        numbers = STOP_SIGNALS if self._ranks.size == 1 else (*STOP_SIGNALS, *_SIGUSR1)
        for number in numbers:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and handler is not None:
                self._before[number] = handler
        for number in tuple(self._before):
            signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._ranks.size > 1:
            self._ignore()
        elif not self.received:  # else the process ends now, and further signals stay ignored
            for number, handler in self._before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # as `getsignal` returned it

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came, to any rank. Collective.

        An exception of a signal's handler is lost if it comes while Python runs a finalizer.
        """
        if self._ranks.any(self.received):
            self.received = True
            self._ignore()
            raise KeyboardInterrupt

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        self._ignore()
        if self._raises:
            raise KeyboardInterrupt

    def _ignore(self) -> None:
        for each in self._before:
            signal.signal(each, signal.SIG_IGN)
