"""A check that all ranks run the same command on the same files, before they share its work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from fastrnn._files import open_regular
from fastrnn.cli.rank_errors import check_equal, together
from fastrnn.cli.text_input import STANDARD_INPUT

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["check_same_call"]

_OF_MACHINES = "--processes"  # which may have different numbers of CPUs
_END = 1 << 25  # bytes at either end of a file that are compared


def check_same_call(context: click.Context, ranks: Ranks, files: Iterable[str]) -> None:
    """Check that all ranks have the same options and the same files. Collective.

    Files of more than 64 MB are compared by their size and both ends.

    Parameters
    ----------
    context : click.Context
        Of the command.
    ranks : Ranks
    files : iterable of str
        What the command reads; standard input is that of the first rank.

    Raises
    ------
    ValueError
        On every rank, with what differs, and on which ranks.
    OSError
        If a file cannot be read.
    """
    if ranks.size == 1:
        return
    options = {_shown(each): context.params.get(each.name or "") for each in context.command.params}
    with together(ranks):
        contents = {path: _digest(path) for path in files if path != STANDARD_INPUT}
    check_equal(ranks, {name: value for name, value in options.items() if name != _OF_MACHINES})
    check_equal(ranks, contents)


def _shown(parameter: click.Parameter) -> str:
    return (
        max(parameter.opts, key=len)
        if isinstance(parameter, click.Option)
        else (parameter.name or "").upper()
    )


def _digest(path: str) -> str:
    """Return a hash of the size and the ends of a file; of a short one, of all bytes."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        found = hashlib.sha256(str(size).encode())
        for start in (0, max(_END, size - _END)):
            file.seek(start)
            found.update(file.read(_END))
    return found.hexdigest()
