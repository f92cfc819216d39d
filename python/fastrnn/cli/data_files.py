"""Data files of ``fastrnn fit`` and ``predict``: rows with named columns, read and written in one format."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fastrnn.cli.text_input import STANDARD_INPUT, announce_typing
from fastrnn.data import read_conll, read_jsonl, read_pairs, read_table, write_conll
from fastrnn.data.numbered_lines import numbered_lines, source_name

__all__ = ["FORMATS", "DataFile", "Layout", "data_options", "name_rows", "open_data"]

FORMATS = ("csv", "tsv", "jsonl", "conll", "lines", "pairs")
_SUFFIXES = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".conll": "conll", ".conllu": "conll", ".txt": "lines",
}  # fmt: skip
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_BETWEEN = "\x01"  # no blank, and in no tag
_ROW = re.compile(r"^(validation: )?([Xy])\[(\d+)\](?:\[(\d+)\])?")


@dataclass(frozen=True)
class Layout:
    """How a data file is to be read.

    Attributes
    ----------
    format : str or None
        One of `FORMATS`; None: as the file's suffix says.
    delimiter : str or None
        Of delimited text, if not that of its format.
    header : bool
        Whether delimited text begins with the names of its columns.
    encoding : str
    """

    format: str | None = None
    delimiter: str | None = None
    header: bool = True
    encoding: str = "utf-8"


def data_options(command: Any) -> Any:
    """Add the options of a `Layout` to a command."""
    # Imported here: its module imports the options of all training commands.
    from fastrnn.cli.settings import encoding_option

    options = [
        click.option(
            "--format", type=click.Choice(FORMATS),
            help="Format of the data: delimited text; JSON lines; columns of CoNLL; a text in each line; two "
            "texts in each line with a tab between them.  [default: as the suffix says]",
        ),
        click.option("--delimiter", metavar="CHAR", help="Between cells, if neither a comma nor a tab."),
        click.option("--no-header", is_flag=True, help="The first row is data; columns are 0, 1, 2 ..."),
        encoding_option,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


class DataFile:
    """The rows of a file.

    Parameters
    ----------
    path : str
        As the user named it, - for standard input.
    layout : Layout
    content : str
        The file to read: that one, or a copy of standard input.

    Attributes
    ----------
    format : str
    names : list of str
        Of the columns; none for CoNLL, whose columns have the names of its definition, and indices.
    """

    path: str
    layout: Layout

    def __init__(self, path: str, layout: Layout, content: str) -> None:
        self.path, self.layout, self._content = path, layout, content
        self.name: str = source_name(path)
        self.format: str = layout.format or _format_of(path)
        self.names: list[str] = []
        self._columns: dict[str, list[Any]] = {}
        self._objects: list[dict[str, Any]] = []
        encoding = layout.encoding
        if self.format in _DELIMITERS:
            delimiter = layout.delimiter or _DELIMITERS[self.format]
            self._columns = read_table(content, delimiter=delimiter, header=layout.header, encoding=encoding)
        elif self.format == "jsonl":
            self._objects = read_jsonl(content, encoding=encoding)
            self.names = list(dict.fromkeys(name for each in self._objects for name in each))
        elif self.format == "pairs":
            self._columns = dict(
                zip(("source", "target"), read_pairs(content, encoding=encoding), strict=True)
            )
        elif self.format == "lines":
            self._columns = {"text": [line for _, line in numbered_lines(content, encoding)]}
        self.names = self.names or list(self._columns)

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return Path() if self.path == STANDARD_INPUT else Path(self.path).parent

    def column(self, option: str, name: str) -> list[Any]:
        """Return the entries of a column, one for each row; of CoNLL a list of words for each sentence.

        Parameters
        ----------
        option : str
            The option that named it.
        name : str

        Raises
        ------
        ValueError
            If there is no such column, or a row lacks it.
        """
        if self.format == "conll":
            try:
                words: list[Any] = read_conll(
                    self._content, int(name) if name.isdigit() else name, encoding=self.layout.encoding
                )
            except ValueError as error:
                raise ValueError(re.sub(r"^columns\[\d+\]", option, str(error))) from None
            return words
        if name not in self.names:
            listed = ", ".join(map(repr, self.names))
            raise ValueError(f"{option}: expected one of the columns {listed} of {self.name}, got {name!r}")
        if self.format != "jsonl":
            return self._columns[name]
        for row, each in enumerate(self._objects):
            if each.get(name) is None:
                raise ValueError(f"{self.name}, row {row + 1}: expected a value of {name!r}, got none")
        return [each[name] for each in self._objects]

    def with_columns(self, added: dict[str, list[Any]], *, header: bool = True) -> str:
        """Return the file's text with columns added to it.

        Parameters
        ----------
        added : dict of str to list
            Cells as str, for JSON lines plain values, for CoNLL a list of str for each sentence.
        header : bool, default True
            Whether to begin with the names of the columns, if the file does.

        Raises
        ------
        ValueError
            If the file has a column of that name.
        """
        for name in added:
            if name in self.names:
                raise ValueError(f"--column: {self.name} has a column {name!r}; name another one")
        if self.format == "jsonl":
            rows = [
                {**each, **{name: values[row] for name, values in added.items()}}
                for row, each in enumerate(self._objects)
            ]
            return "".join(f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n" for row in rows)
        if self.format == "conll":
            return self._conll_with(list(added.values()))
        columns = {**self._columns, **added}
        if self.format not in _DELIMITERS:  # lines and pairs of text, in which a quote is a character
            return "".join("\t".join(map(str, row)) + "\n" for row in zip(*columns.values(), strict=True))
        delimiter = self.layout.delimiter or _DELIMITERS[self.format]
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        if header and self.layout.header:
            writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue()

    def _conll_with(self, columns: Sequence[list[list[str]]]) -> str:
        # All columns in one cell: a file with one more column is no longer seen to be CoNLL-U.
        joined = [
            [_BETWEEN.join(cells) for cells in zip(*rows, strict=True)] for rows in zip(*columns, strict=True)
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "joined.conll")
            write_conll(path, self._content, joined, encoding=self.layout.encoding)
            lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines):
            separator = "\t" if "\t" in line else " "
            if _BETWEEN in line:
                lines[number] = line.replace(_BETWEEN, separator)
            elif line.strip() and not line.startswith("#"):  # one that is no word's, and got a _
                lines[number] = line + (separator + "_") * (len(columns) - 1)
        return "\n".join(lines)


def _format_of(path: str) -> str:
    found = _SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise ValueError(
            f"{source_name(path)}: expected a suffix that says the format, one of "
            f"{', '.join(_SUFFIXES)}; or give --format, one of {', '.join(FORMATS)}"
        )
    return found


@contextmanager
def open_data(paths: Sequence[str], layout: Layout) -> Iterator[list[DataFile]]:
    """Read data files; a copy of standard input exists as long as the context.

    Raises
    ------
    ValueError
        If one is damaged, has another encoding, or its format is not known.
    OSError
        If one cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for path in paths:
            content = path
            if path == STANDARD_INPUT:
                if layout.format is None:
                    raise ValueError(f"standard input: give --format with it, one of {', '.join(FORMATS)}")
                announce_typing()
                content = os.path.join(folder, "standard input")
                Path(content).write_bytes(sys.stdin.buffer.read())
            try:
                files.append(DataFile(path, layout, content))
            except ValueError as error:
                if content == path:
                    raise
                raise ValueError(str(error).replace(content, "standard input")) from None
        yield files


@contextmanager
def name_rows(
    files: Sequence[DataFile], columns: dict[str, str | None], validation: Sequence[DataFile] = ()
) -> Iterator[None]:
    """Let errors about an entry of X or y name the file, the row and the column in its place.

    Parameters
    ----------
    files, validation : list of DataFile
    columns : dict of str to (str or None)
        Of "X" and "y".
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        found = _ROW.match(str(error))
        if found is None:
            raise ValueError(str(error)) from error
        row = int(found[3])
        for file in validation if found[1] else files:
            count = len(file.column("--x", columns["X"] or columns["y"] or ""))
            if row < count:
                what = "sentence" if file.format == "conll" else "row"
                place = f"{file.name}, {what} {row + 1}, column {columns[found[2]]!r}"
                if found[4]:
                    place += f", entry {int(found[4]) + 1}"
                raise ValueError(f"{place}{str(error)[found.end() :]}") from error
            row -= count
        raise ValueError(str(error)) from error
