"""Files of Keras: the model's description and its weights, from an archive or an HDF5 file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastrnn._plain import as_mapping, errors_of_library, parse_json
from fastrnn.interop.keras.hdf5_file import SIGNATURE, Group, read_hdf5

__all__ = ["ModelFile", "model_of", "texts_of"]

_MOST_MEMBERS = 10_000
_DEFLATED, _SLACK = 100, 65536  # times its bytes, and bytes more, that a compressed member may have
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


class ModelFile(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    config : dict or None
        The model's description, ``class_name`` and ``config``.
    version : str or None
        Of the Keras that wrote it.
    weights : Group
    legacy : bool
        Whether `weights` has a group for each layer by its name, with names of weights, as in .h5 files;
        else one for each layer by its class, with numbered weights.
    """

    config: dict[str, Any] | None
    version: str | None
    weights: Group
    legacy: bool


def model_of(content: bytes, config: Any) -> ModelFile:
    """Return what a file holds.

    Parameters
    ----------
    content : bytes
    config : str or mapping or None
        The model's description, which counts more than the file's.

    Raises
    ------
    ValueError, TypeError
        If it is no file of Keras, or damaged.
    """
    found = _archive(content) if content.startswith(b"PK") else _hdf5(content)
    if config is None:
        return found
    given = as_mapping("config", parse_json(config) if isinstance(config, (str, bytes)) else config)
    version = given.get("keras_version") or found.version or _version_of(given)
    return found._replace(config=given, version=version if isinstance(version, str) else None)


def _version_of(config: Mapping[str, Any]) -> str | None:
    """Return "2" or "3" if a description shows which; that of Keras 3 does not say."""
    own = config.get("config")
    layers = own.get("layers") if isinstance(own, Mapping) else own
    for layer in layers if isinstance(layers, list) else []:
        inner = layer.get("config") if isinstance(layer, Mapping) else None
        if isinstance(inner, Mapping):
            if "batch_shape" in inner or isinstance(inner.get("dtype"), Mapping):
                return "3"
            if "batch_input_shape" in inner:
                return "2"
    return None


def texts_of(group: Group, name: str) -> list[str] | None:
    """Return a list of texts, None if there is none; Keras divides a long one into several attributes."""
    parts = [group.attributes.get(name)]
    if parts[0] is None:
        parts = []
        while f"{name}{len(parts)}" in group.attributes:
            parts.append(group.attributes[f"{name}{len(parts)}"])
    if not parts:
        return None
    return [text for part in parts for text in ([part] if isinstance(part, str) else part or [])]


def _archive(content: bytes) -> ModelFile:
    if content.count(b"PK\x01\x02") > _MOST_MEMBERS:
        raise ValueError(f"expected at most {_MOST_MEMBERS} members")
    with errors_of_library("not a readable archive"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    if "config.json" not in names:
        others = ", ".join(names[:5])
        raise ValueError(f"is no model of Keras: an archive without config.json, with {others}")
    if "model.weights.json" in names:
        raise ValueError("has its weights in several files; save the model without max_shard_size")
    config = as_mapping("config.json", parse_json(_member(content, "config.json")))
    metadata: Any = parse_json(_member(content, "metadata.json")) if "metadata.json" in names else {}
    version = metadata.get("keras_version") if isinstance(metadata, Mapping) else None
    if "model.weights.h5" not in names:
        raise ValueError("has no weights: no model.weights.h5 in the archive")
    weights = read_hdf5(_member(content, "model.weights.h5"))
    return ModelFile(config, version if isinstance(version, str) else None, weights, legacy=False)


def _member(content: bytes, name: str) -> bytes:
    with errors_of_library(name), zipfile.ZipFile(io.BytesIO(content)) as archive:
        (entry,) = [entry for entry in archive.infolist() if entry.filename == name]
        most = _DEFLATED * min(entry.compress_size, len(content)) + _SLACK
        if entry.file_size > most:
            raise ValueError(f"claims {entry.file_size} bytes, compressed to {entry.compress_size}")
        return archive.read(entry)


def _hdf5(content: bytes) -> ModelFile:
    if not content.startswith(SIGNATURE):
        raise ValueError("is neither a .keras archive nor an HDF5 file")
    root = read_hdf5(content)
    version = root.attributes.get("keras_version")
    version = version if isinstance(version, str) else None
    config = root.attributes.get("model_config")
    if isinstance(config, str):
        if "model_weights" not in root.groups:
            raise ValueError("has no weights: no group model_weights")
        parsed = as_mapping("model_config", parse_json(config))
        return ModelFile(parsed, version, root.groups["model_weights"], legacy=True)
    if texts_of(root, "layer_names") is not None:
        return ModelFile(None, version, root, legacy=True)
    if any(name in root.groups for name in _CONTAINERS):
        return ModelFile(None, version, root, legacy=False)
    raise ValueError("holds no model of Keras: no model_config, layer_names or layers")
