"""Commands that several ranks of ``mpiexec`` run together: rank 0 alone prints, and bad input ends all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fastrnn.cli.rank_errors import first_prints, together
from fastrnn.cli.sections import SectionedCommand
from fastrnn.train.distributed import start

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["RankedCommand", "ranks_of"]

_RANKS = "fastrnn.ranks"


class RankedCommand(SectionedCommand):
    """A command for one process or several ranks.

    The ranks find each other before options are read, since these may be wrong on one of them only. Without
    a launcher nothing is imported and nothing changes. Its parameters are those of `SectionedCommand`.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of a call whose options are right on all ranks."""
        first_prints()
        ranks = start()
        with together(ranks):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_RANKS] = ranks
        return context


def ranks_of(context: click.Context) -> Ranks:
    """Return the ranks that run a command, with the default options of `start`."""
    ranks: Ranks = context.meta[_RANKS]
    return ranks
