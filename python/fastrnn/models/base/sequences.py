"""Sequences that come from users: lists, arrays and pandas columns, checked row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._foreign import is_foreign, of_others

__all__ = ["as_pairs", "as_rows", "as_steps", "check_counts"]


def as_rows(name: str, values: Any) -> list[Any]:
    """Return the sequences, or the targets, of a data set as a list.

    Parameters
    ----------
    name : str
        What messages call them.
    values : sequence
        A list, a tuple, or an array, a column or a table, of other libraries too: the entries of its first
        axis.

    Raises
    ------
    TypeError
        If it is a str, a sparse matrix, a number, or has no order.
    ValueError
        If there is none.

    Examples
    --------
    >>> as_rows("X", "a text")
    Traceback (most recent call last):
    TypeError: X: expected a list of sequences, got one str; write [X]
    """
    if isinstance(values, (str, bytes)):
        raise TypeError(
            f"{name}: expected a list of sequences, got one {type(values).__name__}; write [{name}]"
        )
    if hasattr(values, "toarray"):
        raise TypeError(
            f"{name}: expected a list of sequences, got a sparse matrix, {type(values).__name__}; "
            f"write {name}.toarray()"
        )
    if is_foreign(values):
        values = of_others(name, values)
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 0:
        raise ValueError(f"{name}: 0 feature(s) (shape={values.shape}) while a minimum of 1 is required.")
    if isinstance(values, np.ndarray) and values.ndim == 0:
        raise TypeError(f"{name}: expected a list of sequences, got a single value, {values[()]!r}")
    if isinstance(values, Iterator):  # it could be read once only
        raise TypeError(f"{name}: expected a list, got {type(values).__name__}; write list({name})")
    if isinstance(values, (dict, set, frozenset)) or not isinstance(values, Iterable):
        raise TypeError(f"{name}: expected a list of sequences, got {type(values).__name__}")
    rows = list(values)
    if not rows:
        raise ValueError(f"{name}: expected at least one sequence, got 0 sample(s)")
    return rows


def as_steps(name: str, row: int, sequence: Any) -> Sequence[Any] | NDArray[Any]:
    """Return the steps of one sequence, of which there must be at least one.

    Raises
    ------
    TypeError
        If it is not a sequence.
    ValueError
        If it is a single number, or empty.
    """
    number = isinstance(sequence, (int, float, complex, np.generic)) and not isinstance(sequence, str)
    if number or sequence is None:
        raise ValueError(
            f"{name}[{row}]: expected a sequence of steps, got {type(sequence).__name__} ({sequence!r}). "
            f"Reshape your data: {name} is a list of sequences, one for each sample"
        )
    sequence = of_others(f"{name}[{row}]", sequence)
    if not isinstance(sequence, (str, list, tuple, np.ndarray)):
        if isinstance(sequence, Iterable) and not isinstance(sequence, (dict, set, frozenset, bytes)):
            sequence = list(sequence)
        else:
            raise TypeError(f"{name}[{row}]: expected a sequence of steps, got {type(sequence).__name__}")
    if len(sequence) == 0:
        raise ValueError(f"{name}[{row}]: expected at least one step, got an empty sequence")
    steps: Sequence[Any] | NDArray[Any] = sequence
    return steps


def as_pairs(X: Any, y: Any) -> tuple[list[Any], list[Any]]:
    """Return the sequences and the targets of a training set as lists of equal length.

    Raises
    ------
    TypeError
        If one of them is not a list.
    ValueError
        If there are no targets, no sequences, or not as many of both.
    """
    if y is None:
        raise ValueError("y: requires y to be passed, but the target y is None")
    rows, targets = as_rows("X", X), as_rows("y", y)
    check_counts("X", len(rows), "y", len(targets))
    return rows, targets


def check_counts(x_name: str, rows: int, y_name: str, targets: int) -> None:
    """Check that there is a target for each sequence.

    Raises
    ------
    ValueError
        If not; the message names the first row that has none.

    Examples
    --------
    >>> check_counts("X", 3, "y", 2)
    Traceback (most recent call last):
    ValueError: y: expected 3 entries, one for each sequence of X, got 2: X[2] has none
    """
    if rows != targets:
        odd = f"{x_name}[{targets}] has none" if targets < rows else f"y[{rows}] has no sequence"
        raise ValueError(
            f"{y_name}: expected {rows} entries, one for each sequence of {x_name}, got {targets}: {odd}"
        )
