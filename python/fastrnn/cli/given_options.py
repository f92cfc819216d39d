"""Which options a user gave, and where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

__all__ = ["given_by", "given_settings"]


def given_settings(context: click.Context, options: Iterable[str]) -> dict[str, Any]:
    """Return the options that the user gave, on the command line or in the file of ``--config``."""
    return {
        name: context.params[name]
        for name in options
        if given_by(context, name, "COMMANDLINE") or given_by(context, name, "DEFAULT_MAP")
    }


def given_by(context: click.Context, name: str, source: str) -> bool:
    """Return whether an option's value comes from a source, named as click's `ParameterSource` does."""
    return context.get_parameter_source(name) is click.core.ParameterSource[source]
