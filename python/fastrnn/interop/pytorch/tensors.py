"""Tensors of PyTorch's files as NumPy arrays: views of storages, which are views of the file."""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, widen_bfloat16
from fastrnn.interop.pytorch.pickle_machine import Global
from fastrnn.interop.pytorch.zip_records import Records

__all__ = ["TensorBuilder"]

_STORAGES = {
    **{"DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "u2"},
    **{"LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1"},
    **{"ByteStorage": "u1", "BoolStorage": "?"},
    **{"ComplexFloatStorage": "c8", "ComplexDoubleStorage": "c16"},
}
_BFLOAT16 = "BFloat16Storage"
_REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Global("torch._utils", "_rebuild_parameter")
_ORDERED = Global("collections", "OrderedDict")
_SETS = {Global(module, "set"): set for module in ("__builtin__", "builtins")}
_FROZEN = {Global(module, "frozenset"): frozenset for module in ("__builtin__", "builtins")}
_SIZE, _DEVICE = Global("torch", "Size"), Global("torch", "device")
_CALLED = {_REBUILD, _PARAMETER, _ORDERED, _SIZE, _DEVICE, *_SETS, *_FROZEN}
_DTYPES = frozenset(
    "float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 bool complex64 complex128".split()
)
_MOST_AXES = 32
_MOST_VIEWED = 32  # times: how much larger all tensors may be than the file that they are views of
_MOST_IN_SETS = 1_000_000
_LARGEST_INDEX = 2**62


class _Storage(NamedTuple):
    """A storage as an array of one axis, and how many numbers the file says that it has."""

    key: str
    values: Array
    kind: str


class TensorBuilder:
    """Stands for PyTorch while a pickle is read: makes arrays, tuples, sets and names, and nothing else.

    Attributes
    ----------
    widened : dict of int to Array
        The arrays whose numbers are bfloat16 in the file, by `id`.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._storages: dict[str, _Storage] = {}
        self._left = _MOST_VIEWED * (sum(map(records.size, records.names())) + 2**16)
        self._left_in_sets = _MOST_IN_SETS
        self._swapped = _is_swapped(records)
        self.widened: dict[int, Array] = {}

    def resolve(self, name: Global) -> Any:
        """Return what stands for a name; None if it is not known."""
        if name in _CALLED or (name.module == "torch" and name.name in _STORAGES):
            return name
        return str(name) if name.module == "torch" and name.name in _DTYPES else None

    def call(self, name: Global, arguments: tuple[Any, ...]) -> Any:
        """Return what stands for the result of a call."""
        if name == _REBUILD:
            return self._tensor(arguments)
        if name == _PARAMETER:
            if not arguments or not isinstance(arguments[0], np.ndarray):
                raise ValueError("damaged: a parameter without a tensor")
            return arguments[0]
        if name == _ORDERED and not arguments:
            return OrderedDict()
        if name == _SIZE and len(arguments) == 1 and type(arguments[0]) is tuple:
            return arguments[0]
        if name == _DEVICE and 1 <= len(arguments) <= 2 and type(arguments[0]) is str:
            return ":".join(str(part) for part in arguments if type(part) in (str, int))
        if name in _SETS or name in _FROZEN:
            return self._set(name, arguments)
        raise ValueError(f"damaged: calls {name} with other arguments than PyTorch does")

    def load(self, persistent_id: Any) -> _Storage:
        """Return a storage."""
        if (
            type(persistent_id) is not tuple
            or len(persistent_id) != 5
            or persistent_id[0] != "storage"
            or type(persistent_id[1]) is not Global
            or persistent_id[1].name not in _STORAGES
            or type(persistent_id[2]) is not str
        ):
            raise ValueError("damaged: a storage that is not described as PyTorch does")
        _, kind, key, _, count = persistent_id
        count = _as_index(f"storage {key}", count)
        if key not in self._storages:
            self._storages[key] = self._storage(key, kind.name, count)
        storage = self._storages[key]
        if storage.kind != kind.name or len(storage.values) != count:
            raise ValueError(f"storage {key}: described in two ways")
        return storage

    def _storage(self, key: str, kind: str, count: int) -> _Storage:
        dtype = np.dtype(_STORAGES[kind])
        name = f"data/{key}"
        size = self._records.size(name)
        if count * dtype.itemsize != size:
            raise ValueError(f"{name}: expected {count * dtype.itemsize} bytes, {count} numbers, got {size}")
        file_dtype = dtype.newbyteorder("S") if self._swapped else dtype
        values = np.frombuffer(self._records.read(name), file_dtype, count)
        if self._swapped or not values.flags.aligned:
            values = values.astype(dtype)
        if dtype.kind == "b":
            values = values.view(np.uint8) != 0
        if kind == _BFLOAT16:
            values = widen_bfloat16(values)
        values.flags.writeable = False
        return _Storage(key, values, kind)

    def _tensor(self, arguments: tuple[Any, ...]) -> Array:
        if len(arguments) not in (6, 7) or type(arguments[0]) is not _Storage:
            raise ValueError("damaged: a tensor that is not described as PyTorch does")
        storage, offset, shape, strides = arguments[:4]
        name = f"a tensor of storage {storage.key}"
        if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
            raise ValueError(f"damaged: {name} without a stride for each axis")
        if len(shape) > _MOST_AXES:
            raise ValueError(f"{name}: expected at most {_MOST_AXES} axes, got {len(shape)}")
        offset = _as_index(f"{name}: offset", offset)
        shape = tuple(_as_index(f"{name}: size", size) for size in shape)
        strides = tuple(_as_index(f"{name}: stride", stride) for stride in strides)
        return self._view(name, storage, offset, shape, strides)

    def _view(
        self, name: str, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> Array:
        values, count = storage.values, math.prod(shape)
        if count == 0:
            if max(shape, default=0) > _MOST_VIEWED << 32:
                raise ValueError(f"{name}: expected sensible sizes, got {list(shape)}")
            offset, strides = 0, (0,) * len(shape)
        else:
            last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
            if last >= len(values):
                raise ValueError(f"{name}: reaches to number {last} of {len(values)}")
            if count > len(values):
                raise ValueError(
                    f"{name}: {list(shape)} repeats its {len(values)} numbers; save it as tensor.contiguous()"
                )
        self._left -= count * values.itemsize
        if self._left < 0:
            raise ValueError(f"expected tensors of at most {_MOST_VIEWED} times the size of the file")
        size = values.itemsize
        array: Array = np.ndarray(
            shape, values.dtype, values, offset * size, tuple(stride * size for stride in strides)
        )
        array.flags.writeable = False
        if storage.kind == _BFLOAT16:
            self.widened[id(array)] = array
        return array

    def _set(self, name: Global, arguments: tuple[Any, ...]) -> Any:
        if len(arguments) != 1 or type(arguments[0]) is not list:
            raise ValueError("damaged: a set that is not made of a list")
        items: list[Any] = arguments[0]
        self._left_in_sets -= len(items)
        if self._left_in_sets < 0:
            raise ValueError(f"expected at most {_MOST_IN_SETS} values in sets")
        if not {*map(type, items)} <= {str, int, float, bool, bytes, type(None)}:
            raise ValueError("expected sets of str, int, float, bool or None")
        return set(items) if name in _SETS else frozenset(items)


def _as_index(name: str, value: Any) -> int:
    """Check a size, an offset or a stride."""
    if type(value) is not int or not 0 <= value <= _LARGEST_INDEX:
        # Not the value of anything else, which may be endless.
        got = value if type(value) is int else type(value).__name__
        raise ValueError(f"{name}: expected an integer of 0 .. {_LARGEST_INDEX}, got {got}")
    return value


def _is_swapped(records: Records) -> bool:
    """Return whether the file's numbers have the other byte order; without a word on it, they are little."""
    order = bytes(records.read("byteorder")) if "byteorder" in records else b"little"
    if order not in (b"little", b"big"):
        raise ValueError(f"byteorder: expected little or big, got {order[:20]!r}")
    return order.decode() != sys.byteorder
