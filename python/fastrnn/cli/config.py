"""The option ``--config``: options from a TOML file, each checked as on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import click

from fastrnn.cli.model_options import JsonOption, OrNone
from fastrnn.cli.other_words import option_for
from fastrnn.cli.toml_files import as_toml, place_of, read_toml

__all__ = ["Files", "checked_option", "config_option", "option_names", "used_options", "usual_options"]

_NOT_KEYS = ("config", "help")
_NOT_SAVED = ("out", "overwrite", "threads", "json")


class Files(click.Argument):
    """Files on the command line, or those of ``--config`` if there are none."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> Any:
        """Return the value and where it comes from."""
        given = opts if opts.get(self.name or "") else {k: v for k, v in opts.items() if k != self.name}
        return super().consume_value(ctx, given)


def _read_config(context: click.Context, option: click.Parameter, path: str | None) -> str | None:
    """Make the values of a file the defaults of all other options."""
    if path is None or context.resilient_parsing:
        return path
    text, values = read_toml(path)
    checked = (
        checked_option(context, place_of(path, text, key), key, value) for key, value in values.items()
    )
    context.default_map = dict(checked)
    return path


config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    is_eager=True,
    callback=_read_config,
    help="TOML file with options by name, such as hidden-size = 512; those on the command line win.",
)


def option_names(command: click.Command) -> dict[str, click.Parameter]:
    """Return the parameters of a command by the names that a file has for them."""
    names = {}
    for each in command.params:
        longest = each.opts[0].removeprefix("--") if isinstance(each, click.Option) else each.name or ""
        if longest not in _NOT_KEYS:
            names[longest] = each
    return names


def checked_option(context: click.Context, where: str, key: str, value: Any) -> tuple[str, Any]:
    """Return the name of a parameter of a command, and a value from a file as click takes it.

    Parameters
    ----------
    context : click.Context
        Of the command.
    where : str
        The place in the file, for messages.
    key : str
        The option, as the file has it.
    value : object

    Raises
    ------
    click.UsageError
        If there is no such option, or the value is of another kind or out of range.
    """
    name, known = key.replace("_", "-"), option_names(context.command)
    if name not in known:
        raise click.UsageError(f"{where}: {_unknown(context, name, known)}", context)
    return known[name].name or "", _checked(context, where, known[name], value)


def used_options(context: click.Context) -> dict[str, Any]:
    """Return the values of a command's options by name, without those that say nothing of the training."""
    names = {name: each for name, each in option_names(context.command).items() if name not in _NOT_SAVED}
    values = {name: context.params[each.name or ""] for name, each in names.items()}
    return {
        name: value
        for name, value in values.items()
        if value not in (None, ()) or isinstance(names[name].type, OrNone)
    }


def usual_options(command: click.Command) -> dict[str, Any]:
    """Return the defaults of a command's options by name."""
    return {
        name: bool(each.default is True) if isinstance(each, click.Option) and each.is_flag else each.default
        for name, each in option_names(command).items()
    }


def _unknown(context: click.Context, name: str, known: Mapping[str, Any]) -> str:
    words = context.command_path.split()
    other = option_for(words[1] if len(words) > 1 else "", name)
    similar = get_close_matches(name, known, n=2, cutoff=0.75)
    if other is not None:
        return f"no such option; in fastrnn: {other}"
    if similar:
        return f"no such option; did you mean {' or '.join(similar)}?"
    return f"no such option; see {context.command_path} --help"


def _checked(context: click.Context, where: str, option: click.Parameter, value: Any) -> Any:
    """Return a value for an option, as click takes it, after a check of its kind and range."""
    several = option.multiple or option.nargs == -1
    parts = value if several and isinstance(value, list) else [value]
    expected = _kind(option)
    for part in parts:
        if not _is_of_kind(option, part):
            raise click.UsageError(f"{where}: expected {expected}, got {as_toml(part):.60}", context)
    if isinstance(value, list) and option.type is click.STRING and not several:
        return ",".join(map(str, value))
    found = parts if several else value
    try:
        option.type_cast_value(context, found)
    except click.BadParameter as error:
        raise click.UsageError(f"{where}: {error.message}", context) from None
    return found


def _kind(option: click.Parameter) -> str:
    if isinstance(option, click.Option) and option.is_flag:
        return "true or false"
    inner = option.type.kind if isinstance(option.type, OrNone) else option.type
    if isinstance(inner, click.types.IntParamType):
        return "an integer"
    if isinstance(inner, click.types.FloatParamType):
        return "a number"
    return "a text"


def _is_of_kind(option: click.Parameter, value: Any) -> bool:
    if isinstance(option.type, JsonOption):
        return True
    if isinstance(option.type, OrNone) and value == "none":
        return True
    if option.type is click.STRING and isinstance(value, list):  # N,N,...
        return all(type(each) is int for each in value)
    kinds = {"true or false": (bool,), "an integer": (int,), "a number": (int, float), "a text": (str,)}
    return type(value) in kinds[_kind(option)]
