"""The log of a training run: a JSON object for each step, each step once, and one for each warning."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fastrnn.files.atomic_files import name_file_in_errors, write_atomically
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.train import Record

__all__ = ["TrainingLog"]


class TrainingLog:
    """A file with one line for each step of a training, and one more, with a ``kind``, for each warning.

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
        lines = "".join(json.dumps(one) + "\n" for one in [{**values, **first}, *warnings])
        with defer_interrupts(), name_file_in_errors(self.path):
            if self._resumed_at is not None and not self._begun:
                rewind(self.path, self._resumed_at)
            new = self._resumed_at is None and not self._begun
            with self.path.open("w" if new else "a", encoding="utf-8") as file:
                file.write(lines)
            self._begun = True


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
