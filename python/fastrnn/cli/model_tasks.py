"""The tasks of ``fastrnn fit`` and ``predict``: which model each trains, and how it reads cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import fastrnn.models
from fastrnn._checks import as_choice, as_size
from fastrnn._plain import Check, as_fields, as_list, as_text, printable
from fastrnn.cli.data_files import DataFile
from fastrnn.cli.sequence_cells import X_READINGS, Y_READINGS, read_cells, read_sounds
from fastrnn.train import CheckpointError

__all__ = ["TASKS", "Columns", "ModelTask", "find_columns", "read_inputs", "read_targets", "task_of_kind"]


@dataclass(frozen=True)
class ModelTask:
    """A task: a name on the command line, and a model.

    Attributes
    ----------
    name : str
    kind : str
        The model's class in `fastrnn.models`.
    summary : str
        A sentence of the help.
    x_as, y_as : str
        How cells are read by default; see `sequence_cells`.
    measure : str
        What the model's ``score`` is.
    needs_x : bool
        Whether there must be sequences to read.
    proba : bool
        Whether ``predict_proba`` has columns for ``classes_``.
    by_loss : bool
        Whether training scores held-out data by its loss, not by the measure.
    series : bool
        Whether the rows of a file are the steps of one series, which `predict` goes on with.
    """

    name: str
    kind: str
    summary: str
    x_as: str
    y_as: str
    measure: str
    needs_x: bool = True
    proba: bool = False
    by_loss: bool = False
    series: bool = False

    @property
    def model(self) -> Any:
        """The class."""
        return getattr(fastrnn.models, self.kind)


_ALL = (
    ModelTask(
        "classify", "SequenceClassifier", "a class, or several labels, for each sequence",
        x_as="text", y_as="label", measure="accuracy", proba=True,
    ),
    ModelTask(
        "regress", "SequenceRegressor", "a number, or several, for each sequence",
        x_as="text", y_as="number", measure="R2",
    ),
    ModelTask(
        "tag", "SequenceTagger", "a tag for each word of each sentence",
        x_as="words", y_as="words", measure="accuracy", proba=True,
    ),
    ModelTask(
        "translate", "Seq2Seq", "another sequence for each sequence",
        x_as="text", y_as="text", measure="fraction exactly right",
    ),
    ModelTask(
        "transcribe", "Transcriber", "the text in each recording, a WAV file",
        x_as="sound", y_as="text", measure="fraction exactly right",
    ),
    ModelTask(
        "generate", "SequenceGenerator", "new sequences like those of --y, from nothing or the class --x",
        x_as="label", y_as="text", measure="negative nats a step", needs_x=False, by_loss=True,
    ),
    ModelTask(
        "forecast", "Forecaster", "the steps after a series, whose steps are the rows",
        x_as="numbers", y_as="number", measure="R2 one step ahead", needs_x=False, by_loss=True,
        series=True,
    ),
)  # fmt: skip

#: The tasks whose model there is, by name.
TASKS = {task.name: task for task in _ALL if hasattr(fastrnn.models, task.kind)}


def task_of_kind(path: str, kind: str) -> ModelTask:
    """Return the task of a model's class.

    Raises
    ------
    ValueError
        If it is of another command, or of a newer version.
    """
    for task in TASKS.values():
        if task.kind == kind:
            return task
    hint = (
        "write fastrnn sample, eval, score or next"
        if kind == "LanguageModel"
        else "it is not of this version"
    )
    raise ValueError(f"{path}: expected a model of fastrnn fit, got a {kind}; {hint}")


class Columns(NamedTuple):
    """The columns that a model was trained on, and how they are read; its file remembers them."""

    x: str | None
    y: tuple[str, ...]
    x_as: str
    y_as: str
    rate: int | None = None  # samples a second, of sound

    @classmethod
    def of_file(cls, path: str, source: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a model's file says of its columns, checked: a stranger may have written it.

        Raises
        ------
        CheckpointError
            If a value is of another kind.
        """
        checks: dict[str, Check] = {
            "x": as_text,
            "y": lambda name, value: as_list(name, value, as_text),
            "x_as": lambda name, value: as_choice(name, value, X_READINGS),
            "y_as": lambda name, value: as_choice(name, value, Y_READINGS),
            "rate": as_size,
        }
        try:
            return as_fields("source", source, {}, checks)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{path}: {printable(str(error))}") from error

    def to_plain(self) -> dict[str, Any]:
        """Return plain values for a file."""
        plain = {**self._asdict(), "y": list(self.y)}
        return {name: value for name, value in plain.items() if value is not None}


def find_columns(
    task: ModelTask, file: DataFile, x: str | None, y: Sequence[str], x_as: str | None, y_as: str | None
) -> Columns:
    """Return the columns to train on: those given, else those that the file leaves no choice of.

    Raises
    ------
    ValueError
        If one is not given where the file has several.
    """
    if file.format == "conll" and file.path.lower().endswith(".conllu"):
        x, y = x or "form", tuple(y) or ("upos",)
    elif file.format == "conll":
        x = x or "0"
    elif not task.needs_x:
        y = tuple(y) or tuple(name for name in file.names if name != x) * (len(file.names) == 1 + bool(x))
    elif len(file.names) == 2 and not (x and y):
        x = x or next((name for name in file.names if name not in y), None)
        y = tuple(y) or tuple(name for name in file.names[::-1] if name != x)[:1]
    for option, value in (("--x", x), ("--y", y)):
        if not value and (option == "--y" or task.needs_x):
            of = ", ".join(map(repr, file.names)) or "word, pos, chunk, ner, or 0, 1, 2 ..."
            raise ValueError(f"{option}: name the column of {file.name} to use, one of {of}")
    if len(set(y)) < len(y):
        raise ValueError(f"--y: expected different columns, got {', '.join(y)}")
    if len(y) > 1 and task.y_as != "number":
        raise ValueError(f"--y: expected one column for {task.name}, got {len(y)}")
    return Columns(x, tuple(y), x_as or task.x_as, y_as or task.y_as)


def read_inputs(files: Sequence[DataFile], columns: Columns) -> tuple[list[Any] | None, int | None]:
    """Return the sequences of files, one after the other, and of sound its rate; None without a column."""
    if columns.x is None:
        return None, None
    X: list[Any] = []
    rate = columns.rate
    for file in files:
        place, cells = f"{file.name}, column {columns.x!r}", file.column("--x", columns.x)
        if columns.x_as == "sound":
            own, rate = read_sounds(place, cells, file.folder, rate)
            X += own
        else:
            X += read_cells(place, cells, columns.x_as, file.folder)
    return X, rate


def read_targets(files: Sequence[DataFile], columns: Columns) -> list[Any]:
    """Return the targets of files, one after the other; of several columns, a list for each row."""
    parts: list[list[Any]] = []
    for name in columns.y:
        cells: list[Any] = []
        for file in files:
            place = f"{file.name}, column {name!r}"
            cells += read_cells(place, file.column("--y", name), columns.y_as, file.folder)
        parts.append(cells)
    return parts[0] if len(parts) == 1 else [list(row) for row in zip(*parts, strict=True)]
