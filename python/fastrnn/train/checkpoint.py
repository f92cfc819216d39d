"""Checkpoints: one safetensors file with a model, its vocabulary and, for resuming, its training state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size
from fastrnn._files import read_regular
from fastrnn._plain import Check, as_fields, as_mapping, as_text, optional, printable
from fastrnn._version import __version__
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.files.atomic_files import write_atomically
from fastrnn.files.tensor_file import (
    FORMAT_VERSION,
    CheckpointError,
    check_kind,
    file_content,
    header_text,
    read_description,
    read_parameters,
    version_fields,
)
from fastrnn.language import LanguageModel
from fastrnn.language.settings import Settings
from fastrnn.language.vocabulary_match import check_vocabulary
from fastrnn.layers.base.quantization import quantized_form, restore_quantized
from fastrnn.layers.description import count_layers
from fastrnn.train.training_state import TrainingState, check_arrays, check_values

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "CheckpointError",
    "describe_checkpoint",
    "load_checkpoint",
    "parse_checkpoint",
    "save_checkpoint",
]

_TRAINING = "training."


# The fields of the description in a header.
_REQUIRED: dict[str, Check] = {"model": as_mapping, "vocabulary": as_mapping}
_OPTIONAL: dict[str, Check] = {"package_version": as_text, "training": optional(as_mapping)}


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
    ``training``. Of a quantized model (`fastrnn.quantize`) the weights are stored in its precision, as BF16,
    or as I8 with a scale for each row, ``NAME.scale``, and ``quantized`` says so.

    Parameters
    ----------
    path : path
    model : LanguageModel
    vocabulary : Vocabulary
    training : TrainingState, optional
        From `Trainer.state`; without it the file is smaller and training cannot be resumed.

    Raises
    ------
    ValueError
        If the vocabulary is not that of the model (another number of symbols, another end or start), or is
        too large for a file's header.
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
    tensors, description = describe_checkpoint(model, vocabulary, training)
    write_atomically(path, file_content(tensors, header_text(description), quantized_form(model)))


def describe_checkpoint(
    model: LanguageModel, vocabulary: Vocabulary, training: TrainingState | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the tensors of a checkpoint, and the description in its header.

    Raises
    ------
    ValueError
        If the vocabulary does not fit the model.
    """
    check_vocabulary(model, vocabulary)
    description = {
        **version_fields(quantized_form(model)),
        "package_version": __version__,
        "model": model.config,
        "vocabulary": vocabulary.to_json(),
        "training": None if training is None else training.values,
    }
    tensors = dict(model.state_dict())
    if training is not None:
        tensors |= {_TRAINING + name: np.ascontiguousarray(array) for name, array in training.arrays.items()}
    return tensors, description


def load_checkpoint(
    path: str | os.PathLike[str], *, tokenizer: Any = None, allow_nonfinite: bool = False
) -> Checkpoint:
    """Load a checkpoint; the whole file is validated before the model is created.

    Parameters
    ----------
    path : path
    tokenizer : callable, optional
        Required if the vocabulary's tokeniser is a custom function, which a file cannot hold.
    allow_nonfinite : bool, default False
        Load parameters that are NaN or infinite too, to look at them.

    Returns
    -------
    checkpoint : Checkpoint

    Raises
    ------
    CheckpointError
        If the file is truncated, damaged or not of this format, its tensors do not match its model, or a
        parameter is not finite.
    OSError
        If the file cannot be read, or is not a regular file.
    ImportError
        If its tokeniser needs the package ``tokenizers``, which is not installed.
    """
    content = read_regular(path)
    try:
        return parse_checkpoint(content, tokenizer=tokenizer, allow_nonfinite=allow_nonfinite)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error.__cause__


def parse_checkpoint(content: bytes, *, tokenizer: Any = None, allow_nonfinite: bool = False) -> Checkpoint:
    """Return the checkpoint in the bytes of a file.

    Parameters
    ----------
    content : bytes
    tokenizer, allow_nonfinite
        As for `load_checkpoint`.

    Raises
    ------
    CheckpointError, ImportError
        As `load_checkpoint`.
    """
    try:
        return _parse(content, tokenizer, allow_nonfinite)
    except (ValueError, TypeError, MemoryError) as error:
        raise CheckpointError(printable(str(error))) from error


def _parse(content: bytes, tokenizer: Any, allow_nonfinite: bool) -> Checkpoint:
    described = read_description(content)
    check_kind(described, "LanguageModel")
    description = as_fields("", described, _REQUIRED, _OPTIONAL, unknown=True)
    tensors, form = read_parameters(content, described)
    training = description.get("training")
    arrays = {name[len(_TRAINING) :]: array for name, array in tensors.items() if name.startswith(_TRAINING)}
    parameters = {name: array for name, array in tensors.items() if not name.startswith(_TRAINING)}
    state = None if training is None else TrainingState(check_values(training), arrays)
    vocabulary = Vocabulary.from_json(description["vocabulary"], tokenizer=tokenizer)
    settings = _checked_settings(description["model"], parameters)
    if len(vocabulary) != settings.vocabulary_size:
        raise ValueError(
            f"the vocabulary has {len(vocabulary)} symbols, the model {settings.vocabulary_size}"
        )
    if not allow_nonfinite:
        check_arrays(arrays)
    model = LanguageModel.from_config(settings._asdict())
    model.load_state_dict(parameters, allow_nonfinite=allow_nonfinite)
    restore_quantized(model, form)
    return Checkpoint(model, vocabulary, state, str(description.get("package_version")))


def _checked_settings(config: Mapping[str, Any], parameters: Mapping[str, NDArray[Any]]) -> Settings:
    """Return the settings of a model whose sizes match the tensors: no header can claim memory at will."""
    layers = sum(name.startswith("rnn.") and ".weight_ih_l" in name for name in parameters)
    described = config.get("rnn")
    wanted_layers = (
        as_size("num_layers", config.get("num_layers", Settings._field_defaults["num_layers"]))
        if described is None
        else count_layers(described)
    )
    if wanted_layers != layers:  # checked before all their shapes are listed
        raise ValueError(f"expected tensors for {wanted_layers} layers, got {layers}")
    settings = Settings.from_mapping(config)
    dtype = str(settings.dtype)
    expected = {name: f"{dtype} {list(shape)}" for name, shape in settings.shapes().items()}
    found = {name: f"{_read_as(array, dtype)} {list(array.shape)}" for name, array in parameters.items()}
    for name in sorted(expected.keys() | found.keys()):
        wanted, got = (tensors.get(name, "no such tensor") for tensors in (expected, found))
        if wanted != got:
            raise ValueError(f"{name}: expected {wanted}, got {got}")
    return settings


def _read_as(array: NDArray[Any], dtype: str) -> str:
    """Return the dtype that a tensor is read as: one of half the width is widened, which is exact."""
    return dtype if array.dtype.name in ("float16", "bfloat16") else array.dtype.name
