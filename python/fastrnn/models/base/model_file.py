"""Fitted models as files: a safetensors file with the parameters, the settings and what was learned."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn._files import read_regular
from fastrnn._memory import limited_memory
from fastrnn._plain import as_fields, as_list, as_mapping, as_text, optional, printable
from fastrnn._version import __version__
from fastrnn.files.atomic_files import write_atomically
from fastrnn.files.tensor_file import (
    CheckpointError,
    check_kind,
    file_content,
    read_description,
    read_parameters,
    version_fields,
)
from fastrnn.layers.base.quantization import quantized_form, restore_quantized
from fastrnn.layers.description import plain_value

__all__ = ["FURTHER", "SavedModel", "kind_of_file", "read_model", "source_of_file", "write_model"]

# Modules within modules check their memory each; a file of this size may claim so many times its bytes, and
# these bytes more.
_NESTING, _SLACK = 8, 1 << 20


#: How names of tensors begin that are not the network's parameters.
FURTHER = "further."


class SavedModel(Protocol):
    """What a file needs of a model: the base class of all models with ``fit`` has it."""

    network_: Any
    history_: dict[str, list[float]]
    n_iter_: int

    def __init__(self, **settings: Any) -> None: ...
    @classmethod
    def _parameter_names(cls) -> list[str]: ...
    def _settings(self) -> Any: ...
    def _settings_of_file(self) -> dict[str, Any]: ...
    def _learned(self) -> dict[str, Any]: ...
    def _restore(self, values: Mapping[str, Any]) -> None: ...
    def _tensors(self) -> dict[str, NDArray[Any]]: ...
    def _restore_tensors(self, tensors: dict[str, NDArray[Any]]) -> None: ...
    def _new_network(self, rng: np.random.Generator) -> Any: ...
    def _blank(self: ModelT) -> ModelT: ...
    def _adopt(self: ModelT, fitted: ModelT) -> None: ...


ModelT = TypeVar("ModelT", bound=SavedModel)


def write_model(
    path: str | os.PathLike[str], model: SavedModel, source: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted model atomically.

    The tensors are the network's parameters, and what else the model keeps as arrays, under names that begin
    with ``further.``. The header's metadata has one key, ``fastrnn``, whose value is
    JSON: ``format_version``, ``quantized`` if it is, ``package_version``, ``kind`` (the class), ``settings``,
    ``learned`` and ``history``; and ``source``, where it is given: what a program remembers of the data, as
    plain values.
    """
    form = quantized_form(model.network_)
    given = model._settings_of_file()
    settings = {name: plain_value(value) for name, value in given.items()}
    if "cell_options" in given:
        settings["cell_options"] = _plain_mapping(given["cell_options"])
    settings["dtype"] = np.dtype(given["dtype"]).name
    if not isinstance(settings["random_state"], int):
        settings["random_state"] = None
    if settings.get("precision") == "float32":
        del settings["precision"]  # files of models without it stay readable by older versions
    if "initialize" in given:
        settings["initialize"] = None  # a function; the file has the parameters themselves
    description = {
        **version_fields(form),
        "package_version": __version__,
        "kind": type(model).__name__,
        "settings": settings,
        "learned": model._learned(),
        "history": {name: list(map(_finite, values)) for name, values in model.history_.items()},
    }
    if source is not None:
        description["source"] = dict(source)
    tensors = {**model.network_.state_dict(), **model._tensors()}
    write_atomically(path, file_content(tensors, json.dumps(description, allow_nan=False), form))


def read_model(path: str | os.PathLike[str], kind: type[ModelT]) -> ModelT:
    """Read a model of a class.

    Raises
    ------
    CheckpointError
        If the file is damaged or holds something else; the message names it.
    """
    content = read_regular(path)
    try:
        return _parse(content, kind)
    except (ValueError, TypeError, MemoryError) as error:
        raise CheckpointError(f"{os.fspath(path)}: {printable(str(error))}") from error


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """Return the class of the model in a file; "LanguageModel" for a checkpoint of ``fastrnn train``.

    Raises
    ------
    CheckpointError
        If the file is damaged or holds no model.
    """
    try:
        return str(read_description(read_regular(path)).get("kind", "LanguageModel"))
    except ValueError as error:
        raise CheckpointError(f"{os.fspath(path)}: {printable(str(error))}") from error


def source_of_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a program remembered of the data in a model's file; nothing if none did.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    try:
        return as_mapping("source", read_description(read_regular(path)).get("source", {}))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{os.fspath(path)}: {printable(str(error))}") from error


def _parse(content: bytes, kind: type[ModelT]) -> ModelT:
    description = read_description(content)
    check_kind(description, kind.__name__)
    fields = as_fields(
        "", description, {"settings": as_mapping, "learned": as_mapping, "history": _as_history},
        {"package_version": as_text}, unknown=True,
    )  # fmt: skip
    unknown = fields["settings"].keys() - set(kind._parameter_names())
    if unknown:
        raise ValueError(f"settings: unknown {', '.join(sorted(map(str, unknown)))}")
    model = kind(**fields["settings"])
    model._settings()
    model._restore(fields["learned"])
    tensors, form = read_parameters(content, description)
    size = sum(array.nbytes for array in tensors.values())
    with limited_memory(_NESTING * size + _SLACK):
        network = model._new_network(np.random.default_rng(0))
    own = {name: array for name, array in tensors.items() if not name.startswith(FURTHER)}
    network.load_state_dict(own)
    restore_quantized(network, form)
    model.network_ = network
    model._restore_tensors({name: array for name, array in tensors.items() if name not in own})
    model.history_ = fields["history"]
    model.n_iter_ = len(model.history_.get("loss", []))
    result = model._blank()
    result._adopt(model)
    return result


def _as_history(name: str, value: Any) -> dict[str, list[float]]:
    history = {}
    for key, values in as_mapping(name, value).items():
        numbers = as_list(f"{name}.{key}", values, optional(as_number))
        history[key] = [float("nan") if number is None else number for number in numbers]
    return history


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _plain_mapping(options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if options is None else {name: plain_value(value) for name, value in options.items()}
