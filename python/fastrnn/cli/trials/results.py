"""The results of a sweep: a folder with a copy of its file and a line of JSON for each trial that ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from fastrnn._files import read_regular
from fastrnn.cli.command_line import command_line, typed_again
from fastrnn.cli.trials.sweep_file import read_sweep
from fastrnn.cli.trials.sweep_plan import Sweep
from fastrnn.cli.trials.trial import Measure, Result
from fastrnn.files.atomic_files import name_file_in_errors, write_atomically
from fastrnn.files.interrupts import defer_interrupts

__all__ = ["ResultFolder", "best_first"]


class ResultFolder:
    """The folder of a sweep.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self.file: Path = self.path / "sweep.toml"
        self.results: Path = self.path / "results.jsonl"

    def check_new(self, file: str) -> None:
        """Check that the folder is empty, or does not exist yet.

        Raises
        ------
        ValueError
            If there is something in it; the message has the line that continues a sweep.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"--out: {self.path}: is a file; expected a folder, with --out FOLDER")
        if self.file.exists():
            raise ValueError(
                f"--out: {self.path}: has the trials of a sweep; to run those that are missing, type: "
                f"{typed_again('--resume')}; for a new sweep, type: "
                f"{command_line('sweep', file, '--out', f'{self.path}-2')}"
            )
        # That of a sweep that was killed before it wrote anything.
        left = f".{self.results.name}.lock"
        if self.path.is_dir() and any(entry.name != left for entry in self.path.iterdir()):
            raise ValueError(f"--out: {self.path}: expected a new or an empty folder; it has other files")

    def check_same(self, sweep: Sweep) -> None:
        """Check that the folder is that of this sweep; the number of random trials may have changed.

        Raises
        ------
        ValueError
            If it is that of another sweep, or of none.
        """
        if not self.file.exists():
            raise ValueError(f"--resume: {self.path}: has no sweep to resume; leave out --resume")
        before = read_sweep(str(self.file))
        tables = {"[command]": ("command", "fixed"), "[grid]": ("grid",), "[random]": ("random", "seed")}
        for table, names in tables.items():
            if any(getattr(before, name) != getattr(sweep, name) for name in names):
                again = command_line("sweep", str(self.file), "--out", str(self.path), "--resume")
                raise ValueError(
                    f"--resume: {table} differs from that of the sweep in {self.path}; "
                    f"for a new sweep give another --out; to continue that one, type: {again}"
                )

    def copy(self, file: str) -> None:
        """Copy the file of the sweep into the folder.

        Raises
        ------
        OSError
            If that fails.
        """
        write_atomically(self.file, read_regular(file))

    def read(self) -> dict[int, Result]:
        """Return the last result of each trial, by number; a last line that a kill cut off is removed.

        Raises
        ------
        ValueError
            If a line is not one of a sweep.
        OSError
            If the file cannot be read, or repaired.
        """
        if not self.results.exists():
            return {}
        lines = read_regular(str(self.results)).splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
            os.truncate(self.results, sum(map(len, lines)))
        found = {}
        for number, line in enumerate(lines, start=1):
            try:
                result = Result(**json.loads(line))
            except (ValueError, TypeError):
                raise ValueError(f"{self.results}, line {number}: expected the result of a trial") from None
            found[result.trial] = result
        return found

    def append(self, result: Result) -> None:
        """Append a line for a trial, whole and synced before this returns.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        line = json.dumps(result.to_json()) + "\n"
        with defer_interrupts(), name_file_in_errors(self.results), self.results.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


def best_first(results: Iterable[Result], measure: Measure) -> list[Result]:
    """Return results with the best first, of equal ones the earlier trial, and failed trials last."""
    sign = 1.0 if measure.is_loss else -1.0
    return sorted(results, key=lambda one: (one.score is None, sign * (one.score or 0.0), one.trial))
