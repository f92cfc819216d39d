"""The settings of a model as options of a command: names, kinds and defaults from its class."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from typing import Any

import click

from fastrnn._plain import parse_json
from fastrnn.cli.precision import TrainedPrecision

__all__ = ["NOT_OPTIONS", "JsonOption", "OrNone", "changed_settings", "setting_options"]

#: Settings that have an option of another name, or none.
NOT_OPTIONS = frozenset({"initialize", "random_state", "verbose"})
_ENTRY = re.compile(r"^(\w+(?:, \w+)*)(?: : (.*))?$")
_CHOICES = re.compile(r'^\{("\w+"(?:, "\w+")*)\}')


class JsonOption(click.ParamType):  # type: ignore[type-arg]  # in click 8.1 it takes none
    """A value in JSON; a bare word is a str."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the JSON."""
        if not isinstance(value, str):
            return value
        try:
            return parse_json(value)
        except ValueError:
            if re.fullmatch(r"[\w-]+", value):
                return None if value == "none" else value
            self.fail(f"{value!r:.60} is neither JSON nor a word.", param, ctx)


class OrNone(click.ParamType):  # type: ignore[type-arg]  # as above
    """A value of a kind, or the word none."""

    def __init__(self, kind: Any) -> None:
        self.kind, self.name = kind, kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return None, or the value of the kind."""
        return None if value in (None, "none") else self.kind.convert(value, param, ctx)


_KINDS: dict[str, Any] = {"int": click.INT, "float": click.FLOAT, "str": click.STRING}
_METAVARS = {"int": "N", "float": "X", "str": "NAME"}


def setting_options(model: type) -> list[click.Option]:
    """Return an option for each setting of a model, with its default and what the docstring says of it."""
    documented = _documented(model)
    return [
        _option(field, *documented.get(field.name, ("", "")))
        for field in dataclasses.fields(model)
        if field.init and field.name not in NOT_OPTIONS
    ]


def changed_settings(model: Any, assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return settings from texts of the form ``name=value``.

    Raises
    ------
    ValueError
        If one has another form, or the model has no such setting.
    """
    options = {option.name: option for option in setting_options(type(model))}
    settings = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ValueError(f"--set: expected name=value, got {text!r:.60}")
        if name not in options:
            raise ValueError(
                f"--set: expected a setting of {type(model).__name__}, "
                f"one of {', '.join(options)}, got {name!r}"
            )
        option = options[name]
        settings[name] = (
            _as_flag(name, value) if option.is_bool_flag else option.type.convert(value, option, None)
        )
    return settings


def _as_flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"--set {name}: expected true or false, got {value!r:.60}")
    return value.lower() == "true"


def _option(field: Any, kind: str, text: str) -> click.Option:
    name = field.name.replace("_", "-")
    annotation = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
    if annotation == "bool":
        return click.Option([f"--{name}/--no-{name}"], default=field.default, show_default=True, help=text)
    plain = annotation.removesuffix(" | None")
    choices = _CHOICES.match(kind)
    metavar: str | None = _METAVARS.get(plain, "JSON")
    if plain == "str" and choices:
        names = json.loads(f"[{choices[1]}]")
        type_: Any = TrainedPrecision() if field.name == "precision" else click.Choice(names)
        metavar = f"[{'|'.join(type_.choices)}]"
    else:
        type_ = _KINDS.get(plain) or JsonOption()
    if plain != annotation and plain in _KINDS:
        type_ = OrNone(type_)
    shown = "none" if field.default is None else True
    return click.Option(
        [f"--{name}"], type=type_, default=field.default, show_default=shown, metavar=metavar, help=text
    )


def _documented(model: type) -> dict[str, tuple[str, str]]:
    """Return the kind and the text of each setting in the docstrings of a class and its bases.

    A class that says only another kind or default leaves the text of its base.
    """
    found: dict[str, tuple[str, str]] = {}
    for each in reversed(model.__mro__):
        text = inspect.cleandoc(each.__doc__ or "")
        _, _, section = text.partition("Parameters\n----------\n")
        section = re.split(r"\n\w[\w ]*\n-{3,}\n", section)[0]
        names: list[str] = []
        inherited = dict(found)
        for line in section.splitlines():
            entry = _ENTRY.match(line)
            if entry is not None:
                names = entry[1].split(", ")
                found |= dict.fromkeys(names, (entry[2] or "", ""))
            elif line.startswith("    "):
                for name in names:
                    kind, before = found[name]
                    found[name] = (kind, f"{before} {line.strip()}".strip())
        found = {
            name: (kind, text or inherited.get(name, ("", ""))[1]) for name, (kind, text) in found.items()
        }
    return {name: (kind, _as_help(text)) for name, (kind, text) in found.items()}


def _as_help(text: str) -> str:
    """Return a docstring's sentences without its marks."""
    return re.sub(
        r"``(.+?)``|`([a-z_]+)`|`(.+?)`",
        lambda found: found[1] or found[3] or "--" + found[2].replace("_", "-"),
        text,
    )
