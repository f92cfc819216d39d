"""Standard input, output and error that may be closed, broken or unable to show a character."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import IO, Any

__all__ = ["ForgivingStream", "open_closed_streams", "show", "write_data"]

# C0 without tab and line feed, DEL, C1; the marks, embeddings, overrides and isolates of direction.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


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

    On a terminal so are control characters other than line ends and tabs, and those that change the direction
    of writing: a model's symbols may come from a stranger's file, and must not command the terminal.

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
    if stream.isatty():
        text = _CONTROLS.sub(lambda match: repr(match[0])[1:-1], text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write((text + end).encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def write_data(text: str) -> None:
    """Write data to standard output: to a terminal as `show` does, else in UTF-8, as into a file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None or sys.stdout.isatty():
        show(text, end="")
        return
    sys.stdout.flush()
    buffer.write(text.encode())
    buffer.flush()


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
