"""Tables: delimited text, JSON lines, pairs of texts, and series of numbers."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag
from fastrnn._plain import parse_json
from fastrnn.data.numbered_lines import numbered_lines, source_name

__all__ = ["read_jsonl", "read_pairs", "read_series", "read_table"]

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LARGEST_CELL = 1 << 30  # characters; csv's own limit of 131,072 is shorter than a long document


def read_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    header: bool = True,
    encoding: str = "utf-8",
) -> dict[str, list[str]]:
    r"""Read delimited text, such as CSV or TSV, as columns.

    Cells may be quoted (``"``) and then have delimiters and line ends in them. Blank lines are skipped.

    Parameters
    ----------
    path : path
        ``"-"`` is standard input.
    delimiter : str, optional
        One character; by default a comma for ``.csv`` and a tab for ``.tsv`` and ``.tab``.
    header : bool, default True
        Whether the first row holds the columns' names; else they are ``"0"``, ``"1"`` and so on.
    encoding : str, default "utf-8"

    Returns
    -------
    columns : dict of str to list of str

    Raises
    ------
    ValueError
        If the delimiter is unknown, a name occurs twice or is empty, a row has another number of cells than
        the first, a quote is not closed, or there are no rows; the message names the file and the line.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.csv")
    ...     _ = path.write_text('text,label\n"Good, really",1\nBad,0\n')
    ...     read_table(path)
    {'text': ['Good, really', 'Bad'], 'label': ['1', '0']}
    """
    names, rows = _table(path, delimiter, as_flag("header", header), encoding)
    return {name: [cells[place] for _, cells in rows] for place, name in enumerate(names)}


def read_jsonl(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> list[dict[str, Any]]:
    r"""Read JSON lines: an object a line; blank lines are skipped.

    Parameters
    ----------
    path : path
        ``"-"`` is standard input.
    encoding : str, default "utf-8"

    Returns
    -------
    objects : list of dict

    Raises
    ------
    ValueError
        If a line is not a JSON object of finite numbers, or there are none; the message names file and line.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import read_jsonl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.jsonl")
    ...     _ = path.write_text('{"text": "Good", "label": 1}\n')
    ...     read_jsonl(path)
    [{'text': 'Good', 'label': 1}]
    """
    name = source_name(path)
    objects: list[dict[str, Any]] = []
    for number, line in numbered_lines(path, encoding):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}, line {number}, column {error.colno}: not JSON: {error.msg}") from None
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
        if not isinstance(value, dict):
            raise ValueError(f"{name}, line {number}: expected a JSON object, got {line.strip():.60}")
        objects.append(value)
    if not objects:
        raise ValueError(f"{name}: expected at least one JSON object, got none")
    return objects


def read_pairs(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    separator: str = "\t",
    encoding: str = "utf-8",
) -> tuple[list[str], list[str]]:
    r"""Read pairs of texts: a source and a target a line, or the lines of two parallel files.

    Parameters
    ----------
    path : path
        The pairs, or the sources; ``"-"`` is standard input.
    target : path, optional
        The targets; with it, every line of both files counts, blank ones too. Without it, blank lines are
        skipped.
    separator : str, default a tab
        Between source and target, in a file of pairs.
    encoding : str, default "utf-8"

    Returns
    -------
    sources, targets : list of str

    Raises
    ------
    ValueError
        If a line has no separator or several, two files have different numbers of lines, or there are no
        pairs; the message names the file and the line.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import read_pairs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.tsv")
    ...     _ = path.write_text("3 May 1999\t1999-05-03\n")
    ...     read_pairs(path)
    (['3 May 1999'], ['1999-05-03'])
    """
    name = source_name(path)
    if target is not None:
        if os.fspath(path) == "-" == os.fspath(target):
            raise ValueError("target: expected another file, got standard input twice")
        sources = [line for _, line in numbered_lines(path, encoding)]
        targets = [line for _, line in numbered_lines(target, encoding)]
        if len(sources) != len(targets):
            raise ValueError(
                f"{source_name(target)}: expected {len(sources)} lines, as in {name}, got {len(targets)}"
            )
        return sources, targets
    if not separator:
        raise ValueError("separator: expected at least one character, got ''")
    pairs = []
    for number, line in numbered_lines(path, encoding):
        if line.strip():
            parts = line.split(separator)
            if len(parts) != 2:
                raise ValueError(
                    f"{name}, line {number}: expected a source and a target with {separator!r} between them, "
                    f"got {len(parts)} {'part' if len(parts) == 1 else 'parts'}"
                )
            pairs.append(parts)
    if not pairs:
        raise ValueError(f"{name}: expected at least one pair, got none")
    return [source for source, _ in pairs], [goal for _, goal in pairs]


def read_series(
    path: str | os.PathLike[str],
    *,
    column: str | Sequence[str] | None = None,
    index: str | None = None,
    delimiter: str | None = None,
    header: bool = True,
    encoding: str = "utf-8",
) -> tuple[NDArray[np.float64], list[str] | None]:
    r"""Read series of numbers from delimited text: a row a time step.

    Parameters
    ----------
    path : path
        ``"-"`` is standard input.
    column : str or list of str, optional
        The column of a series, or those of several; by default all but ``index``.
    index : str, optional
        The column that names the steps, such as their dates; it is returned as it is.
    delimiter, header, encoding
        As in `read_table`.

    Returns
    -------
    values : float64 array [T], or [T, D] unless ``column`` is one name
    index : list of str, or None if no ``index`` is named

    Raises
    ------
    ValueError
        As `read_table`, or if a column does not exist, or a cell is missing or not a finite number; the
        message names the file, the line and the column.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import read_series
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.csv")
    ...     _ = path.write_text("Month,Passengers\n1949-01,112\n1949-02,118\n")
    ...     read_series(path, column="Passengers", index="Month")
    (array([112., 118.]), ['1949-01', '1949-02'])
    """
    names, rows = _table(path, delimiter, as_flag("header", header), encoding)
    file = source_name(path)
    step = None if index is None else _place("index", index, names, file)
    _check_no_number(column, names)
    if isinstance(column, str):
        places = [_place("column", column, names, file)]
    elif column is None:
        places = [place for place in range(len(names)) if place != step]
    else:
        places = [_place(f"column[{order}]", name, names, file) for order, name in enumerate(column)]
    if not places:
        raise ValueError("column: expected at least one, got none")
    values = np.empty((len(rows), len(places)))
    for row, (line, cells) in enumerate(rows):
        for order, place in enumerate(places):
            values[row, order] = _number(f"{file}, line {line}, column {names[place]!r}", cells[place])
    steps = None if step is None else [cells[step] for _, cells in rows]
    return (values[:, 0].copy() if isinstance(column, str) else values), steps


def _check_no_number(column: object, names: list[str]) -> None:
    if isinstance(column, Real):
        got = type(column).__name__
        raise TypeError(f"column: expected the name of a column, or several, got {got}; write {names[0]!r}")


def _place(argument: str, name: Any, names: list[str], file: str) -> int:
    if name not in names:
        raise ValueError(f"{argument}: expected one of the columns {names} of {file}, got {name!r}")
    return names.index(name)


def _number(place: str, cell: str) -> float:
    if not cell.strip():
        raise ValueError(f"{place}: expected a number, got an empty cell")
    try:
        value = math.nan if "_" in cell else float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: expected a finite number, got {cell!r:.60}")
    return value


def _table(
    path: str | os.PathLike[str], delimiter: str | None, header: bool, encoding: str
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and each row with the number of its first line."""
    file = source_name(path)
    rows = _rows(path, _as_delimiter(path, delimiter), encoding)
    line, first = next(rows, (0, []))
    if not first:
        raise ValueError(f"{file}: expected at least one row, got none")
    if header and delimiter is None and len(first) == 1:
        _check_one_column(path, first[0])
    names = first if header else [str(place) for place in range(len(first))]
    for place, name in enumerate(names):
        if not name or name in names[:place]:
            problem = f"{name!r} twice" if name else f"an empty one at column {place + 1}"
            raise ValueError(f"{file}, line {line}: expected different names of columns, got {problem}")
    table = [] if header else [(line, first)]
    for number, cells in rows:
        if len(cells) != len(names):
            raise ValueError(f"{file}, line {number}: expected {len(names)} cells, got {len(cells)}")
        table.append((number, cells))
    if not table:
        raise ValueError(f"{file}: expected at least one row after the header, got none")
    return names, table


def _check_one_column(path: str | os.PathLike[str], cell: str) -> None:
    """Refuse a first line that another delimiter would split, unless the delimiter was given."""
    usual = _as_delimiter(path, None)
    other = next((mark for mark in ";\t,|" if mark != usual and mark in cell), None)
    if other is not None:
        raise ValueError(
            f"{source_name(path)}: no {usual!r} but {other!r} in its first line; write delimiter={other!r}, "
            f"or delimiter={usual!r} if it has one column"
        )


def _rows(path: str | os.PathLike[str], delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    if csv.field_size_limit() < _LARGEST_CELL:  # a setting of the whole process; only ever raised
        csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(
        (f"{line}\n" for _, line in numbered_lines(path, encoding)), delimiter=delimiter, strict=True
    )
    start = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{source_name(path)}, line {start}: {error}") from None
        if cells is None:
            return
        if cells:
            yield start, cells
        start = reader.line_num + 1


def _as_delimiter(path: str | os.PathLike[str], delimiter: Any) -> str:
    if delimiter is None:
        known = _DELIMITERS.get(Path(path).suffix.lower())
        if known is None:
            raise ValueError(
                f"delimiter: expected one for {source_name(path)}, which is neither .csv nor .tsv: "
                "delimiter=','"
            )
        return known
    if not isinstance(delimiter, str):
        raise TypeError(f"delimiter: expected one character, such as ',', got {type(delimiter).__name__}")
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ValueError(f"delimiter: expected one character, such as ',' or '\\t', got {delimiter!r}")
    return delimiter
