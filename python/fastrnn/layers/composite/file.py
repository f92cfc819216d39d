"""A network of layers as a file: a safetensors file whose header describes the parts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn._files import read_regular
from fastrnn._memory import limited_memory
from fastrnn._plain import as_fields, as_is, as_list, as_mapping, as_text, printable
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
from fastrnn.layers.dense.activation import FUNCTIONS, Activation
from fastrnn.layers.dense.attention import AdditiveAttention, MultiplicativeAttention
from fastrnn.layers.dense.attention_pooling import AttentionPooling
from fastrnn.layers.dense.embedding import Embedding
from fastrnn.layers.dense.head import Head
from fastrnn.layers.dense.linear import Linear
from fastrnn.layers.description import describe, from_description
from fastrnn.layers.loss.logistic import Logistic
from fastrnn.layers.loss.softmax import Softmax
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.stack.stack import Stack

__all__ = ["Description", "describe_part", "read_file", "write_file"]

NetworkT = TypeVar("NetworkT")

# Modules within modules check their memory each; a file of this size may claim so many times its bytes, and
# these bytes more.
_NESTING, _SLACK = 8, 1 << 20  # and once more for each level of composites

_LINEAR: dict[str, Any] = {"in_features": as_size, "out_features": as_size, "bias": as_flag}
_SIZES = dict.fromkeys(("query_size", "key_size"), as_size)
_FIELDS: dict[str, dict[str, Any]] = {
    "Embedding": {"num_embeddings": as_size, "embedding_dim": as_size},
    **dict.fromkeys(("Linear", "Logistic", "Softmax"), _LINEAR),
    "Activation": {"function": lambda name, value: as_choice(name, value, FUNCTIONS)},
    "Head": {
        **{"in_features": as_size, "hidden_sizes": as_is, "out_features": as_size},
        **{"activation": as_is, "dropout": as_is, "bias": as_flag},
    },
    "AdditiveAttention": {**_SIZES, "attention_size": as_size},
    "MultiplicativeAttention": {**_SIZES, "weight": as_flag, "scale": as_number},
    "AttentionPooling": {"key_size": as_size, "attention_size": as_size},
}
_PRECISION: dict[str, Any] = {kind: {"precision": as_text} for kind in ("Linear", "Softmax", "Head")}
_CLASSES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Embedding, Linear, Logistic, Softmax, Activation, Head),
        *(AdditiveAttention, MultiplicativeAttention, AttentionPooling),
    )
}


class Description(NamedTuple):
    """What a file says of a network.

    Attributes
    ----------
    kind : {"Sequential", "Composite"}
        "Sequential": its layers are a chain.
    own_class : str or None
        The name of a class of a user's own, whose passes are not those of a chain.
    parts : list of dict
        What `describe_part` returns of each layer in order, those of nested composites with dots in their
        names.
    """

    kind: str
    own_class: str | None
    parts: list[dict[str, Any]]


def describe_part(name: str, part: Any) -> dict[str, Any]:
    """Return a description of a part in plain values: its ``name``, its ``kind`` and what makes it.

    Raises
    ------
    TypeError
        If it is of a kind that a file cannot describe.
    """
    kind = type(part).__name__
    own: dict[str, Any]
    if isinstance(part, (Recurrent, Stack)):
        return {"name": name, **describe(part)}
    if _CLASSES.get(kind) is not type(part):
        known = ", ".join((*_CLASSES, "recurrent layers and Stack"))
        raise TypeError(f"{name}: a file can describe {known}, not {part!r}")
    if hasattr(part, "description"):
        own = part.description
    elif isinstance(part, Linear):
        own = {**_attributes(part, "in_features", "out_features"), "bias": "bias" in part.parameters}
    else:
        own = _attributes(part, *_FIELDS[kind])
    if part.precision != "float32" and not part.quantized:
        own["precision"] = part.precision
    return {"name": name, "kind": kind, **own}


def write_file(path: str | os.PathLike[str], network: Any, description: Description) -> None:
    """Write a network atomically.

    The tensors are the parameters under their own names. The header's metadata has one key, ``fastrnn``,
    whose value is JSON: ``format_version``, ``quantized`` if it is, ``package_version``, ``kind``, ``class``
    if it is a user's own, ``dtype`` and ``parts``.
    """
    form = quantized_form(network)
    own = {} if description.own_class is None else {"class": description.own_class}
    header = {
        **version_fields(form),
        "package_version": __version__,
        "kind": description.kind,
        **own,
        "dtype": network.dtype.name,
        "parts": description.parts,
    }
    write_atomically(path, file_content(network.state_dict(), json.dumps(header, allow_nan=False), form))


def read_file(
    path: str | os.PathLike[str],
    kind: str,
    make: Callable[[dict[str, Any]], NetworkT],
    *,
    allow_nonfinite: bool,
) -> NetworkT:
    """Read a network; the file is validated before it is made.

    Parameters
    ----------
    path : path
    kind : str
        The name of the class: what the file is to hold.
    make : callable
        Makes the network of its layers by name.
    allow_nonfinite : bool

    Raises
    ------
    CheckpointError
        If the file is damaged or holds something else.
    """
    content = read_regular(path)
    try:
        return _parse(content, kind, make, allow_nonfinite)
    except (ValueError, TypeError, MemoryError) as error:
        raise CheckpointError(f"{os.fspath(path)}: {printable(str(error))}") from error


def _parse(
    content: bytes, kind: str, make: Callable[[dict[str, Any]], NetworkT], allow_nonfinite: bool
) -> NetworkT:
    description = read_description(content)
    _check_class(description, kind)
    as_fields("", description, {"parts": as_is, "dtype": as_text}, {"package_version": as_text}, unknown=True)
    dtype = as_choice("dtype", description["dtype"], ("float32", "float64"))
    tensors, form = read_parameters(content, description)
    size = sum(array.nbytes for array in tensors.values())
    levels = max((name.count(".") for name in tensors), default=0)
    with limited_memory((_NESTING + min(levels, _NESTING)) * size + _SLACK):
        network = make(_parts_from(description["parts"], dtype))
    network.load_state_dict(tensors, allow_nonfinite=allow_nonfinite)  # type: ignore[attr-defined]  # a Module
    restore_quantized(network, form)  # type: ignore[arg-type]  # a Module
    return network


def _check_class(description: Mapping[str, Any], kind: str) -> None:
    """Check that a file holds a network of a class: a chain, which any class reads, or one of its own."""
    own = description.get("class")
    if own is not None:
        as_text("class", own)
    as_chain = description.get("kind") == "Sequential" and own is None
    as_parts = description.get("kind") == "Composite" and kind != "Sequential" and own in (None, kind)
    check_kind(description, str(own or description["kind"]) if as_chain or as_parts else kind)


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
    return _CLASSES[kind](**as_fields(name, given, _FIELDS[kind], _PRECISION.get(kind)), dtype=dtype)


def _attributes(part: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(part, name) for name in names}
