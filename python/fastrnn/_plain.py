"""Plain values that come from files: JSON read with limits, and its fields checked by name.

A check is a function of a name and a value that returns the value or raises a ValueError or TypeError with
the name in it, as those of `_checks` do; a schema is a mapping of fields to checks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from fastrnn._checks import as_number, as_size

__all__ = [
    "MOST_STEPS",
    "Check",
    "as_count",
    "as_fields",
    "as_finite",
    "as_is",
    "as_list",
    "as_mapping",
    "as_text",
    "as_texts",
    "errors_of_library",
    "optional",
    "parse_json",
    "printable",
]

Check: TypeAlias = Callable[[str, Any], Any]

MOST_STEPS = 2**53  # a float64 holds every count up to here
_MOST_DIGITS = 40  # of an integer: the state of a random generator has 128 bits
_LONGEST_MESSAGE = 1000


def parse_json(text: str | bytes) -> Any:
    """Parse JSON whose numbers are all finite and of a sensible length.

    Raises
    ------
    ValueError
        If it is not JSON or has such a number, is nested too deep or is not UTF-8.

    Examples
    --------
    >>> parse_json('{"a": [1, 1e999]}')
    Traceback (most recent call last):
    ValueError: expected finite numbers, got 1e999
    """
    try:
        return json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_float)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"expected integers of at most {_MOST_DIGITS} digits, got one of {len(digits)}")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"expected finite numbers, got {digits:.{_MOST_DIGITS}}")
    return number


def as_mapping(name: str, value: Any) -> dict[str, Any]:
    """Check a mapping.

    Raises
    ------
    TypeError
        If it is not one.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a mapping, got {type(value).__name__}")
    return dict(value)


def as_list(name: str, value: Any, check: Check, *, count: int | None = None) -> list[Any]:
    """Check a list, and each entry with a check.

    Raises
    ------
    TypeError, ValueError
        If it is not a list, has another number of entries than `count`, or an entry is refused.
    """
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name}: expected a list, got {type(value).__name__}")
    if count is not None and len(value) != count:
        raise ValueError(f"{name}: expected {count} entries, got {len(value)}")
    return [check(f"{name}[{index}]", entry) for index, entry in enumerate(value)]


def as_is(name: str, value: Any) -> Any:
    """Take any value: something else checks it."""
    return value


def as_text(name: str, value: Any) -> str:
    """Check a str.

    Raises
    ------
    TypeError
        If it is not one.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected str, got {type(value).__name__}")
    return value


def as_texts(name: str, value: Any) -> list[str]:
    """Check a list of str.

    Raises
    ------
    TypeError
        If it is not one.
    """
    if isinstance(value, list) and {*map(type, value)} <= {str}:  # in one pass, as it may be long
        return value
    return as_list(name, value, as_text)


def as_count(name: str, value: Any) -> int:
    """Check a number of steps, batches or evaluations."""
    return as_size(name, value, least=0, most=MOST_STEPS)


def as_finite(name: str, value: Any) -> float:
    """Check a finite number."""
    return as_number(name, value)


def as_fields(
    name: str,
    value: Any,
    required: Mapping[str, Check],
    others: Mapping[str, Check] | None = None,
    *,
    unknown: bool = False,
) -> dict[str, Any]:
    """Check a mapping's fields, each with its check.

    Parameters
    ----------
    name : str
        What messages call the mapping; "" if its fields need no prefix.
    value : mapping
    required, others : mapping of str to check
        The fields that must be there, and those that may be.
    unknown : bool, default False
        Whether there may be further ones, which are returned unchecked.

    Raises
    ------
    TypeError, ValueError
        If it is not a mapping, or a field is missing, unknown or refused.

    Examples
    --------
    >>> as_fields("training", {"step": -1}, {"step": as_count})
    Traceback (most recent call last):
    ValueError: training.step: expected 0 .. 9007199254740992, got -1
    """
    given = as_mapping(name or "value", value)
    prefix = f"{name}." if name else ""
    schema = {**required, **(others or {})}
    for field in given:
        if field not in schema and not unknown:
            raise ValueError(f"{prefix}{field}: unknown")
    for field in required:
        if field not in given:
            raise ValueError(f"{prefix}{field}: missing")
    checked = {
        field: check(prefix + field, given[field]) for field, check in schema.items() if field in given
    }
    return given | checked


def optional(check: Check) -> Check:
    """Return a check that takes None too."""
    return partial(_optional, check)


def _optional(check: Check, name: str, value: Any) -> Any:
    return None if value is None else check(name, value)


def printable(text: str) -> str:
    r"""Return a message on one line, of bounded length, with escapes for what must not reach a terminal.

    Examples
    --------
    >>> print(printable("clear\x1b[2J"))
    clear\x1b[2J
    """
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[:_LONGEST_MESSAGE]} ..."
    if text.isprintable():
        return text
    return "".join([part if part.isprintable() else repr(part)[1:-1] for part in text])


@contextmanager
def errors_of_library(message: str) -> Iterator[None]:
    """Turn whatever another library raises into a ValueError, its panics too.

    The panics of libraries written in Rust derive from BaseException, not from Exception.

    Raises
    ------
    ValueError
        With the message and the library's.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{message}: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"{message}: {error}") from None
