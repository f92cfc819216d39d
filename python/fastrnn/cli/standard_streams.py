"""Standard input, output and error that may be closed, broken or unable to show a character."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Any

__all__ = ["ForgivingStream", "open_closed_streams", "show"]


def open_closed_streams() -> None:
    """Open the null device in place of a standard stream that was closed when the program started.

    Python has None for such a stream, and its descriptor would become that of the next file opened, into
    which a library that prints would write.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))  # noqa: SIM115


def show(text: str = "", *, err: bool = False, end: str = "\n", stream: IO[str] | None = None) -> None:
    """Print a text; characters that the stream's encoding lacks are written as escapes.

    Parameters
    ----------
    text : str
    err : bool, default False
        On standard error instead of standard output.
    end : str
    stream : text stream, optional
        Another stream.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    if stream is None:
        stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write((text + end).encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


class ForgivingStream:
    """A text stream that drops what cannot be written, for output that must not stop a training.

    After the first failure, as of a closed pipe or of a terminal that is gone, the descriptor leads to the
    null device, so that what is buffered does not fail at exit.

    Parameters
    ----------
    stream : text stream
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        with suppress(OSError, ValueError):  # not every stream has a descriptor
            number = self._stream.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
