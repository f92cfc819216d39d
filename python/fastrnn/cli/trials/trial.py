"""A trial: its options, its folder, the command lines that train it, and its result."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastrnn.cli.model_tasks import TASKS
from fastrnn.cli.saved_config import config_path, write_config
from fastrnn.cli.trials.sweep_plan import Sweep
from fastrnn.files.output_lock import hold_output

__all__ = ["Measure", "Result", "Trial", "measure_of", "trials_of"]


@dataclass(frozen=True)
class Measure:
    """By what trials are compared.

    Attributes
    ----------
    name : str
    is_loss : bool
        Whether the lowest is the best.
    """

    name: str
    is_loss: bool


@dataclass(frozen=True)
class Result:
    """What came of a trial; one line of results.jsonl.

    Attributes
    ----------
    trial : int
    score : float or None
        The lowest validation loss of ``train``, the validation score of the model of ``fit``; None if the
        trial failed.
    options : dict
        Those that were tried.
    model : str or None
        The file of the best model.
    parameters : int or None
    seconds : float
        Of the whole trial.
    failure : str or None
        Why it failed.
    interrupted : bool
        Whether it was stopped; then it has no result, and nothing is recorded.
    """

    trial: int
    options: dict[str, Any]
    score: float | None = None
    model: str | None = None
    parameters: int | None = None
    seconds: float = 0.0
    failure: str | None = None
    interrupted: bool = field(default=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        values = asdict(self)
        del values["interrupted"]
        return values


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes
    ----------
    number : int
        From 1.
    command : str
        "train", or "fit" and a task.
    options : dict
        All of them, by name.
    tried : dict
        Those that were tried.
    folder : Path
        Its own.
    """

    number: int
    command: str
    options: dict[str, Any]
    tried: dict[str, Any]
    folder: Path

    @property
    def model(self) -> Path:
        """The file that the command saves to."""
        return self.folder / "model.safetensors"

    def command_lines(self, threads: int) -> list[list[str]]:
        """Return the arguments that train it: to go on where it was stopped, if it was, and from the start.

        A resumed training has the bits of one that was never stopped.
        """
        shared = ["--json", "--threads", str(threads)]
        config = ["--config", str(config_path(self.model)), "--out", str(self.model), "--overwrite"]
        lines = [[*self.command.split(), *config, *shared]]
        if self.command == "train" and self.model.exists():
            lines.insert(0, ["train", "--resume", str(self.model), *shared])
        return lines

    def check_free(self) -> None:
        """Check that no process of a sweep that was killed is still saving.

        Raises
        ------
        InUseError
            If one is; the message says which.
        """
        if self.folder.exists():
            with hold_output(self.model):
                pass

    def prepare(self) -> None:
        """Make the folder, and write the options where ``--config`` reads them.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        write_config(config_path(self.model), f"fastrnn {self.command}", self.options)

    def result(self, summary: dict[str, Any], seconds: float) -> Result:
        """Return the result from the object that the command printed."""
        if self.command == "train":
            score, model = summary["best_valid_loss"], summary["best_model"]
        else:
            scores = summary["history"]["validation_score"]
            score = max(scores) if self.options.get("early-stopping") else scores[-1]
            model = summary["out"]
        if score is None or not math.isfinite(score):
            failure = f"no finite {measure_of(self.command).name}, got {score}"
            return Result(self.number, self.tried, seconds=seconds, failure=failure)
        return Result(self.number, self.tried, score, model, summary["parameters"], seconds)


def trials_of(sweep: Sweep, folder: Path) -> list[Trial]:
    """Return the trials of a sweep, in order."""
    quiet = {"sample-every": 0} if sweep.command == "train" else {}
    return [
        Trial(number, sweep.command, {**quiet, **sweep.fixed, **tried}, tried, folder / f"trial-{number:04}")
        for number, tried in enumerate(sweep, start=1)
    ]


def measure_of(command: str) -> Measure:
    """Return by what the trials of a command are compared."""
    if command == "train":
        return Measure("validation loss", is_loss=True)
    return Measure(TASKS[command.split()[1]].measure, is_loss=False)
