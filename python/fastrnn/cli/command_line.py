"""The command line as it was typed, for messages that say what to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

__all__ = ["command_line", "launcher", "remember_arguments", "typed_again", "typed_arguments"]

_ARGUMENTS = "fastrnn.arguments"


def command_line(*words: str) -> str:
    """Return a command line of the program, quoted for a shell.

    Examples
    --------
    >>> from fastrnn.cli.command_line import command_line
    >>> command_line("train", "my text.txt")
    "fastrnn train 'my text.txt'"
    """
    return shlex.join(["fastrnn", *words])


def remember_arguments(context: click.Context, arguments: Sequence[str]) -> None:
    """Keep the arguments of the program for messages of its commands."""
    context.meta[_ARGUMENTS] = tuple(arguments)


def typed_arguments(context: click.Context | None = None) -> tuple[str, ...]:
    """Return the arguments that the program was called with; none outside of the program."""
    context = context or click.get_current_context(silent=True)
    return () if context is None else tuple(context.meta.get(_ARGUMENTS, ()))


def typed_again(*added: str, processes: int | None = None) -> str:
    """Return the command line as it was typed, with words added: before a ``--``, else at the end.

    On several processes it begins with `launcher`.
    """
    words = typed_arguments()
    end = words.index("--") if "--" in words else len(words)
    return launcher(processes) + command_line(*words[:end], *added, *words[end:])


def launcher(processes: int | None = None) -> str:
    """Return what starts a command line on some processes, with a blank; nothing for one.

    Parameters
    ----------
    processes : int, optional
        By default as many as run now.

    Examples
    --------
    >>> launcher(4), launcher(1)
    ('mpiexec -n 4 ', '')
    """
    from fastrnn.train.distributed.launch import read_launch  # other commands start without the trainer

    launch = read_launch()
    size = launch.size if processes is None else processes
    return f"{launch.launcher or 'mpiexec'} -n {size} " if size > 1 else ""
