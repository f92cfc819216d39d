"""Data as the text of a file, in the formats that ``fastrnn fit`` reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["as_conllu", "as_json_lines", "as_lines", "table_writer"]


def table_writer(*columns: str, delimiter: str = ",") -> Callable[[Any], str]:
    r"""Return a function that writes columns under these names; one column is given alone, not in a tuple.

    Examples
    --------
    >>> table_writer("name", "language")((["Rossi", "Braun, von"], ["Italian", "German"]))
    'name,language\nRossi,Italian\n"Braun, von",German\n'
    """

    def as_table(data: Any) -> str:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(data if len(columns) > 1 else (data,)), strict=True))
        return text.getvalue()

    return as_table


def as_json_lines(data: tuple[Sequence[Any], Sequence[float]]) -> str:
    """Return series of numbers and their targets as JSON lines, with the columns series and target."""
    rows = [
        {"series": series.round(3).tolist(), "target": target} for series, target in zip(*data, strict=True)
    ]
    return as_lines(map(json.dumps, rows))


def as_lines(data: Iterable[str]) -> str:
    """Return texts, each in a line."""
    return "".join(f"{line}\n" for line in data)


def as_conllu(data: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]]) -> str:
    r"""Return tagged sentences as CoNLL-U, with the columns ID, FORM and UPOS.

    Examples
    --------
    >>> as_conllu(([["Birds", "sing"]], [["NOUN", "VERB"]])).splitlines()[1].split("\t")
    ['2', 'sing', '_', 'VERB', '_', '_', '_', '_', '_', '_']
    """
    sentences = []
    for words, tags in zip(*data, strict=True):
        lines = [
            f"{number}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n"
            for number, (word, tag) in enumerate(zip(words, tags, strict=True), 1)
        ]
        sentences.append("".join(lines))
    return as_lines(sentences)
