"""Safetensors files that are written as a stream, and read through a memory map."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastrnn._files import open_regular
from fastrnn._plain import as_count, as_fields, as_list, as_mapping, as_text, parse_json
from fastrnn.files.tensor_file import METADATA_KEY, check_kind, header_text, read_description

__all__ = ["MappedTensors", "kind_in_file", "streamed_header"]

_DTYPES = {"U8": "<u1", "U16": "<u2", "U32": "<u4"}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_CHUNK = 1 << 22  # bytes that are read at a time
_DIGITS = 20  # of a number that is known only at the end


def streamed_header(
    description: Mapping[str, Any], dtype: np.dtype[Any], lengths: Mapping[str, int]
) -> bytes:
    """Return the header of a file of one-dimensional tensors, which follow in their order.

    Parameters
    ----------
    description : mapping
        fastrnn's part of the header.
    dtype : dtype
        uint8, uint16 or uint32, of all tensors.
    lengths : mapping of str to int
        The number of values of each tensor.

    Returns
    -------
    header : bytes
        Of the same number of bytes, a multiple of 8, whatever the lengths are: they can be written over a
        header of zeros once they are known.
    """
    tensors, begin = {}, 0
    for name, length in lengths.items():
        end = begin + length * dtype.itemsize
        tensors[name] = {"dtype": _NAMES[dtype], "shape": [length], "data_offsets": [begin, end]}
        begin = end
    metadata = {METADATA_KEY: header_text(description)}
    text = json.dumps({"__metadata__": metadata, **tensors}, separators=(",", ":")).encode()
    digits = sum(map(len, (str(n) for one in tensors.values() for n in _numbers(one))))
    size = len(text) + 3 * _DIGITS * len(tensors) - digits
    size += -size % 8
    return size.to_bytes(8, "little") + text.ljust(size)


def _numbers(tensor: Mapping[str, Any]) -> list[int]:
    return [*tensor["shape"], *tensor["data_offsets"]]


def kind_in_file(path: str | os.PathLike[str]) -> str | None:
    """Return the class that the header of a file names, if it does; nothing else of the file is read.

    Raises
    ------
    ValueError
        If it has no header of fastrnn.
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        description, _, _ = _read_header(file, _identity(file)[0])
    return None if description.get("kind") is None else str(description["kind"])


class MappedTensors:
    """The tensors of a file, read when they are used; the pages of the file are shared by all processes.

    Parameters
    ----------
    path : path
    kind : str
        The class that its header must name.

    Attributes
    ----------
    description : dict
        fastrnn's part of the header.
    tensors : dict of str to ndarray
        Read-only arrays of unsigned integers with one axis.

    Raises
    ------
    ValueError
        If it is not such a file, is truncated or is damaged.
    OSError
        If it cannot be read.
    """

    description: dict[str, Any]

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        self._file: BinaryIO = open_regular(path)
        try:
            self._places: dict[str, tuple[int, int]] = {}
            self._opened = _identity(self._file)
            self.description, header, start = _read_header(self._file, self._opened[0])
            check_kind(self.description, kind)
            self.tensors: dict[str, NDArray[Any]] = self._mapped(header, start)
        except BaseException:
            self._file.close()
            raise

    def is_unchanged(self) -> bool:
        """Return whether nothing has written to the file since it was opened.

        A file that has been replaced by another one of its name is still there unchanged.
        """
        return not self._file.closed and _identity(self._file) == self._opened

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a tensor's bytes, read from the file and not through its map."""
        start, stop = self._places[name]
        digest = hashlib.sha256()
        for first in range(start, stop, _CHUNK):
            self._file.seek(first)
            digest.update(self._file.read(min(_CHUNK, stop - first)))
        return digest.hexdigest()

    def close(self) -> None:
        """Close the file. Its pages are released when the last of its arrays is."""
        self._file.close()
        self.tensors = {}

    def __del__(self) -> None:
        """Close the file: nobody has to."""
        if hasattr(self, "_file"):
            self._file.close()

    def _mapped(self, header: Mapping[str, Any], start: int) -> dict[str, NDArray[Any]]:
        pages = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        end, tensors = 0, {}
        for name, value in header.items():
            dtype, length, begin = _checked(name, value)
            if begin != end:
                raise ValueError(f"damaged: {name} begins at {begin}, expected {end}")
            end += length * dtype.itemsize
            if start + end > len(pages):
                raise ValueError(f"truncated: {start + end:,} bytes expected, got {len(pages):,}")
            self._places[name] = (start + begin, start + end)
            tensors[name] = np.frombuffer(pages, dtype, length, start + begin)
        if start + end != len(pages):
            raise ValueError(f"damaged: {start + end:,} bytes expected, got {len(pages):,}")
        return tensors


def _identity(file: BinaryIO) -> tuple[int, int]:
    """Return what changes when someone writes to an open file: its size and its time."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return fastrnn's part of the header, the tensors in it, and where their values start."""
    first = file.read(8)
    length = int.from_bytes(first, "little")
    if len(first) == 8 and 8 + length > size and first[5:] == bytes(3):
        raise ValueError(f"truncated: a header of {length:,} bytes in a file of {size:,}")
    content = first + (file.read(length) if 8 + length <= size else b"")
    description = read_description(content)
    header = as_mapping("header", parse_json(content[8:]))
    del header["__metadata__"]
    return description, header, len(content)


def _checked(name: str, value: Any) -> tuple[np.dtype[Any], int, int]:
    """Return a tensor's dtype, length and beginning."""
    fields = as_fields(
        f"damaged: {name}", value, {"dtype": as_text, "shape": _counts, "data_offsets": _counts}
    )
    if fields["dtype"] not in _DTYPES or len(fields["shape"]) != 1 or len(fields["data_offsets"]) != 2:
        raise ValueError(f"damaged: {name}: expected {', '.join(_DTYPES)} with one axis, got {value!r:.100}")
    dtype = np.dtype(_DTYPES[fields["dtype"]])
    [length], [begin, end] = fields["shape"], fields["data_offsets"]
    if end - begin != length * dtype.itemsize:
        raise ValueError(f"damaged: {name}: expected {length * dtype.itemsize} bytes, got {end - begin}")
    return dtype, length, begin


def _counts(name: str, value: Any) -> list[int]:
    return as_list(name, value, as_count)
