"""Sections of code that Ctrl-C and other signals that stop a program do not interrupt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["STOP_SIGNALS", "defer_interrupts"]

# SIGINT last: once its handler is restored, an exception can occur at any point. Not every system has SIGHUP.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGHUP", "SIGTERM", "SIGINT") if hasattr(signal, name)
)

# Launchers pass it on without ending the processes soon after.
_MORE_SIGNALS = (signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()


@contextmanager
def defer_interrupts() -> Iterator[list[int]]:
    """Defer SIGINT, SIGTERM and SIGHUP while the body runs, and deliver the first one after it.

    And SIGUSR1, if the program has a handler for it.

    Makes several changes atomic, such as those of the parameters and of the step count. Python delivers
    signals only to the main thread, so other threads have nothing to defer.

    Yields
    ------
    received : list of int
        The signals that have come so far: a long body looks whether there are any.

    Examples
    --------
    >>> import signal
    >>> try:
    ...     with defer_interrupts():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("the body completes")
    ... except KeyboardInterrupt:
    ...     print("then the interrupt is raised")
    the body completes
    then the interrupt is raised
    """
    # A handler installed outside Python reads as None and cannot be restored.
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    handlers |= {number: own for number in _MORE_SIGNALS if callable(own := signal.getsignal(number))}
    if threading.current_thread() is not threading.main_thread() or None in handlers.values():
        yield []
        return
    # One that is ignored stays so: recorded here, it would take the place of one that is not.
    handlers = {number: one for number, one in handlers.items() if one is not signal.SIG_IGN}
    received: list[int] = []
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: received.append(number))
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
