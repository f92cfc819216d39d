"""Failures of a command that several ranks run: one message, and an end of all of them."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fastrnn.cli.errors import FAILED, FailedRanks, Failure, failure_of
from fastrnn.cli.standard_streams import show

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["check_equal", "ending_all", "first_prints", "together"]

_LONGEST_SHOWN = 60  # characters of a value in a message; a digest is longer


def first_prints(rank: int) -> None:
    """Drop what this process prints from now on, unless its rank is 0; `ending_all` still reports."""
    if rank:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until the end


@contextmanager
def together(ranks: Ranks) -> Iterator[None]:
    """Run what each rank does by itself; where it fails on one, it fails on all. Collective at its end.

    The body must not be collective. An exception that all ranks raise is raised again on each, Ctrl-C as
    `click.Abort`; otherwise a message names the ranks that failed, and their hosts.

    Parameters
    ----------
    ranks : Ranks

    Raises
    ------
    FailedRanks
        On every rank, if the body failed on some; with the exit code of the first of them.

    Examples
    --------
    >>> from fastrnn.train.distributed import OneProcess
    >>> with together(OneProcess()):
    ...     raise ValueError("seed: expected 0 or more, got -1")
    Traceback (most recent call last):
    ValueError: seed: expected 0 or more, got -1
    """
    error: BaseException | None = None
    try:
        yield
    except click.exceptions.Exit:  # the help, which all ranks were asked for
        raise
    except BaseException as raised:
        error = raised
    failures = ranks.gather(None if error is None else (socket.gethostname(), _report(error)))
    messages = {None if found is None else found[1] for found in failures}
    if error is not None and len(messages) == 1:
        if isinstance(error, KeyboardInterrupt):
            raise click.Abort from error
        raise error
    failed = [(rank, *found) for rank, found in enumerate(failures) if found is not None]
    if failed:
        if error is not None and failure_of(error) is None:
            traceback.print_exception(error, file=sys.__stderr__)
        text = "; ".join(f"rank {rank} on {host}: {failure.message}" for rank, host, failure in failed)
        raise FailedRanks(failed[0][2]._replace(message=text)) from error


@contextmanager
def ending_all(ranks: Ranks, alike: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Run what the ranks do in step: an exception on one ends all at once, as the others wait for it.

    Its message goes to standard error with the rank and the host, and the launcher exits with its code. One
    process alone raises the exception as it is.

    Parameters
    ----------
    ranks : Ranks
    alike : tuple of exception types
        Those that all ranks raise if one does; they are raised as they are.

    Examples
    --------
    >>> from fastrnn.train.distributed import OneProcess
    >>> with ending_all(OneProcess()):
    ...     raise MemoryError("a batch")
    Traceback (most recent call last):
    MemoryError: a batch
    """
    try:
        yield
    except BaseException as error:
        if ranks.size == 1 or isinstance(error, alike):
            raise
        failure = _report(error)
        own = f"rank {ranks.rank} on {socket.gethostname()}: {failure.message}"
        try:
            if failure_of(error) is None:
                traceback.print_exception(error, file=sys.__stderr__)
            show(failure._replace(message=own).line(), stream=sys.__stderr__)
        finally:  # also if nobody can be told
            ranks.abort(failure.code)


def check_equal(ranks: Ranks, values: Mapping[str, object]) -> None:
    """Check that values are those of rank 0 on every rank. Collective.

    Parameters
    ----------
    ranks : Ranks
    values : mapping of str to object
        By the words that a message calls them. Long ones, as digests, are not shown.

    Raises
    ------
    ValueError
        On every rank, with all that differs, and on which ranks.

    Examples
    --------
    >>> from fastrnn.train.distributed import OneProcess
    >>> check_equal(OneProcess(), {"--seed": 1})
    """
    found = ranks.gather((socket.gethostname(), {name: str(value) for name, value in values.items()}))
    differences = []
    for name in dict.fromkeys(name for _, held in found for name in held):
        own = [(f"rank {rank} ({host})", held.get(name)) for rank, (host, held) in enumerate(found)]
        other = next((one for one in own if one[1] != own[0][1]), None)
        if other is not None:
            differences.append(f"{name}: {_difference(*own[0], *other)}")
    if differences:
        raise ValueError(f"expected the same on all ranks: {'; '.join(differences)}")


def _difference(first: str, value: object, second: str, other: object) -> str:
    if max(len(str(value)), len(str(other))) > _LONGEST_SHOWN:
        return f"{second} has another than {first}"
    return f"{value} on {first}, {other} on {second}"


def _report(error: BaseException) -> Failure:
    return failure_of(error) or Failure(f"{type(error).__name__}: {error}", FAILED)
