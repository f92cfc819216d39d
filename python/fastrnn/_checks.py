"""Numbers, flags, names and seeds that come from users: checked once, here.

What Python's numbers can do, NumPy's can, and so can an array without axes. A value of the wrong kind is a
TypeError everywhere, one out of range a ValueError. A message names the argument, what was expected and what
came: ``hidden_size: expected 1 or more, got 0``.
"""

from __future__ import annotations

import math
import numbers
import operator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Seed",
    "as_choice",
    "as_flag",
    "as_generator",
    "as_integers",
    "as_number",
    "as_probability",
    "as_size",
]

Seed: TypeAlias = "int | np.random.Generator | None"


def as_size(name: str, value: Any, *, least: int = 1, most: int | None = None) -> int:
    """Check an integer: a size, a count or an id.

    Parameters
    ----------
    name : str
        What messages call it.
    value : int
        NumPy's integers too; bool is not an integer.
    least, most : int
        Both included.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> as_size("hidden_size", 0)
    Traceback (most recent call last):
    ValueError: hidden_size: expected 1 or more, got 0
    """
    size = _integer(name, value)
    if size < least or (most is not None and size > most):
        expected = f"{least} or more" if most is None else f"{least} .. {most}"
        raise ValueError(f"{name}: expected {expected}, got {size}")
    return size


def as_integers(name: str, values: Any) -> list[int]:
    """Check any number of integers that are not an array.

    Raises
    ------
    TypeError
        If one is not an integer, or `values` cannot be iterated over.
    """
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name}: expected integers, got {type(values).__name__}")
    given = list(values)
    return given if {*map(type, given)} <= {int} else [_integer(name, value) for value in given]


def as_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """Check a real number: finite, unless `most` is infinity.

    Parameters
    ----------
    name : str
        What messages call it.
    value : float
        Integers and NumPy's numbers too; bool is not a number.
    least, most : float, optional
        Bounds that are included.
    above, below : float, optional
        Bounds that are not.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is out of range, NaN or infinite.

    Examples
    --------
    >>> as_number("learning_rate", 1, above=0)
    1.0
    >>> as_number("momentum", 1, least=0, below=1)
    Traceback (most recent call last):
    ValueError: momentum: expected a number in [0, 1), got 1
    """
    number = _real(name, value)
    inside = math.isfinite(number) or (number == most == math.inf)
    inside = inside and (least is None or number >= least) and (above is None or number > above)
    if inside and (most is None or number <= most) and (below is None or number < below):
        return number
    raise ValueError(f"{name}: expected {_describe_range(least, above, most, below)}, got {value}")


def as_probability(name: str, value: Any) -> float:
    """Check the probability of something that must not be certain: a number in [0, 1).

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is out of range.
    """
    number = _real(name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{name}: expected a probability in [0, 1), got {value}")
    return number


def as_flag(name: str, value: Any) -> bool:
    """Check a flag.

    Raises
    ------
    TypeError
        If it is neither True nor False, of Python or NumPy.

    Examples
    --------
    >>> as_flag("bias", "no")
    Traceback (most recent call last):
    TypeError: bias: expected True or False, got str
    """
    value = _scalar(value)
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {type(value).__name__}")
    return bool(value)


def as_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Check a name that is one of a few.

    Raises
    ------
    TypeError
        If it is not a str.
    ValueError
        If it is none of the choices.

    Examples
    --------
    >>> as_choice("merge", "max", ("sum", "mean"))
    Traceback (most recent call last):
    ValueError: merge: expected 'sum' or 'mean', got 'max'
    """
    known = [*choices]
    if isinstance(value, str) and value in known:
        return str(value)
    names = [*map(repr, known)]
    expected = " or ".join(names) if len(names) < 3 else f"one of {', '.join(names)}"
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
    raise ValueError(f"{name}: expected {expected}, got {str(value)!r}")


def as_generator(seed: Any) -> np.random.Generator:
    """Return the generator of a `Seed`: a generator as it is, for None a different one each time.

    Whatever else ``numpy.random.default_rng`` takes is a seed too.

    Raises
    ------
    TypeError
        If it is of another kind.
    ValueError
        If it is less than 0.
    """
    value = _scalar(seed)
    if isinstance(value, (str, bytes, bool, np.bool_)):
        value = None
    try:
        if value is not None or seed is None:
            return np.random.default_rng(value)
    except TypeError:
        pass
    except ValueError as error:
        raise ValueError(f"seed: expected 0 or more, got {seed!r}: {error}") from None
    raise TypeError(f"seed: expected an integer, a numpy.random.Generator or None, got {type(seed).__name__}")


def _scalar(value: Any) -> Any:
    """Return the scalar of an array without axes; anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _integer(name: str, value: Any) -> int:
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name}: expected an integer, got {type(_scalar(value)).__name__}")


def _real(name: str, value: Any) -> float:
    value = _scalar(value)
    real = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    if not real:
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf if value > 0 else -math.inf


def _describe_range(least: float | None, above: float | None, most: float | None, below: float | None) -> str:
    kind = "a number" if most == math.inf else "a finite number"
    lower = f">= {least:g}" if least is not None else f"above {above:g}" if above is not None else ""
    upper = most if most is not None and most < math.inf else below
    if upper is None:
        return f"{kind} {lower}".rstrip()
    opening = f"({above:g}" if above is not None else f"[{-math.inf if least is None else least:g}"
    return f"a number in {opening}, {upper:g}{']' if below is None else ')'}"
