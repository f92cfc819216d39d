"""Sentences in columns: reading CoNLL 2003 and CoNLL-U files, and writing predictions into one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fastrnn._checks import as_choice, as_size
from fastrnn.data.numbered_lines import numbered_lines, source_name
from fastrnn.files.atomic_files import write_atomically

__all__ = ["read_conll", "write_conll"]

_CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_CONLL2003 = ("word", "pos", "chunk", "ner")
_WORD_ID = re.compile(r"[0-9]+")
_OTHER_ID = re.compile(r"[0-9]+[-.][0-9]+")  # a multiword token 1-2, or an empty node 1.1


class _Line(NamedTuple):
    number: int
    text: str
    fields: list[str] | None  # None: a line that is not a word's
    blank: bool = False


def read_conll(
    path: str | os.PathLike[str], *columns: str | int, layout: str | None = None, encoding: str = "utf-8"
) -> Any:
    r"""Read columns of a CoNLL file: a word a line, a blank line between sentences.

    Columns are separated by tabs or, in a line without any, by blanks. Of CoNLL-U, comments (``#``),
    multiword tokens (ids such as ``1-2``) and empty nodes (``1.1``) are skipped; of CoNLL 2003,
    ``-DOCSTART-`` lines are, and ``#`` is a word. With indices only, a file whose first word's line has ten
    columns, separated by tabs and beginning with a number, is CoNLL-U; in any other, a ``#`` line before the
    first word of a sentence is a comment.

    Parameters
    ----------
    path : path
        ``"-"`` is standard input.
    *columns : str or int
        Names, either of CoNLL-U (id, form, lemma, upos, xpos, feats, head, deprel, deps, misc) or of
        CoNLL 2003 (word, pos, chunk, ner), or indices from 0. At least one.
    layout : {"conllu", "conll2003"}, optional
        The format, where the columns are indices.
    encoding : str, default "utf-8"

    Returns
    -------
    sentences : list of list of str
        For each sentence the column's cells. Of several columns, a tuple with one such list for each.

    Raises
    ------
    ValueError
        If a column is unknown, a line has too few or another number of columns, an id of CoNLL-U is not one,
        or there are no sentences; the message names the file and the line.
    TypeError
        If a column is neither a name nor an index.
    OSError
        If the file cannot be read.

    References
    ----------
    https://universaldependencies.org/format.html;
    Tjong Kim Sang and De Meulder 2003, Introduction to the CoNLL-2003 shared task.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import read_conll
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.conll")
    ...     _ = path.write_text("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n")
    ...     words, tags = read_conll(path, "word", "ner")
    >>> words, tags
    ([['EU', 'rejects'], ['Peter']], [['B-ORG', 'O'], ['B-PER']])
    """
    indices, kind = _as_columns(columns, layout)
    sentences: list[list[list[str]]] = [[] for _ in indices]
    open_sentence = False
    for line in _parsed_lines(path, max(indices), kind, encoding):
        if line.fields is None:
            open_sentence = open_sentence and not line.blank
            continue
        for cells, index in zip(sentences, indices, strict=True):
            if not open_sentence:
                cells.append([])
            cells[-1].append(line.fields[index])
        open_sentence = True
    if not sentences[0]:
        raise ValueError(f"{source_name(path)}: expected at least one sentence, got none")
    return sentences[0] if len(sentences) == 1 else tuple(sentences)


def write_conll(
    path: str | os.PathLike[str],
    source: str | os.PathLike[str],
    values: Sequence[Sequence[str]],
    *,
    column: str | int | None = None,
    layout: str | None = None,
    encoding: str = "utf-8",
) -> None:
    r"""Write a CoNLL file again with one column of predictions, appended or in place of another.

    Every other line and cell stays; lines that `read_conll` skips get ``_`` in an appended column, comments
    nothing. The file is written atomically, so ``path`` may be ``source``.

    Parameters
    ----------
    path : path
        The file to write, in UTF-8.
    source : path
        The file that the sentences were read from.
    values : list of list of str
        A cell for each word of each sentence.
    column : str or int, optional
        The column to replace, as in `read_conll`; by default a column is appended.
    layout : {"conllu", "conll2003"}, optional
        The format, where ``column`` is not a name.
    encoding : str, default "utf-8"
        Of ``source``.

    Raises
    ------
    ValueError
        As `read_conll`, or if the sentences or their words are not as many as those of ``source``, or a value
        is empty or has white space in it.
    TypeError
        If a value is not a str.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import write_conll
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.conll")
    ...     _ = path.write_text("EU O\nrejects O\n\nPeter O\n")
    ...     write_conll(path, path, [["ORG", "O"], ["PER"]], column=1)
    ...     path.read_text()
    'EU ORG\nrejects O\n\nPeter PER\n'
    """
    (index,), kind = _as_columns([0 if column is None else column], layout)
    name = source_name(source)
    lines: list[str] = []
    row, place = -1, 0  # the sentence, and how many of its words have been written
    closed = True
    for line in _parsed_lines(source, index, kind, encoding):
        text = line.text
        cell: str | None = None
        if line.fields is not None:
            if closed:
                _check_words(name, values, row, place)
                row, place, closed = row + 1, 0, False
            if row >= len(values):
                raise ValueError(
                    f"values: expected as many sentences as {name} has, got {len(values)}; "
                    f"sentence {row} begins in line {line.number}"
                )
            if place >= len(values[row]):
                raise ValueError(
                    f"values[{row}]: expected a value for each word, got {len(values[row])}; "
                    f"{name}, line {line.number} is one more"
                )
            cell = _as_cell(f"values[{row}][{place}]", values[row][place])
            place += 1
        elif line.blank:
            closed = True
        elif column is None and (kind == "conll2003" or not text.startswith("#")):
            cell = "_"
        if cell is not None:
            separator = "\t" if "\t" in text else " "
            cells = text.split("\t") if separator == "\t" else text.split()
            if column is None:
                cells.append(cell)
            else:
                cells[index] = cell
            text = separator.join(cells)
        lines.append(text)
    _check_words(name, values, row, place)
    if row + 1 != len(values):
        raise ValueError(f"values: expected {row + 1} sentences, as {name} has, got {len(values)}")
    write_atomically(path, "".join(f"{text}\n" for text in lines).encode())


def _check_words(name: str, values: Sequence[Sequence[str]], row: int, place: int) -> None:
    if row >= 0 and place != len(values[row]):
        raise ValueError(
            f"values[{row}]: expected {place} values, one for each word of that sentence of {name}, "
            f"got {len(values[row])}"
        )


def _as_cell(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, got {type(value).__name__}")
    if not value or any(character.isspace() for character in value):
        raise ValueError(f"{name}: expected a cell without white space, got {value!r}")
    return str(value)


def _as_columns(columns: Sequence[Any], layout: str | None) -> tuple[tuple[int, ...], str]:
    """Return indices, and the format that the names are of: "" where there are only indices."""
    if not columns:
        raise ValueError('columns: expected at least one, such as "form", "upos", got none')
    indices, layouts = [], set() if layout is None else {as_choice("layout", layout, ("conllu", "conll2003"))}
    for place, column in enumerate(columns):
        if not isinstance(column, str):
            indices.append(as_size(f"columns[{place}]", column, least=0))
        elif column in _CONLLU:
            indices.append(_CONLLU.index(column))
            layouts.add("conllu")
        elif column in _CONLL2003:
            indices.append(_CONLL2003.index(column))
            layouts.add("conll2003")
        else:
            raise ValueError(
                f"columns[{place}]: expected an index, or one of {', '.join(_CONLLU)} (CoNLL-U) or "
                f"{', '.join(_CONLL2003)} (CoNLL 2003), got {column!r}"
            )
    if len(layouts) > 1:
        raise ValueError(f"columns: expected CoNLL-U or CoNLL 2003, got both: {list(columns)}, {layout=}")
    return tuple(indices), next(iter(layouts), "")


def _parsed_lines(path: str | os.PathLike[str], last: int, layout: str, encoding: str) -> Iterator[_Line]:
    name, width, inside = source_name(path), 0, False
    for number, text in numbered_lines(path, encoding):
        if not text.strip():
            inside = False
            yield _Line(number, text, None, blank=True)
            continue
        if text.startswith("#") and layout != "conll2003" and (layout == "conllu" or not inside):
            yield _Line(number, text, None)
            continue
        fields = text.split("\t") if "\t" in text else text.split()
        if not layout:
            ten = "\t" in text and len(fields) == len(_CONLLU)
            layout = "conllu" if ten and re.match(r"[0-9]+([-.][0-9]+)?$", fields[0]) else "plain"
        if len(fields) <= last:
            raise ValueError(
                f"{name}, line {number}: expected at least {last + 1} columns, got {len(fields)}"
            )
        if layout != "conllu" and fields[0] == "-DOCSTART-":
            yield _Line(number, text, None)
            continue
        width = width or len(fields)
        if len(fields) != width:
            raise ValueError(
                f"{name}, line {number}: expected {width} columns, as in the lines before, got {len(fields)}"
            )
        inside = True
        if layout == "conllu" and not _WORD_ID.fullmatch(fields[0]):
            if not _OTHER_ID.fullmatch(fields[0]):
                raise ValueError(
                    f"{name}, line {number}: expected an id such as 1, 1-2 or 1.1 in the first column "
                    f"of CoNLL-U, got {fields[0]!r}"
                )
            yield _Line(number, text, None)
            continue
        yield _Line(number, text, fields)
