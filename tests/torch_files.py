"""Writes files as ``torch.save`` does, without PyTorch: for tests of the reader, good files and bad ones."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

KINDS = {
    **{"float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage"},
    **{"int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage"},
    **{"uint8": "ByteStorage", "bool": "BoolStorage"},
    **{"complex64": "ComplexFloatStorage", "complex128": "ComplexDoubleStorage"},
}


class Tensor(NamedTuple):
    """A view of a storage; `kind` and `count` are what the file says, by default the truth."""

    storage: Any
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    kind: str | None = None
    count: int | None = None


class Raw(NamedTuple):
    """Opcodes, as they are."""

    code: bytes


def bfloat16(values: Any) -> Tensor:
    """Return a tensor of bfloat16, rounded towards zero."""
    bits = (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return tensor(bits, kind="BFloat16Storage")


def tensor(array: Any, **claims: Any) -> Tensor:
    """Return the tensor that an array is."""
    strides = tuple(int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim))
    return Tensor(array.ravel(), array.shape, strides)._replace(**claims)


class _Writer:
    """Opcodes of protocol 2, and the storages that they mention."""

    def __init__(self) -> None:
        self.storages: dict[int, tuple[int, Any]] = {}
        self.kept: list[Any] = []
        self.code = bytearray(b"\x80\x02")

    def name(self, module: str, name: str) -> None:
        self.code += f"c{module}\n{name}\n".encode()

    def value(self, value: Any) -> None:
        code = self.code
        if isinstance(value, Raw):
            code += value.code
        elif value is None:
            code += b"N"
        elif isinstance(value, bool):
            code += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            code += b"\x8a" + bytes([len(data)]) + data
        elif isinstance(value, float):
            code += b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            data = value.encode()
            code += b"X" + struct.pack("<I", len(data)) + data
        elif isinstance(value, Tensor):
            self.tensor(value)
        elif isinstance(value, np.ndarray):
            self.kept.append(value)
            self.tensor(tensor(value)._replace(storage=value))
        elif isinstance(value, tuple):
            self.items(b"(", value, b"t")
        elif isinstance(value, list):
            self.items(b"](", value, b"e")
        elif isinstance(value, set):
            self.name("__builtin__", "set")
            self.value(([*value],))
            code += b"R"
        elif isinstance(value, OrderedDict):
            self.name("collections", "OrderedDict")
            code += b")R"
            self.items(b"(", [part for item in value.items() for part in item], b"u")
            code += b"}"
            self.items(b"(", ["_metadata", {}], b"u")
            code += b"b"
        elif isinstance(value, dict):
            self.items(b"}(", [part for item in value.items() for part in item], b"u")
        else:
            raise TypeError(type(value))

    def items(self, before: bytes, items: Any, after: bytes) -> None:
        self.code += before
        for item in items:
            self.value(item)
        self.code += after

    def tensor(self, view: Tensor) -> None:
        key = self.storages.setdefault(id(view.storage), (len(self.storages), view.storage))[0]
        self.kept.append(view.storage)
        kind = view.kind or KINDS[view.storage.dtype.name]
        count = view.storage.size if view.count is None else view.count
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.code += b"("
        self.code += b"("
        self.value("storage")
        self.name("torch", kind)
        for part in (str(key), "cpu", count):
            self.value(part)
        self.code += b"tQ"
        for part in (view.offset, view.shape, view.strides, False, Raw(b"ccollections\nOrderedDict\n)R")):
            self.value(part)
        self.code += b"tR"


def records(value: Any, byteorder: str = "little") -> dict[str, bytes]:
    """Return the records of a file by name."""
    writer = _Writer()
    writer.value(value)
    order = "<" if byteorder == "little" else ">"
    found = {"data.pkl": bytes(writer.code) + b".", "byteorder": byteorder.encode()}
    for key, storage in writer.storages.values():
        found[f"data/{key}"] = np.ravel(storage).astype(storage.dtype.newbyteorder(order)).tobytes()
    return {**found, "version": b"3\n"}


def packed(parts: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED, folder: str = "model") -> bytes:
    """Return a zip archive of records."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(f"{folder}/{name}", data)
    return file.getvalue()


def saved(value: Any, byteorder: str = "little") -> bytes:
    """Return the bytes of a file."""
    return packed(records(value, byteorder))
