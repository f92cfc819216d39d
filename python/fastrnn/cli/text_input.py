"""Texts that commands read: files, or - for standard input."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastrnn._files import NotRegularFileError
from fastrnn.cli.output import warn
from fastrnn.cli.standard_streams import show
from fastrnn.data import read_text
from fastrnn.data.numbered_lines import source_name
from fastrnn.data.reading import binary_chunks

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = [
    "STANDARD_INPUT",
    "announce_typing",
    "check_standard_input",
    "name_text",
    "read_input",
    "share_standard_input",
    "standard_input_chunks",
    "warn_of_file",
]

STANDARD_INPUT = "-"
_END_OF_INPUT = "Ctrl-Z and Enter" if os.name == "nt" else "Ctrl-D"


def check_standard_input(paths: Iterable[str | None]) -> None:
    """Check that standard input is named no more than once.

    Raises
    ------
    ValueError
        If it is: it can be read once.
    """
    if [*paths].count(STANDARD_INPUT) > 1:
        raise ValueError(f"{STANDARD_INPUT}: standard input can be only one of the texts")


def share_standard_input(ranks: Ranks, paths: Iterable[str | None]) -> None:
    """Let all processes of a launcher read the standard input of the first one, the only one that has any.

    Parameters
    ----------
    ranks : Ranks
    paths : iterable of str
        What the command reads; nothing is done if none is standard input.
    """
    if ranks.size > 1 and STANDARD_INPUT in paths:
        given = ranks.on_first(lambda: sys.stdin.buffer.read())
        sys.stdin = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")


def read_input(paths: Iterable[str], encoding: str) -> str:
    """Read texts and join them in the order given.

    Raises
    ------
    ValueError
        If one is empty or has another encoding.
    OSError
        If one cannot be read, or is a pipe or a device.
    """
    return "".join([_read(path, encoding) for path in paths])


def standard_input_chunks(encoding: str) -> Iterator[str]:
    """Yield the text of standard input in chunks; at a terminal, say first that it is waited for.

    Raises
    ------
    ValueError
        If it has another encoding.
    """
    typed = announce_typing()
    # A terminal reports its end once: it is read in one call, which stops there.
    source = io.BytesIO(sys.stdin.buffer.read()) if typed else sys.stdin.buffer
    return binary_chunks("standard input", source, encoding=encoding)


def announce_typing() -> bool:
    """Return whether standard input is a terminal; if so, say that its text is waited for."""
    typed = sys.stdin.isatty()
    if typed:
        show(f"reading the text from standard input; {_END_OF_INPUT} on an empty line ends it", err=True)
    return typed


@contextmanager
def name_text(path: str) -> Iterator[None]:
    """Let errors about a text name its file, and say what to do about characters or words not known."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        if message.startswith("text: "):
            message = f"{source_name(path)}: {message.removeprefix('text: ')}"
        if "is not in the vocabulary" in message:
            message += "; --unknown skip leaves out what the model does not know"
        raise ValueError(message) from None


def warn_of_file(name: str, text: str, instead: str) -> None:
    """Warn that a text is the name of a file, which is not read.

    Parameters
    ----------
    name : str
        The argument, as messages call it.
    text : str
    instead : str
        What to type to read the file.
    """
    if len(text) < 1000 and "\0" not in text and os.path.isfile(text):
        warn(f"{name}: {text} is a file; its name is the text here. To read it: {instead}")


def _read(path: str, encoding: str) -> str:
    if path == STANDARD_INPUT:
        text = "".join(standard_input_chunks(encoding))
        if not text:
            raise ValueError("standard input: is empty; send a text to it, or name a FILE instead of -")
        return text
    try:
        return read_text([path], encoding=encoding)
    except NotRegularFileError:
        hint = "not a regular file; give - to read standard input"
        raise NotRegularFileError(errno.EINVAL, hint, path) from None
