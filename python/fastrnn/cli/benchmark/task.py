"""A task: a call to time, and the conversion of its result to an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Answer", "Task", "Unsupported"]

#: Arrays by name: "y", "h", "c" (LSTM); in training also "dx" and "d" + the name of each parameter.
Answer = dict[str, NDArray[Any]]


class Unsupported(Exception):
    """A peer does not support a case; the message is the reason."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Task:
    """A peer's work on one problem.

    Attributes
    ----------
    run : callable
        The timed work, from arrays in the peer's format to a complete result.
    answer : callable
        Converts the result of `run` to NumPy arrays; not timed.
    before : callable
        Called before each turn of the task; not timed.
    """

    run: Callable[[], Any]
    answer: Callable[[Any], Answer]
    before: Callable[[], None] = _nothing
