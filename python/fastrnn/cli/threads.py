"""The option ``--threads`` of all commands that compute."""

from __future__ import annotations

import click

from fastrnn import _dispatch
from fastrnn._cpus import count_cpus
from fastrnn.cli.standard_streams import show

__all__ = ["threads_option"]


def _set_threads(context: click.Context, option: click.Parameter, threads: int | None) -> None:
    """Set the number of threads until the command ends."""
    if threads is None or context.resilient_parsing:
        return
    _warn_of_missing_cpus(context, threads)
    before = _dispatch.get_num_threads()
    context.call_on_close(lambda: _dispatch.set_num_threads(before))
    _dispatch.set_num_threads(threads)


def _warn_of_missing_cpus(context: click.Context, threads: int) -> None:
    """Say on standard error that there are fewer CPUs than threads."""
    cpus = count_cpus()
    if threads > cpus:
        found = f"{threads} wanted, but this process may use {cpus} CPU{'s' * (cpus > 1)}"
        show(f"{context.command_path}: warning: --threads: {found}; no more will run", err=True)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1, _dispatch.MAX_THREADS),
    metavar="N",
    callback=_set_threads,
    expose_value=False,
    show_default="FASTRNN_NUM_THREADS, or one per CPU",
    help="Threads to compute with; the results do not depend on it.",
)
