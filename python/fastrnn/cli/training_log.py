"""The log of a training run: a JSON object for each step, each step once, and one for each warning."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from fastrnn.files.atomic_files import name_file_in_errors, write_atomically
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.train import Record

__all__ = ["TrainingLog", "read_log"]


class TrainingLog:
    """A file with one line for each step of a training, and one more, with a ``kind``, for each warning.

    The line of a step also has the ``seconds`` since the training began; a resumed training goes on counting.

    Parameters
    ----------
    path : path
    resumed_at : int, optional
        Steps of the checkpoint from which training resumes. The log may have more, of a process that was
        killed after it saved: the first new record replaces them. None: the first record replaces the log.
    settings : dict, optional
        The settings of the training, which its first record here holds as ``settings``: a resumed training
        takes the paths in its checkpoint only if they are these.
    """

    path: Path

    def __init__(
        self, path: Path, resumed_at: int | None = None, settings: dict[str, Any] | None = None
    ) -> None:
        self.path, self._resumed_at, self._begun = path, resumed_at, False
        self._settings = settings
        self._seconds = 0.0 if resumed_at is None else _last_seconds(path, resumed_at)
        self._started = time.monotonic()

    def write(self, record: Record) -> None:
        """Append the record of a step, and then its warnings.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        first = {} if self._begun or self._settings is None else {"settings": self._settings}
        values = record.to_json()
        warnings = values.pop("warnings", [])
        values["seconds"] = round(self._seconds + time.monotonic() - self._started, 3)
        lines = "".join(json.dumps(one) + "\n" for one in [{**values, **first}, *warnings])
        with defer_interrupts(), name_file_in_errors(self.path):
            if self._resumed_at is not None and not self._begun:
                rewind(self.path, self._resumed_at)
            new = self._resumed_at is None and not self._begun
            with self.path.open("w" if new else "a", encoding="utf-8") as file:
                file.write(lines)
            self._begun = True


def read_log(path: str) -> list[dict[str, Any]]:
    """Return the records of the steps in a log, or of the epochs in what ``fastrnn fit --json`` printed.

    A last line that a kill cut off is left out, and so are lines of warnings.

    Raises
    ------
    ValueError
        If the file is neither of them.
    OSError
        If it cannot be read.
    """
    with name_file_in_errors(path):
        lines = Path(path).read_bytes().splitlines(keepends=True)
    try:
        values = [json.loads(line) for line in lines if line.endswith(b"\n") and line.strip()]
    except ValueError:
        values = []
    objects = [value for value in values if isinstance(value, dict)]
    if len(objects) == 1 and isinstance(objects[0].get("history"), dict):
        return _epochs(objects[0]["history"])
    records = [value for value in objects if "step" in value and "loss" in value and "kind" not in value]
    if not records or "log" in records[0]:  # the summary of a training has both, and the name of its log
        raise ValueError(f"{path}: {_instead_of(path, objects)}")
    return records


def _epochs(history: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a record for each epoch of a fitted model's history."""
    names = {"loss": "loss", "valid_loss": "validation_loss", "learning_rate": "learning_rate"}
    columns = {name: history[old] for name, old in names.items() if isinstance(history.get(old), list)}
    count = len(columns.get("loss", []))
    return [
        {"epoch": epoch + 1, **{name: own[epoch] for name, own in columns.items() if len(own) == count}}
        for epoch in range(count)
    ]


def _instead_of(path: str, objects: list[dict[str, Any]]) -> str:
    """Return what was expected in place of a file, with the log that belongs to it if there is one."""
    named = objects[0].get("log") if objects else None
    beside = Path(path).with_suffix(".jsonl")
    best = beside.with_name(beside.name.removesuffix(".best.jsonl") + ".jsonl")
    found = named if isinstance(named, str) else next((str(p) for p in (beside, best) if p.exists()), None)
    hint = f"; its log is {found}" if found is not None and found != path else ""
    return f"expected the log of a training, which fastrnn train writes as NAME.jsonl{hint}"


def _last_seconds(path: Path, step: int) -> float:
    """Return the seconds in the last record of a log up to a step; 0 if there are none."""
    try:
        records = read_log(str(path))
    except (ValueError, OSError):
        return 0.0
    known = [one.get("seconds") for one in records if one["step"] <= step] if "step" in records[0] else []
    return next((float(one) for one in reversed(known) if isinstance(one, (int, float))), 0.0)


def rewind(path: Path, step: int) -> None:
    """Remove the records after a step from a log, atomically, and a line that a kill cut off.

    Of several records of one step, which earlier versions wrote, the last is kept.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    kept: dict[tuple[str, int], bytes] = {}  # by kind and step, or number of the line
    for number, line in enumerate(content.splitlines(keepends=True)):
        kind, found = _kind_and_step(line)
        if not line.endswith(b"\n"):
            continue
        if found is None:  # not ours: kept as it is
            kept["line", number] = line
        elif found <= step:
            kept[kind, found] = line
    new = b"".join(kept.values())
    if content.startswith(new):
        os.truncate(path, len(new))  # the same file, for those who follow it
    else:
        write_atomically(path, new)


def _kind_and_step(line: bytes) -> tuple[str, int | None]:
    """Return what kind of record a line holds, and of which step; None if it holds none."""
    try:
        record = json.loads(line)
        step, kind = record["step"], f"{record.get('kind', 'step')} {record.get('about', '')}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", None
    return kind, step if isinstance(step, int) else None
