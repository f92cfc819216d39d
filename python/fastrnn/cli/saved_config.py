"""The file beside a model with the options that it was trained with, for ``--config``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastrnn.cli.toml_files import toml_lines
from fastrnn.files.atomic_files import write_atomically

__all__ = ["config_path", "describe_changes", "write_config"]


def config_path(out: str | Path) -> Path:
    """Return the path of the options beside a model: ``NAME.config.toml``."""
    return Path(out).with_name(f"{Path(out).stem}.config.toml")


def write_config(path: Path, command: str, values: Mapping[str, Any]) -> None:
    """Write the options of a training into a file that ``--config`` reads.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    first = f"# To train with these options again: {command} --config {path.name} --out FILE"
    text = "\n".join([first, *toml_lines(values), ""])
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def describe_changes(path: Path, values: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return one line with the options that differ from the defaults, except the files, and where all are."""
    changed = {name: value for name, value in values.items() if name != "files" and value != usual.get(name)}
    return f"options: {', '.join(toml_lines(changed)) or 'the defaults'}; all are in {path}"
