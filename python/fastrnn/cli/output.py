"""The option ``--json``, the printing of its one object, and warnings."""

from __future__ import annotations

import json
from typing import Any

import click

from fastrnn.cli.standard_streams import show

__all__ = ["json_option", "print_json", "warn"]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print only one JSON object on standard output."
)


def print_json(value: dict[str, Any]) -> None:
    """Print the JSON object of a command."""
    show(json.dumps(value, allow_nan=False))


def warn(text: str) -> None:
    """Print a warning of the command that runs, on standard error."""
    context = click.get_current_context(silent=True)
    show(f"{'fastrnn' if context is None else context.command_path}: warning: {text}", err=True)
