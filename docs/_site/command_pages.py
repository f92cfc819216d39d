"""The page of the command line: every command's help, from the objects that print it."""

from __future__ import annotations

import inspect
import re

import click

from fastrnn.cli import main


def commands_page() -> str:
    """Return the page: a section for each command, and one for each command of a command."""
    program = main
    context = click.Context(program, info_name="fastrnn")
    parts = ["# The command line", _description(program), f"```text\n{_usage(program, context)}\n```"]
    for name in program.list_commands(context):
        parts += _section(program.get_command(context, name), name, context, "##")
    return "\n\n".join(parts) + "\n"


def _section(command: click.Command | None, name: str, parent: click.Context, level: str) -> list[str]:
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    parts = [f"{level} {context.command_path}", f"```text\n{_usage(command, context)}\n```"]
    parts += [_description(command), _options(command, context)]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            parts += _section(command.get_command(context, child), child, context, f"{level}#")
    return [part for part in parts if part]


def _usage(command: click.Command, context: click.Context) -> str:
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def _description(command: click.Command) -> str:
    """Return the help above the options as Markdown: a paragraph that click leaves alone is a block of its own lines."""
    paragraphs = inspect.cleandoc(command.help or "").partition("\f")[0].split("\n\n")
    return "\n\n".join(
        f"```text\n{text[1:].strip(chr(10))}\n```" if text.startswith("\b") else _prose(text)
        for text in paragraphs
    )


def _options(command: click.Command, context: click.Context) -> str:
    """Return the options as a list of definitions."""
    records = [param.get_help_record(context) for param in command.get_params(context)]
    return "\n\n".join(f"`{names}`\n: {_prose(text) or '-'}" for names, text in filter(None, records))


def _prose(text: str) -> str:
    """Return words of a help text as Markdown, with what looks like an option or markup as it is."""
    text = re.sub(r"([*_<>\[\]|~$\\`])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![\w-])(--[a-z][\w-]*)", r"`\1`", text)
