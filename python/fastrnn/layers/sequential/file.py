"""A chain of layers as a file: a safetensors file whose header describes the parts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from fastrnn._checks import as_choice, as_flag, as_size
from fastrnn._files import read_regular
from fastrnn._memory import limited_memory
from fastrnn._plain import as_fields, as_is, as_list, as_mapping, as_text, errors_of_library, printable
from fastrnn._version import __version__
from fastrnn.files.atomic_files import write_atomically
from fastrnn.files.tensor_file import (
    FORMAT_VERSION,
    METADATA_KEY,
    CheckpointError,
    check_kind,
    read_description,
    read_tensors,
)
from fastrnn.layers.dense.activation import FUNCTIONS, Activation
from fastrnn.layers.dense.embedding import Embedding
from fastrnn.layers.dense.head import Head
from fastrnn.layers.dense.linear import Linear
from fastrnn.layers.description import describe, from_description

__all__ = ["describe_part", "read_file", "write_file"]

NetworkT = TypeVar("NetworkT")

_KIND = "Sequential"
# Modules within modules check their memory each; a file of this size may claim so many times its bytes, and
# these bytes more.
_NESTING, _SLACK = 8, 1 << 20

_FIELDS: dict[str, dict[str, Any]] = {
    "Embedding": {"num_embeddings": as_size, "embedding_dim": as_size},
    "Linear": {"in_features": as_size, "out_features": as_size, "bias": as_flag},
    "Activation": {"function": lambda name, value: as_choice(name, value, FUNCTIONS)},
    "Head": {
        **{"in_features": as_size, "hidden_sizes": as_is, "out_features": as_size},
        **{"activation": as_is, "dropout": as_is, "bias": as_flag},
    },
}
_CLASSES: dict[str, Any] = {kind.__name__: kind for kind in (Embedding, Linear, Activation, Head)}


def describe_part(part: Any) -> dict[str, Any]:
    """Return a description of one part in plain values: its ``kind`` and the arguments that make it."""
    kind = type(part).__name__
    if kind == "Head":
        return {"kind": kind, **part.description}
    if kind == "Linear":
        own = _attributes(part, "in_features", "out_features")
        return {"kind": kind, **own, "bias": "bias" in part.parameters}
    if kind in _FIELDS:
        return {"kind": kind, **_attributes(part, *_FIELDS[kind])}
    return describe(part)


def write_file(path: str | os.PathLike[str], network: Any) -> None:
    """Write a network atomically.

    The tensors are the parameters under their own names. The header's metadata has one key, ``fastrnn``,
    whose value is JSON: ``format_version``, ``package_version``, ``kind``, ``dtype`` and ``parts``, a list of
    what `describe_part` returns and a ``name``.
    """
    # Imported here: training needs no safetensors, and `import fastrnn` must stay fast.
    from safetensors.numpy import save

    description = {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "kind": _KIND,
        "dtype": network.dtype.name,
        "parts": [{"name": name, **describe_part(part)} for name, part in network.parts.items()],
    }
    metadata = {METADATA_KEY: json.dumps(description, allow_nan=False)}
    with errors_of_library("safetensors"):
        content = save(network.state_dict(), metadata)
    write_atomically(path, content)


def read_file(path: str | os.PathLike[str], kind: type[NetworkT], *, allow_nonfinite: bool) -> NetworkT:
    """Read a network; the file is validated before it is made.

    Raises
    ------
    CheckpointError
        If the file is damaged or holds something else.
    """
    content = read_regular(path)
    try:
        network: NetworkT = _parse(content, kind, allow_nonfinite)
        return network
    except (ValueError, TypeError, MemoryError) as error:
        raise CheckpointError(f"{os.fspath(path)}: {printable(str(error))}") from error


def _parse(content: bytes, kind: Any, allow_nonfinite: bool) -> Any:
    description = read_description(content)
    check_kind(description, _KIND)
    as_fields("", description, {"parts": as_is, "dtype": as_text}, {"package_version": as_text}, unknown=True)
    dtype = as_choice("dtype", description["dtype"], ("float32", "float64"))
    tensors = read_tensors(content)
    size = sum(array.nbytes for array in tensors.values())
    with limited_memory(_NESTING * size + _SLACK):
        network = kind(_parts_from(description["parts"], dtype))
    network.load_state_dict(tensors, allow_nonfinite=allow_nonfinite)
    return network


def _parts_from(value: Any, dtype: str) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for index, fields in enumerate(as_list("parts", value, as_mapping)):
        name = as_text(f"parts[{index}].name", fields.pop("name", None))
        if name in parts:
            raise ValueError(f"parts: expected different names, got {name!r} twice")
        parts[name] = _part_from(f"parts[{index}]", fields, dtype)
    return parts


def _part_from(name: str, fields: Mapping[str, Any], dtype: str) -> Any:
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _FIELDS:
        part = from_description(fields, np.random.default_rng(0))
        if part.dtype.name != dtype:
            raise ValueError(f"{name}: expected {dtype}, got {part.dtype}")
        return part
    given = {key: value for key, value in fields.items() if key != "kind"}
    return _CLASSES[kind](**as_fields(name, given, _FIELDS[kind]), dtype=dtype)


def _attributes(part: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(part, name) for name in names}
