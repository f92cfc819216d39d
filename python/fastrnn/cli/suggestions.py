"""What to type instead of a command or an option that does not exist."""

from __future__ import annotations

from difflib import get_close_matches

import click

from fastrnn.cli.command_line import typed_arguments
from fastrnn.cli.other_words import COMMANDS, option_for

__all__ = ["unknown_command", "unknown_option"]

_MOST_NAMES = 12  # of commands that a message lists


def unknown_command(context: click.Context, group: click.Group, name: str) -> str:
    """Return the message for a name that is no command of a group."""
    names = group.list_commands(context)
    similar = get_close_matches(name.lower(), names, n=2, cutoff=0.7)
    if context.parent is None and name.lower() in COMMANDS:
        instead = f"in fastrnn: {COMMANDS[name.lower()]}"
    elif similar:
        instead = f"did you mean {' or '.join(similar)}?"
    else:
        instead = f"expected one of {', '.join(names[:_MOST_NAMES])}; see {context.command_path} --help"
    return f"no such command {name!r}; {instead}"


def unknown_option(error: click.NoSuchOption) -> str:
    """Return the message for an option that its command does not have."""
    context = error.ctx
    if context is None:
        return error.format_message()
    typed = _as_typed(context, error.option_name)
    path = context.command_path.split()
    known = option_for(path[1] if len(path) > 1 else "", typed)
    if known is not None:
        return f"no such option {typed}; in fastrnn: {known}"
    own = [name for option in context.command.params for name in option.opts if name.startswith("--")]
    similar = get_close_matches("--" + typed.lstrip("-").replace("_", "-"), own, n=2, cutoff=0.75)
    if similar:
        return f"no such option {typed}; did you mean {' or '.join(similar)}?"
    return f"no such option {typed}; see {context.command_path} --help"


def _as_typed(context: click.Context, name: str) -> str:
    """Return the word of the command line that holds an unknown option: ``-rnn_size`` for its ``-r``."""
    for argument in typed_arguments(context):
        word = argument.partition("=")[0]
        if word.replace("_", "-") == name:
            return word
        if len(name) == 2 and word.startswith(name) and not word.startswith("--"):
            return word
    return name
