"""Cells of data files as sequences and targets, and predictions as cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn.data import log_mel, read_wav
from fastrnn.layers.description import plain_value

__all__ = ["X_READINGS", "Y_READINGS", "as_cell", "as_plain", "read_cells", "read_sounds"]


def _text(place: str, cell: Any, folder: Path) -> Any:
    return cell


def _tokens(place: str, cell: Any, folder: Path) -> list[Any]:
    return cell.split() if isinstance(cell, str) else cell


def _numbers(place: str, cell: Any, folder: Path) -> Any:
    if not isinstance(cell, str):
        return cell
    return [_number(place, part) for part in cell.replace(",", " ").replace(";", " ").split()]


def _ids(place: str, cell: Any, folder: Path) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return [int(part) for part in cell.replace(",", " ").split()]
    except ValueError:
        raise ValueError(f"{place}: expected integers, got {cell!r:.60}") from None


def _sound(place: str, cell: Any, folder: Path) -> Any:
    return log_mel(*_samples(place, cell, folder))


def _samples(place: str, cell: Any, folder: Path) -> tuple[Any, int]:
    if not isinstance(cell, str):
        raise ValueError(f"{place}: expected the path of a WAV file, got {type(cell).__name__}")
    return read_wav(folder / cell)


def _number(place: str, cell: Any) -> float:
    try:
        value = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: expected a finite number, got {cell!r:.60}")
    return value


def _one_number(place: str, cell: Any, folder: Path) -> float:
    return _number(place, cell)


def _labels(place: str, cell: Any, folder: Path) -> set[Any]:
    if isinstance(cell, str):
        return {part.strip() for part in cell.split(";") if part.strip()}
    if not isinstance(cell, list) or not all(isinstance(label, (str, int)) for label in cell):
        raise ValueError(f"{place}: expected a list of labels, got {cell!r:.60}")
    return set(cell)


# How a cell becomes a sequence, or a target, by the name that options have for it.
_READINGS: dict[str, Callable[[str, Any, Path], Any]] = {
    "text": _text,
    "words": _tokens,
    "numbers": _numbers,
    "ids": _ids,
    "sound": _sound,
    "label": _text,
    "labels": _labels,
    "number": _one_number,
}
#: The ways to read a sequence, and those to read a target.
X_READINGS = ("text", "label", "words", "numbers", "ids", "sound")
Y_READINGS = ("label", "labels", "number", "numbers", "text", "words", "ids")


def read_cells(place: str, cells: Iterable[Any], reading: str, folder: Path) -> list[Any]:
    """Return the entries of a column, each read in one way.

    Parameters
    ----------
    place : str
        What messages call the column.
    cells : iterable
    reading : str
        One of `X_READINGS` or `Y_READINGS`.
    folder : Path
        That paths in the cells are relative to.

    Raises
    ------
    ValueError
        If one cannot be; the message names the row.
    """
    read = _READINGS[reading]
    return [read(f"{place}, row {row}", cell, folder) for row, cell in enumerate(cells, 1)]


def read_sounds(place: str, cells: Sequence[Any], folder: Path, rate: int | None) -> tuple[list[Any], int]:
    """Return the log-mel features of WAV files, and their sampling rate.

    Parameters
    ----------
    rate : int, optional
        The one that they must have; default: that of the first.

    Raises
    ------
    ValueError
        If one cannot be read or has another rate; the message names the row or the file.
    """
    features = []
    for row, cell in enumerate(cells, 1):
        samples, own = _samples(f"{place}, row {row}", cell, folder)
        rate = rate or own
        if own != rate:
            raise ValueError(
                f"{folder / cell}: expected {rate} samples a second, as in training, got {own}: resample it"
            )
        features.append(log_mel(samples, own))
    assert rate is not None
    return features, rate


def as_plain(value: Any) -> Any:
    """Return a prediction as a plain value; sets become sorted lists."""
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain_value, value), key=str)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [as_plain(each) for each in value]
    return plain_value(value)


def as_cell(value: Any, separator: str = " ") -> str:
    """Return a plain value as the text of a cell; lists with `separator` between their entries."""
    if isinstance(value, list):
        return separator.join(as_cell(each, separator) for each in value)
    return f"{value:.7g}" if isinstance(value, float) else str(value)
