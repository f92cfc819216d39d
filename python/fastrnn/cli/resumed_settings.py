"""The settings of a resumed training: paths and limits in its file count only where they are confirmed."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from fastrnn._files import open_regular
from fastrnn._plain import as_text, printable
from fastrnn.cli.output_files import OutputFiles
from fastrnn.cli.settings import TrainingSettings
from fastrnn.train import Checkpoint, CheckpointError

__all__ = ["resumed_settings", "saved_settings"]

# Settings that make the program read, write or work without end where a file says.
_CONFIRMED = ("files", "valid", "tensorboard", "accumulate")
_LONGEST_LINE = 1 << 20  # bytes of a log's line that are looked at


def saved_settings(checkpoint: Checkpoint) -> TrainingSettings:
    """Return the settings in a checkpoint, each of its kind and in its range.

    Raises
    ------
    CheckpointError
        If the checkpoint does not hold a training of this program.
    """
    if checkpoint.model.quantized:
        raise CheckpointError("is quantized, for inference; resume the training that it was made of")
    if checkpoint.training is None or "settings" not in checkpoint.training.values:
        raise CheckpointError(
            "holds a model without its training; resume from the file that `fastrnn train --out` named"
        )
    try:
        as_text("text", checkpoint.training.values.get("text"))
        return TrainingSettings.from_json(checkpoint.training.values["settings"])
    except (ValueError, TypeError) as error:
        raise CheckpointError(printable(f"training.{error}")) from error


def resumed_settings(resume: str, checkpoint: Checkpoint, given: dict[str, Any]) -> TrainingSettings:
    """Return the settings of the training in a checkpoint, updated with those the user gives now.

    A stranger's file must not choose what is read and written here. So its paths, and its number of batches
    per step, are taken from the command line, or are those of the log beside it, which the training wrote
    when it began.

    Parameters
    ----------
    resume : str
        The path of the checkpoint.
    checkpoint : Checkpoint
    given : dict
        The settings on the command line.

    Raises
    ------
    CheckpointError
        If the checkpoint does not hold a training of this program.
    ValueError
        If a given setting cannot change, or one that the file names is neither given nor confirmed.
    """
    saved, log = saved_settings(checkpoint), OutputFiles(resume).log
    usual = {field.name: field.default for field in fields(TrainingSettings)}
    named = [name for name in _CONFIRMED if getattr(saved, name) != usual[name] and name not in given]
    if named and not _confirms(log, saved):
        words = " ".join(part for name in named for part in _as_arguments(name, getattr(saved, name)))
        raise ValueError(
            f"{resume}: {', '.join(named)}: named in the file, but not confirmed by a log of the training "
            f"beside it ({log}); if they are yours, repeat them: "
            + printable(f"fastrnn train --resume {shlex.quote(resume)} {words}")
        )
    return saved.changed(given)


def _as_arguments(name: str, value: Any) -> list[str]:
    if name == "files":
        return [shlex.quote(path) for path in value]
    return [f"--{name}", shlex.quote(str(value))]


def _confirms(log: Path, saved: TrainingSettings) -> bool:
    """Return whether a line of a log holds the same paths and limits."""
    wanted = _confirmed_part(json.loads(json.dumps(saved.to_json())))
    try:
        with open_regular(log) as file:
            while line := file.readline(_LONGEST_LINE):
                if b'"settings"' in line and _confirmed_part(_settings_of(line)) == wanted:
                    return True
    except OSError:
        pass
    return False


def _settings_of(line: bytes) -> dict[str, Any]:
    try:
        settings = json.loads(line)["settings"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _confirmed_part(settings: dict[str, Any]) -> list[Any]:
    return [settings.get(name) for name in _CONFIRMED]
