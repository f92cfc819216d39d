"""What is timed: a call, and how to read the answer that it gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Answer", "Task", "Unsupported"]

#: Arrays by name: "y", "h", "c" (LSTM), and in training "dx" and "d" + the name of each parameter.
Answer = dict[str, NDArray[Any]]


class Unsupported(Exception):
    """A peer cannot do a case; the text says why."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Task:
    """A peer's work on one problem.

    Attributes
    ----------
    run : callable
        The whole of it, from arrays in the peer's own form to a finished result. This is what is timed.
    answer : callable
        From what `run` returned to NumPy arrays; not timed.
    before : callable
        Called, not timed, each time before the task has its turn.
    """

    run: Callable[[], Any]
    answer: Callable[[Any], Answer]
    before: Callable[[], None] = _nothing
