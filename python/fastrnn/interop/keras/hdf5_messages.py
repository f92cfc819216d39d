"""Parts of HDF5 files: shapes, dtypes and attributes, as their messages describe them."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Attribute", "DataType", "attribute_of", "shape_of", "type_of"]

_MOST_AXES = 32
_IEEE = {2: (10, 5, 0, 10, 15), 4: (23, 8, 0, 23, 127), 8: (52, 11, 0, 52, 1023)}


class DataType(NamedTuple):
    """What elements are.

    Attributes
    ----------
    kind : {"numbers", "text", "texts"} or another word
        "text": of a fixed length; "texts": of any length, each elsewhere in the file. Else the name of a
        kind that is not read.
    size : int
        Bytes of an element.
    numbers : numpy.dtype or None
        ``V2`` for bfloat16, which NumPy lacks.
    """

    kind: str
    size: int
    numbers: np.dtype[Any] | None = None


class Attribute(NamedTuple):
    """An attribute: its name, and where its contents are in its message."""

    name: str
    type: DataType
    shape: tuple[int, ...]
    data: memoryview


def shape_of(message: memoryview) -> tuple[int, ...]:
    """Return the shape that a dataspace message describes; (0,) of one without elements.

    Raises
    ------
    ValueError
        If it is of another version, or has too many axes.
    """
    version, rank = struct.unpack_from("<BB", message)
    if version not in (1, 2) or rank > _MOST_AXES:
        raise ValueError(f"a shape of version {version} with {rank} axes")
    if version == 2 and message[3] == 2:
        return (0,)
    return struct.unpack_from(f"<{rank}Q", message, 8 if version == 1 else 4)


def type_of(message: memoryview) -> DataType:
    """Return what a datatype message describes."""
    first, bits, _, _, size = struct.unpack_from("<BBBBI", message)
    kind, version = first & 15, first >> 4
    if not size or version not in (1, 2, 3):
        return DataType(f"a type of version {version}", max(size, 1))
    if kind == 0 and size in (1, 2, 4, 8) and struct.unpack_from("<HH", message, 8) == (0, 8 * size):
        letter = "i" if bits & 8 else "u"
        return DataType("numbers", size, np.dtype(f"{'>' if bits & 1 else '<'}{letter}{size}"))
    if kind == 1 and size in _IEEE and not bits & 64:
        offset, precision, *fields = struct.unpack_from("<HHBBBBI", message, 8)
        if (offset, precision) == (0, 8 * size) and tuple(fields) == _IEEE[size]:
            return DataType("numbers", size, np.dtype(f"{'>' if bits & 1 else '<'}f{size}"))
    if kind == 5 and size == 2:  # opaque, as Keras writes bfloat16
        return DataType("numbers", size, np.dtype("V2"))
    if kind == 3:
        return DataType("text", size)
    if kind == 9 and bits & 15 == 1 and size == 16:
        return DataType("texts", size)
    names = {0: "unusual integers", 1: "unusual floats", 5: "opaque bytes", 6: "records", 7: "references"}
    return DataType(names.get(kind, f"elements of class {kind}"), size)


def attribute_of(message: memoryview) -> Attribute:
    """Return the attribute that a message holds.

    Raises
    ------
    ValueError
        If it is of another version or in a form that h5py does not write, or its contents are not all there.
    """
    version, flags, name_size, type_size, shape_size = struct.unpack_from("<BBHHH", message)
    if version not in (1, 2, 3) or (version > 1 and flags & 3):
        raise ValueError(f"an attribute of version {version} with flags {flags}")
    place = 9 if version == 3 else 8
    padded: Callable[[int], int] = (lambda size: -(-size // 8) * 8) if version == 1 else int
    parts = []
    for size in (name_size, type_size, shape_size):
        parts.append(message[place : place + size])
        if len(parts[-1]) < size:
            raise ValueError("an attribute longer than its message")
        place += padded(size)
    name = bytes(parts[0]).split(b"\0")[0].decode("utf-8", "replace")
    found, shape = type_of(parts[1]), shape_of(parts[2])
    size = math.prod(shape) * found.size
    if len(message) - place < size:
        raise ValueError(f"attribute {name}: {size} bytes in a message of {len(message)}")
    return Attribute(name, found, shape, message[place : place + size])
