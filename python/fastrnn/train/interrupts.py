"""Sections that Ctrl-C waits for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["defer_interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM while the body runs; deliver one that came when it has ended.

    Keeps together what belongs together, such as a change of the parameters and of the count of steps. Python
    delivers signals to the main thread only, so in any other thread nothing needs to be held.

    Examples
    --------
    >>> import signal
    >>> try:
    ...     with defer_interrupts():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("the body ends")
    ... except KeyboardInterrupt:
    ...     print("then the interrupt comes")
    the body ends
    then the interrupt comes
    """
    # A handler that was installed outside Python reads as None and could not be put back.
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    if threading.current_thread() is not threading.main_thread() or None in handlers.values():
        yield
        return
    came: list[int] = []
    try:
        for number in _SIGNALS:
            signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        # SIGINT last: from then on an exception may come at any place.
        for number in reversed(_SIGNALS):
            signal.signal(number, handlers[number])
        if came:
            signal.raise_signal(came[0])
