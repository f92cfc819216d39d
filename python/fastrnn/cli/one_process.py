"""Commands that do not share their work: of the processes of a launcher, the first one runs them."""

from __future__ import annotations

import os

import click

from fastrnn.cli.output import warn

__all__ = ["is_launched", "leave_to_first"]

_QUIET = ("info", "help")  # asked on purpose what a process of the launcher sees


def is_launched() -> bool:
    """Return whether a launcher may have started this process: without an import as long as some commands."""
    return any(name.endswith(("_RANK", "_PROCID")) for name in os.environ)


def leave_to_first(context: click.Context, command: str) -> None:
    """End all processes that a launcher such as mpiexec started but the first one, which says so.

    Parameters
    ----------
    context : click.Context
        Of the program.
    command : str
        The name of a command that runs in one process.
    """
    if not is_launched():
        return
    from fastrnn.train.distributed.launch import read_launch

    launch = read_launch()
    if launch.rank:
        context.exit()
    if launch.size > 1 and command not in _QUIET:
        idle = f"{launch.size - 1} of the {launch.size} that {launch.launcher} started do nothing"
        warn(f"{command} runs in one process: {idle}; type fastrnn {command} without {launch.launcher}")
