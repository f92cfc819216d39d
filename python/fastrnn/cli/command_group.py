"""Groups of commands: a list with whole sentences, and what to type instead of an unknown command."""

from __future__ import annotations

import inspect
import re

import click

from fastrnn.cli.suggestions import unknown_command

__all__ = ["CommandGroup", "first_sentence"]


class CommandGroup(click.Group):
    """A group whose help shows the first sentence of each command's help, wrapped and not cut off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_sentence(each)) for name, each in found if each is not None])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, or say which one they may mean."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(unknown_command(ctx, self, name))
        return super().resolve_command(ctx, args)


def first_sentence(command: click.Command) -> str:
    """Return the short help of a command, or the first sentence of its help."""
    if command.short_help:
        return command.short_help
    paragraph = inspect.cleandoc(command.help or "").split("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(paragraph.split()))[0]
