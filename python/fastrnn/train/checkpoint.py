"""Checkpoints: one safetensors file with a model, its vocabulary and, for resuming, its training state."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._version import __version__
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.layers.description import count_layers
from fastrnn.models import LanguageModel
from fastrnn.train.atomic_files import write_atomically
from fastrnn.train.training_state import TrainingState

__all__ = ["FORMAT_VERSION", "Checkpoint", "CheckpointError", "load_checkpoint", "save_checkpoint"]

FORMAT_VERSION = 1
_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself
_TRAINING = "training."


class CheckpointError(ValueError):
    """A file is not a usable checkpoint; the message names the file and the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint file.

    Attributes
    ----------
    model : LanguageModel
    vocabulary : Vocabulary
    training : TrainingState or None
        None if the file holds only a model.
    package_version : str
        The fastrnn version that wrote the file.
    """

    model: LanguageModel
    vocabulary: Vocabulary
    training: TrainingState | None
    package_version: str


def save_checkpoint(
    path: str | os.PathLike[str],
    model: LanguageModel,
    vocabulary: Vocabulary,
    training: TrainingState | None = None,
) -> None:
    """Write a checkpoint atomically: the file is always complete, the old one or the new one.

    The tensors are the model's parameters under their own names, which any safetensors reader can load, and
    the training arrays with the prefix ``training.``. The header's metadata has one key, ``fastrnn``, whose
    value is JSON: ``format_version``, ``package_version``, ``model`` (the configuration), ``vocabulary`` and
    ``training``.

    Parameters
    ----------
    path : path
    model : LanguageModel
    vocabulary : Vocabulary
    training : TrainingState, optional
        From `Trainer.state`; without it the file is smaller and training cannot be resumed.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file stays as it was.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastrnn as fr
    >>> vocabulary = fr.Vocabulary.from_text("ab")
    >>> model = fr.LanguageModel(2, hidden_size=4, num_layers=1, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.safetensors")
    ...     save_checkpoint(path, model, vocabulary)
    ...     load_checkpoint(path).vocabulary.symbols
    ('a', 'b')
    """
    # Imported here: training needs no safetensors, and `import fastrnn` must stay fast.
    from safetensors.numpy import save

    description = {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "model": model.config,
        "vocabulary": vocabulary.to_json(),
        "training": None if training is None else training.values,
    }
    tensors = dict(model.state_dict())
    if training is not None:
        tensors |= {_TRAINING + name: np.ascontiguousarray(array) for name, array in training.arrays.items()}
    write_atomically(path, save(tensors, {"fastrnn": json.dumps(description, allow_nan=False)}))


def load_checkpoint(path: str | os.PathLike[str], *, tokenizer: Any = None) -> Checkpoint:
    """Load a checkpoint; the whole file is validated before the model is created.

    Parameters
    ----------
    path : path
    tokenizer : callable, optional
        Required if the vocabulary's tokeniser is a custom function, which a file cannot hold.

    Returns
    -------
    checkpoint : Checkpoint

    Raises
    ------
    CheckpointError
        If the file is truncated, damaged or not of this format, or its tensors do not match its model.
    OSError
        If the file cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        return _parse(content, tokenizer)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error.__cause__


def _parse(content: bytes, tokenizer: Any) -> Checkpoint:
    description = _description(content)
    tensors = _tensors(content)
    training = description.get("training")
    arrays = {name[len(_TRAINING) :]: array for name, array in tensors.items() if name.startswith(_TRAINING)}
    parameters = {name: array for name, array in tensors.items() if not name.startswith(_TRAINING)}
    try:
        vocabulary = Vocabulary.from_json(description["vocabulary"], tokenizer=tokenizer)
        model = _model(description["model"], parameters)
        if len(vocabulary) != model.vocabulary_size:
            raise ValueError(
                f"the vocabulary has {len(vocabulary)} symbols, the model {model.vocabulary_size}"
            )
        state = None if training is None else TrainingState(dict(training), arrays)
    except (ValueError, TypeError, KeyError, MemoryError) as error:
        raise CheckpointError(f"model, vocabulary and tensors do not match: {error}") from error
    return Checkpoint(model, vocabulary, state, str(description.get("package_version")))


def _description(content: bytes) -> dict[str, Any]:
    """Return fastrnn's part of the header."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length < 2:
        raise CheckpointError("not a safetensors file: no header")
    if length > _LARGEST_HEADER:
        raise CheckpointError(f"not a safetensors file: a header of {length} bytes")
    if length > len(content) - 8:
        raise CheckpointError(f"truncated: a header of {length} bytes in a file of {len(content)}")
    try:
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        description = json.loads(metadata["fastrnn"])
        version = description["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError("not a fastrnn checkpoint: its header has no readable fastrnn part") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"format version {version!r}; this fastrnn {__version__} reads {FORMAT_VERSION}"
        )
    return dict(description)


def _tensors(content: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"truncated or damaged: {error}") from error


def _model(config: Mapping[str, Any], parameters: Mapping[str, NDArray[Any]]) -> LanguageModel:
    """Create the model, after checking its sizes against the tensors: no header can claim memory at will."""
    if not isinstance(config, Mapping):
        raise TypeError(f"model: expected a mapping, got {type(config).__name__}")
    layers = sum(name.startswith("rnn.") and ".weight_ih_l" in name for name in parameters)
    wanted_layers = count_layers(config.get("rnn") or config)
    if wanted_layers != layers:  # checked before all their shapes are listed
        raise ValueError(f"expected tensors for {wanted_layers} layers, got {layers}")
    shapes = LanguageModel.parameter_shapes(config)
    expected = {name: f"{config['dtype']} {list(shape)}" for name, shape in shapes.items()}
    found = {name: f"{array.dtype.name} {list(array.shape)}" for name, array in parameters.items()}
    for name in sorted(expected.keys() | found.keys()):
        wanted, got = (tensors.get(name, "no such tensor") for tensors in (expected, found))
        if wanted != got:
            raise ValueError(f"{name}: expected {wanted}, got {got}")
    model = LanguageModel.from_config(config)
    model.load_state_dict(parameters)
    return model
