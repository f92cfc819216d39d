"""The safetensors files that hold models: fastrnn's part of the header, and the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import widen_bfloat16
from fastrnn._checks import as_choice
from fastrnn._plain import as_mapping, errors_of_library, parse_json
from fastrnn._version import __version__
from fastrnn.files.quantized_tensors import QUANTIZED, Quantized, restored_tensors, stored_tensors

__all__ = [
    "FORMAT_VERSION",
    "METADATA_KEY",
    "QUANTIZED_VERSION",
    "CheckpointError",
    "check_kind",
    "check_version",
    "file_content",
    "header_text",
    "read_description",
    "read_parameters",
    "read_tensors",
    "version_fields",
]

FORMAT_VERSION = 1
QUANTIZED_VERSION = 2  # whose field `quantized` names the precision of the weights

METADATA_KEY = "fastrnn"  # of the header's metadata; its value is JSON
# The line that loads a file whose class has no `load`.
_LINES = {
    "LanguageModel": "fastrnn.train.load_checkpoint(path)",
    "PreparedText": "fastrnn.data.PreparedText.open(path)",
    "Trainer": "trainer.load(path)",
}
_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself
_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if name != "BF16"}


class CheckpointError(ValueError):
    """A file is not a usable checkpoint; the message names the file and the reason."""


def header_text(description: Mapping[str, Any]) -> str:
    """Return fastrnn's part of the header, or of a part of it, as JSON.

    Raises
    ------
    ValueError
        If it is larger than a header may be, so that no file could be read again.
    """
    text = json.dumps(description, allow_nan=False)
    size = len(json.dumps(text))
    if size > _LARGEST_HEADER:
        symbols = len(description["vocabulary"]["symbols"])
        raise ValueError(
            f"vocabulary: {symbols:,} symbols take {size:,} bytes of a file's header, which may have "
            f"{_LARGEST_HEADER:,}; keep fewer, with max_types or --max-types"
        )
    return text


def read_description(content: bytes) -> dict[str, Any]:
    """Return fastrnn's part of the header.

    Raises
    ------
    ValueError
        If the header is truncated, is not JSON or has no such part.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length < 2:
        raise ValueError("not a safetensors file: no header")
    if length > _LARGEST_HEADER:
        raise ValueError(f"not a safetensors file: a header of {length} bytes")
    if length > len(content) - 8:
        raise ValueError(f"truncated: a header of {length} bytes in a file of {len(content)}")
    try:
        metadata = as_mapping("header", parse_json(content[8 : 8 + length])).get("__metadata__")
        text = as_mapping("__metadata__", metadata).get(METADATA_KEY)
        if not isinstance(text, str):
            raise TypeError(f"{METADATA_KEY}: expected str, got {type(text).__name__}")
        return as_mapping(METADATA_KEY, parse_json(text))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"not a fastrnn checkpoint: its header has no readable fastrnn part: {error}"
        ) from error


def check_kind(description: Mapping[str, Any], kind: str) -> None:
    """Check that a file has the format of this version and holds a model of a class.

    Raises
    ------
    ValueError
        If not; with the line that loads what it holds.
    """
    check_version(description)
    found = str(description.get("class") or description.get("kind", "LanguageModel"))
    if found != kind:
        line = _LINES.get(found, f"{found}.load(path)")
        raise ValueError(f"expected a {kind}, got a {found}; write {line}")


def check_version(description: Mapping[str, Any]) -> None:
    """Check that a file has a format that this version reads.

    Raises
    ------
    ValueError
        If not.
    """
    version = description.get("format_version")
    if isinstance(version, bool) or version not in (FORMAT_VERSION, QUANTIZED_VERSION):
        raise ValueError(
            f"format version {version!r}; this fastrnn {__version__} reads {FORMAT_VERSION} and "
            f"{QUANTIZED_VERSION}"
        )


def version_fields(quantized: Quantized | None) -> dict[str, Any]:
    """Return the first fields of a description: the format, and the precision of quantized weights."""
    if quantized is None:
        return {"format_version": FORMAT_VERSION}
    return {"format_version": QUANTIZED_VERSION, "quantized": quantized.precision}


def file_content(
    tensors: Mapping[str, NDArray[Any]], header: str, quantized: Quantized | None = None
) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    tensors : mapping of str to ndarray
    header : str
        fastrnn's part of the header, as JSON.
    quantized : Quantized, optional
        How the weights of a quantized network are stored.
    """
    # Imported here: training needs no safetensors, and `import fastrnn` must stay fast.
    from safetensors.numpy import save

    metadata = {METADATA_KEY: header}
    if quantized is not None:
        return _quantized_content(tensors, metadata, quantized)
    with errors_of_library("safetensors"):
        return save(dict(tensors), metadata)


def _quantized_content(
    tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str], quantized: Quantized
) -> bytes:
    """Return the bytes of a file with bfloat16, which the library writes only with a package for it."""
    stored = stored_tensors(tensors, quantized)
    header: dict[str, Any] = {"__metadata__": metadata}
    parts, end = [], 0
    for name in sorted(stored, key=lambda name: (-stored[name].itemsize, name)):  # the library's order
        array = stored[name]
        is_bfloat16 = quantized.precision == "bfloat16" and name in quantized.names
        dtype = "BF16" if is_bfloat16 else _NAMES[array.dtype.newbyteorder("<")]
        parts.append(np.ascontiguousarray(array, _DTYPES[dtype]).tobytes())
        begin, end = end, end + len(parts[-1])
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def read_parameters(
    content: bytes, description: Mapping[str, Any]
) -> tuple[dict[str, NDArray[Any]], Quantized | None]:
    """Return the tensors by name, those of a quantized network in float32, and how they were stored.

    Raises
    ------
    ValueError
        As `read_tensors`, or if the parts of a quantized weight do not fit each other.
    """
    if description.get("format_version") != QUANTIZED_VERSION:
        return read_tensors(content), None
    precision = as_choice("quantized", description.get("quantized"), QUANTIZED)
    parts = _parts_of(content)
    tensors = {name: _as_array(name, part) for name, part in parts}
    dtypes = {name: str(part["dtype"]) for name, part in parts}
    narrow = tuple(name for name, dtype in dtypes.items() if dtype in ("I8", "BF16"))
    return restored_tensors(tensors, dtypes, precision), Quantized(precision, narrow)


def read_tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors by name; bfloat16, which NumPy lacks, as float32 of the same values.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, or a tensor has another dtype than NumPy's and bfloat16.
    """
    return {name: _as_array(name, part) for name, part in _parts_of(content)}


def _parts_of(content: bytes) -> list[tuple[str, dict[str, Any]]]:
    # Imported here: training needs no safetensors, and `import fastrnn` must stay fast.
    from safetensors import deserialize

    with errors_of_library("truncated or damaged"):
        parts: list[tuple[str, dict[str, Any]]] = deserialize(content)  # type: ignore[no-untyped-call]  # has no annotations
    return parts


def _as_array(name: str, part: dict[str, Any]) -> NDArray[Any]:
    dtype = part["dtype"]
    if dtype not in _DTYPES:
        raise ValueError(f"{name}: expected a tensor of {', '.join(_DTYPES)}, got {dtype}")
    array = np.frombuffer(part["data"], _DTYPES[dtype]).reshape(part["shape"])
    return widen_bfloat16(array) if dtype == "BF16" else array
