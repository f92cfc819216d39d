"""The signals that stop a training: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is gone."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from fastrnn.files.interrupts import STOP_SIGNALS

__all__ = ["StopSignals"]


class StopSignals:
    """Raise KeyboardInterrupt on the first signal that stops a program, and ignore further ones.

    A signal that was ignored before, as SIGHUP is under ``nohup``, stays ignored.
    """

    def __init__(self) -> None:
        self.received: bool = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and handler is not None:
                self._before[number] = handler
        for number in tuple(self._before):
            signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        if not self.received:  # else the process ends now, and further signals stay ignored
            for number, handler in self._before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # as `getsignal` returned it

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came.

        An exception of a signal's handler is lost if it comes while Python runs a finalizer.
        """
        if self.received:
            raise KeyboardInterrupt

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        for each in self._before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt
