"""A trainer's state as a file: a safetensors file with parameters, moments and the position."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from fastrnn._files import read_regular
from fastrnn._plain import as_fields, as_mapping, as_text, printable
from fastrnn._version import __version__
from fastrnn.files.atomic_files import write_atomically
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.files.tensor_file import (
    FORMAT_VERSION,
    CheckpointError,
    check_kind,
    file_content,
    read_description,
    read_tensors,
)
from fastrnn.train.average import write_parameters
from fastrnn.train.resume import Training, restore_trainer
from fastrnn.train.training_state import TrainingState, arrays_under, check_arrays, check_values

__all__ = ["load_trainer", "save_trainer"]

_PARAMETERS, _TRAINING = "parameters.", "training."


def save_trainer(path: str | os.PathLike[str], trainer: Training, state: TrainingState) -> None:
    """See `Trainer.save`.

    The tensors are the parameters, under names that begin with ``parameters.``, and the training arrays,
    under names that begin with ``training.``. The header's metadata has one key, ``fastrnn``, whose value is
    JSON: ``format_version``, ``package_version``, ``kind`` ("Trainer") and ``training``.
    """
    description = {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "kind": "Trainer",
        "training": state.values,
    }
    tensors = {_PARAMETERS + name: array for name, array in trainer.model.state_dict().items()}
    tensors |= {_TRAINING + name: np.ascontiguousarray(array) for name, array in state.arrays.items()}
    write_atomically(path, file_content(tensors, json.dumps(description, allow_nan=False)))


def load_trainer(path: str | os.PathLike[str], trainer: Training) -> None:
    """See `Trainer.load`."""
    content = read_regular(path)
    try:
        description = read_description(content)
        check_kind(description, "Trainer")
        fields = {"training": as_mapping}
        values = as_fields("", description, fields, {"package_version": as_text}, unknown=True)["training"]
        tensors = read_tensors(content)
        parameters, arrays = (arrays_under(tensors, prefix) for prefix in (_PARAMETERS, _TRAINING))
        check_arrays(arrays)
        _restore(trainer, parameters, TrainingState(check_values(values), arrays))
    except (ValueError, TypeError, MemoryError) as error:
        raise CheckpointError(f"{os.fspath(path)}: {printable(str(error))}") from error


def _restore(trainer: Training, parameters: dict[str, Any], state: TrainingState) -> None:
    """Set the parameters and the state, or neither."""
    before = trainer.model.parameters.flat.copy()
    with defer_interrupts():
        trainer.model.load_state_dict(parameters)
        try:
            restore_trainer(trainer, state)
        except BaseException:
            write_parameters(trainer.model, before)
            raise
