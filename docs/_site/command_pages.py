"""The pages of the command line: what each command prints for ``--help``, from the objects that print it."""

from __future__ import annotations

import click

from fastrnn.cli import main

WIDTH = 80


def command_pages() -> dict[str, str]:
    """Return the text of each page, by its name without ending: one for the program, one for each command."""
    program = click.Context(main, info_name="fastrnn", terminal_width=WIDTH, max_content_width=WIDTH)
    names = main.list_commands(program)
    pages = {f"commands/{name}": command_page(command(main, name, program), name, program) for name in names}
    contents = "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])
    pages["commands/index"] = f"# The command line\n\n{_help(main, program)}\n\n{contents}\n"
    return pages


def command_page(own: click.Command, name: str, parent: click.Context, level: str = "#") -> str:
    """Return the page of a command; the commands of a command are its sections."""
    context = click.Context(own, info_name=name, parent=parent)
    text = f"{level} {context.command_path}\n\n{_help(own, context)}\n"
    if isinstance(own, click.Group):
        children = own.list_commands(context)
        pages = [
            command_page(command(own, child, context), child, context, level + "#") for child in children
        ]
        text = "\n".join([text, *pages])
    return text


def command(group: click.Group, name: str, context: click.Context) -> click.Command:
    """Return a command that a group lists."""
    found = group.get_command(context, name)
    if found is None:
        raise LookupError(f"{context.command_path} lists the command {name} but has none of that name")
    return found


def _help(own: click.Command, context: click.Context) -> str:
    return f"```text\n{own.get_help(context)}\n```"
