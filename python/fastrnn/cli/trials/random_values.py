"""Values of options that are drawn at random: from a range, or from a list."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastrnn.cli.toml_files import as_toml

__all__ = ["RandomValue", "read_random_value"]

_DIGITS = 4  # of a number that is drawn
_EXAMPLES = {
    "uniform": "{uniform = [0.0, 0.5]}",
    "log": "{log = [0.0001, 0.01]}",
    "integers": "{integers = [1, 3]}",
    "choice": '{choice = ["gru", "lstm"]}',
}


@dataclass(frozen=True)
class RandomValue:
    """How the values of an option are drawn.

    Parameters
    ----------
    kind : {"uniform", "log", "integers", "choice"}
        Numbers that are equally likely in a range, or whose logarithms are; integers of a range, both ends
        included; or the entries of a list.
    values : tuple
        The ends of the range, or the entries.

    Examples
    --------
    >>> from fastrnn.cli.trials.random_values import RandomValue
    >>> RandomValue("log", (1e-4, 1e-2)).draw(0.5), RandomValue("integers", (1, 3)).draw(0.99)
    (0.001, 3)
    """

    kind: str
    values: tuple[Any, ...]

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that an option must take if it takes all that can be drawn."""
        return tuple(map(float, self.values)) if self.kind in ("uniform", "log") else self.values

    def draw(self, place: float) -> Any:
        """Return the value at a place from 0 to 1 (exclusive); a number has four significant digits."""
        if self.kind == "choice":
            return self.values[int(place * len(self.values))]
        low, high = self.values
        if self.kind == "integers":
            return low + int(place * (high - low + 1))
        number = low + (high - low) * place if self.kind == "uniform" else low * (high / low) ** place
        return min(max(float(f"{number:.{_DIGITS}g}"), float(low)), float(high))


def read_random_value(where: str, given: Any) -> RandomValue:
    """Return how an option is drawn, from what a file says.

    Parameters
    ----------
    where : str
        The place in the file, for messages.
    given : object

    Raises
    ------
    ValueError
        If it is none of the four kinds, a list is empty, or a range is not one.
    """
    kind = next(iter(given)) if isinstance(given, dict) and len(given) == 1 else ""
    if kind not in _EXAMPLES:
        raise ValueError(
            f"{where}: expected one of {', '.join(_EXAMPLES.values())}, got {as_toml(given):.60}"
        )
    values = given[kind]
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where}: expected a list, such as {_EXAMPLES[kind]}, got {as_toml(given):.60}")
    if kind != "choice":
        _check_range(where, kind, values)
    return RandomValue(kind, tuple(values))


def _check_range(where: str, kind: str, values: list[Any]) -> None:
    types = (int,) if kind == "integers" else (int, float)
    if len(values) != 2 or not all(type(each) in types and math.isfinite(each) for each in values):
        numbers = "integers" if kind == "integers" else "numbers"
        raise ValueError(
            f"{where}: expected two {numbers}, such as {_EXAMPLES[kind]}, got {as_toml(values):.60}"
        )
    low, high = values
    if low >= high:
        raise ValueError(f"{where}: expected the lower end first, got {as_toml(values)}")
    if kind == "log" and low <= 0:
        raise ValueError(f"{where}: expected positive numbers, got {as_toml(values)}")
