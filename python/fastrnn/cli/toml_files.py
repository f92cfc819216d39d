"""TOML: options read from a file, with the line of each key, and options written into one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from fastrnn._files import read_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["as_toml", "line_of", "place_of", "read_toml", "toml_lines"]


def read_toml(path: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a TOML file, and what it says.

    Raises
    ------
    ValueError
        If it is not TOML; the message has the line.
    OSError
        If it cannot be read.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
        return text, tomllib.loads(text.replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected TOML, such as hidden-size = 256: {error}") from None


def line_of(text: str, key: str) -> int | None:
    """Return the number of the first line that sets a key; None if none is found.

    Examples
    --------
    >>> line_of("hidden-size = 8", "hidden-size")
    1
    """
    found = re.search(rf"^[ \t]*([\"']?){re.escape(key)}\1[ \t]*=", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def place_of(path: str, text: str, key: str) -> str:
    """Return where a file sets a key, for messages: its path, the line if it is found, and the key."""
    line = line_of(text, key)
    return f"{path}: {key}" if line is None else f"{path}, line {line}: {key}"


def toml_lines(values: Mapping[str, Any]) -> list[str]:
    """Return a line of TOML for each value.

    Examples
    --------
    >>> toml_lines({"cell": "gru", "learning-rate": 0.003, "tied": False, "cutoffs": (10, 20)})
    ['cell = "gru"', 'learning-rate = 0.003', 'tied = false', 'cutoffs = [10, 20]']
    """
    return [f"{key} = {as_toml(value)}" for key, value in values.items()]


def as_toml(value: Any) -> str:
    """Return a value as TOML writes it; None as the word none, as options have it."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, Mapping):
        rows = (f"{as_toml(str(key))} = {as_toml(each)}" for key, each in value.items())
        return f"{{{', '.join(rows)}}}"
    return repr(value)
