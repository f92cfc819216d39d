"""What commands print: text for people or one JSON object for machines."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["json_option", "print_json"]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else on standard output."
)


def print_json(value: dict[str, Any]) -> None:
    """Print the one object of a command's ``--json``."""
    click.echo(json.dumps(value, allow_nan=False))
