"""The command ``fastrnn help``: the help of the program or of a command."""

from __future__ import annotations

import click

from fastrnn.cli.standard_streams import show

__all__ = ["command"]


@click.command(name="help")
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(context: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of a command, as its option --help does."""
    found = context.find_root()
    for name in names:
        if not isinstance(found.command, click.Group):
            raise click.UsageError(f"no such command {name!r}; {found.command_path} has none", context)
        _, inner, _ = found.command.resolve_command(found, [name])
        assert inner is not None  # `resolve_command` fails otherwise
        found = click.Context(inner, parent=found, info_name=name)
    show(found.get_help())
