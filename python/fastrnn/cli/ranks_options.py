"""The options of a training on several processes: ``--shards``, ``--reduction`` and ``--wire``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fastrnn import _dispatch
from fastrnn._version import __version__
from fastrnn.train.distributed.shards import MOST_SHARDS

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["RANKS_SECTION", "program_facts", "ranks_options", "start_ranks"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: The parameters that `ranks_options` adds, for a section of `SectionedCommand`.
RANKS_SECTION = {"Several processes": "shards reduction wire"}

_OPTIONS = (
    click.option(
        "--shards",
        type=click.IntRange(min=1, max=MOST_SHARDS),
        metavar="N",
        help="Parts of each batch, whose gradients are added in a fixed order: the result depends on N, and "
        "not on the number of processes, which must divide N.  [default: the number of processes]",
    ),
    click.option(
        "--reduction",
        type=click.Choice(["ordered", "fastest"]),
        default="ordered",
        show_default=True,
        help="How processes add gradients: in the order of the shards, or as MPI does it.",
    ),
    click.option(
        "--wire",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="What gradients are sent as; bfloat16 rounds them to 8 significant bits.",
    ),
)


def ranks_options(command: _Command) -> _Command:
    """Add the options of a training on several processes to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def start_ranks(shards: int | None, reduction: str, wire: str) -> Ranks:
    """Return the processes that mpiexec started; without it, this one. MPI is imported if it is needed.

    Raises
    ------
    ValueError, ImportError
        If the number of processes does not divide the shards, or MPI cannot be used.
    """
    from fastrnn.train import distributed

    return distributed.start(shards=shards, reduction=reduction, wire=wire)


def program_facts(precision: str) -> dict[str, str]:
    """Return what the bits of a training depend on besides its options and data, by name."""
    isa = _dispatch.isa()
    exact = isa == "baseline" or precision != "float32"  # the others have the same bits in float32
    return {"fastrnn's version": __version__, "instruction set": isa if exact else "avx2 or avx512"}
