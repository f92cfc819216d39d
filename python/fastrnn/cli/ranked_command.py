"""Commands that several ranks of ``mpiexec`` run together: rank 0 alone prints, and bad input ends all."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from fastrnn.cli.errors import FailedRanks
from fastrnn.cli.rank_errors import ending_all, first_prints, together
from fastrnn.cli.sections import SectionedCommand
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.train.distributed import start
from fastrnn.train.distributed.launch import read_launch

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["RankedCommand", "meet_late", "ranks_of"]

_RANKS = "fastrnn.ranks"
# What `together`, `check_equal`, `Ranks.on_first` and click raise on all ranks.
_AGREED = (
    *(click.exceptions.Exit, click.Abort, click.ClickException, FailedRanks),
    *(ValueError, ImportError, OSError, MemoryError),
)


class RankedCommand(SectionedCommand):
    """A command for one process or several ranks.

    The ranks find each other before options are read, since these may be wrong on one of them only. Without
    a launcher nothing is imported and nothing changes. Its parameters are those of `SectionedCommand`.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of a call whose options are right on all ranks."""
        first_prints(read_launch().local_rank)  # one process of each machine says that MPI is missing there
        with ExitStack() as stack:
            with defer_interrupts():  # MPI connects all ranks or none
                ranks = start()
                first_prints(ranks.rank)
                stack.enter_context(ending_all(ranks, alike=_AGREED))
                stack.enter_context(together(ranks))
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_RANKS] = ranks
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Ctrl-C between its parts, or a fault of the program, ends all ranks."""
        with ending_all(ranks_of(ctx), alike=_AGREED):
            return super().invoke(ctx)


def meet_late(error: BaseException) -> BaseException:
    """Return what all ranks say of an exception from before this one met the others, which wait for it.

    A launcher does not end them if a process that has not met them exits. Collective.
    """
    try:
        first_prints(read_launch().local_rank)
        with defer_interrupts():
            ranks = start()
            first_prints(ranks.rank)
            with together(ranks):
                raise error
    except BaseException as agreed:
        return agreed


def ranks_of(context: click.Context) -> Ranks:
    """Return the ranks that run a command, with the default options of `start`."""
    ranks: Ranks = context.meta[_RANKS]
    return ranks
