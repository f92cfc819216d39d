"""Tensors of ONNX files as arrays: sizes checked before anything is made, float16 and bfloat16 as float32."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._files import open_regular
from fastrnn.interop.onnx.library import onnx_library

if TYPE_CHECKING:
    from fastrnn._arrays import Array

__all__ = ["DTYPES", "HALF", "Tensors", "dtype_name", "dtype_of_name"]

#: NumPy's dtype of each of ONNX's types; float16 (10) and bfloat16 (16) are computed in float32.
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float32),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    16: np.dtype(np.float32),
}
HALF = {10: "float16", 16: "bfloat16"}
_EXTERNAL = 1


def dtype_name(code: int) -> str:
    """Return the name of one of ONNX's types, for people."""
    if code in HALF:
        return HALF[code]
    if code in DTYPES:
        return DTYPES[code].name
    known = onnx_library().TensorProto.DataType
    return str(known.Name(code)).lower() if code in known.values() else f"type {code}"


def dtype_of_name(name: str) -> np.dtype[Any]:
    """Return the dtype in which values of one of these types are computed; float32 where it is not known."""
    return np.dtype(np.float32 if name in ("", *HALF.values()) else name)


class Tensors:
    """Reads the tensors of one file.

    Parameters
    ----------
    path : str
        The file's.
    size : int
        Its bytes: no tensor inside it claims more.
    notes : list of str
        Receives a sentence for each tensor that is converted.
    """

    def __init__(self, path: str, size: int, notes: list[str]) -> None:
        self._folder, self._size, self._notes = os.path.dirname(os.path.abspath(path)), size, notes
        self._helper = onnx_library("onnx.numpy_helper")
        self._left: dict[str, int] = {}

    def array(self, tensor: Any, name: str) -> Array:
        """Return a tensor as an array.

        Raises
        ------
        TypeError
            If its type has no dtype here.
        ValueError
            If its shape and its data disagree, or its data lies in a file that is missing or out of bounds.
        """
        code = tensor.data_type
        if code not in DTYPES:
            raise TypeError(f"tensor {name!r}: cannot read {dtype_name(code)}")
        shape = tuple(tensor.dims)
        if any(size < 0 for size in shape):
            raise ValueError(f"tensor {name!r}: expected sizes of at least 0, got {list(shape)}")
        if tensor.HasField("segment"):
            raise ValueError(f"tensor {name!r}: cannot read a segment of a tensor")
        itemsize = 2 if code in HALF else DTYPES[code].itemsize
        count = math.prod(shape)
        if tensor.data_location == _EXTERNAL:
            content = self._external(tensor, name, count * itemsize)
            found = np.frombuffer(content, f"<u{itemsize}") if code in HALF else None
            array = _half(found, code) if found is not None else np.frombuffer(content, _little(code))
        else:
            array = self._inside(tensor, name, count, itemsize)
        if array.size != count:
            raise ValueError(f"tensor {name!r}: expected {list(shape)}, got data for {array.size} elements")
        if code in HALF:
            self._notes.append(f"{name}: {HALF[code]} became float32")
        return array.reshape(shape).astype(DTYPES[code], copy=False)

    def _inside(self, tensor: Any, name: str, count: int, itemsize: int) -> Array:
        # A typed field stores at least one byte for each element, raw data all bytes.
        most = self._size // itemsize if tensor.HasField("raw_data") else self._size
        if count > most:
            raise ValueError(
                f"tensor {name!r}: claims {count} elements, more than the {self._size} bytes of the file hold"
            )
        if tensor.HasField("raw_data") and len(tensor.raw_data) != count * itemsize:
            raise ValueError(
                f"tensor {name!r}: expected {count * itemsize} bytes for {list(tensor.dims)}, "
                f"got {len(tensor.raw_data)}"
            )
        try:
            array: Array = self._helper.to_array(tensor)
        except Exception as error:
            raise ValueError(f"tensor {name!r}: {error}") from None
        return array

    def _external(self, tensor: Any, name: str, nbytes: int) -> bytes:
        """Read a tensor's data from a file of its own beside the model."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        path = self._beside(name, location)
        offset, length = (_size(name, key, entries.get(key)) for key in ("offset", "length"))
        if length is not None and length != nbytes:
            raise ValueError(
                f"tensor {name!r}: expected {nbytes} bytes for {list(tensor.dims)}, got length {length}"
            )
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                left = self._left.setdefault(path, 2 * size)  # twice, as tensors may be shared
                if (offset or 0) + nbytes > size or nbytes > left:
                    raise ValueError(
                        f"tensor {name!r}: expected {nbytes} bytes at {offset or 0} in {location!r}, "
                        f"which has {size}"
                    )
                self._left[path] = left - nbytes
                file.seek(offset or 0)
                return file.read(nbytes)
        except OSError as error:
            raise ValueError(
                f"tensor {name!r}: cannot read its data in {location!r}, which must lie beside the model: "
                f"{error.strerror or error}"
            ) from None

    def _beside(self, name: str, location: str) -> str:
        """Return the path of a file that a model names, which must not lie outside the model's folder."""
        folder = os.path.realpath(self._folder)
        if not location or "\0" in location:
            raise ValueError(f"tensor {name!r}: its data lies in a file without a name")
        path = os.path.realpath(os.path.join(folder, location))
        if os.path.isabs(location) or os.path.commonpath([folder, path]) != folder:
            raise ValueError(f"tensor {name!r}: its data lies in {location!r}, outside the model's folder")
        return path


def _size(name: str, key: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"tensor {name!r}: {key}: expected a number of bytes, got {text[:40]!r}")
    return int(text)


def _little(code: int) -> np.dtype[Any]:
    return DTYPES[code].newbyteorder("<")


def _half(bits: Array, code: int) -> Array:
    """Return the numbers of the bits of float16 or bfloat16."""
    if code == 10:
        return bits.view("<f2").astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)
