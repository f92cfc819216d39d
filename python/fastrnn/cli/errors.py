"""What a failed command says: its exit code, and each kind of exception as one line."""

from __future__ import annotations

from typing import NamedTuple

import click

from fastrnn._files import NotRegularFileError
from fastrnn.cli.suggestions import unknown_option

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED", "FailedRanks", "Failure", "describe_os_error", "failure_of"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Failure(NamedTuple):
    """A failed command: its one line, its exit code, and the words that the line begins with."""

    message: str
    code: int
    where: str = "fastrnn"

    def line(self) -> str:
        """Return the line that is printed."""
        return f"{self.where}: error: {' '.join(self.message.split())}"


class FailedRanks(Exception):
    """Some ranks failed, and therefore all of them; what the command says."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: BaseException) -> Failure | None:
    """Return what an exception means for a user; None for one that only a fault of the program raises.

    Examples
    --------
    >>> failure_of(ValueError("seed: expected 0 or more, got -1"))
    Failure(message='seed: expected 0 or more, got -1', code=2, where='fastrnn')
    """
    match error:
        case FailedRanks():
            return error.failure
        case click.NoSuchOption():
            return _usage(error, unknown_option(error))
        case click.UsageError():
            return _usage(error, error.format_message())
        case click.ClickException():
            return Failure(error.format_message(), error.exit_code)
        case click.Abort() | KeyboardInterrupt() | EOFError():
            return Failure("interrupted", INTERRUPTED)
        case MemoryError():
            return Failure(f"not enough memory: {error}", FAILED)
        case ValueError() | ImportError():
            return Failure(str(error), BAD_INPUT)
        case OSError():
            missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotRegularFileError)
            return Failure(describe_os_error(error), BAD_INPUT if missing else FAILED)
    if type(error).__module__ == "pyo3_runtime":  # a library in Rust that gave up; no Exception
        return Failure(f"a library failed: {error}", FAILED)
    return None


def describe_os_error(error: OSError) -> str:
    """Return a message that begins with the file, as all other messages do."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"


def _usage(error: click.UsageError, message: str) -> Failure:
    return Failure(message, BAD_INPUT, "fastrnn" if error.ctx is None else error.ctx.command_path)
