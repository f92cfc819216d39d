"""HDF5 files as Keras writes them, read with bounds on everything.

A damaged or hostile file can crash the process within the HDF5 library or keep it busy for ever: of 10,000
mutated files, 11 crashed HDF5 2.0 and 4 hung. So the part of the format that h5py writes by default is read
here: superblock 0 or 1, groups of symbol tables, whole arrays, attributes of texts. What needs another file
(external links and data), computes (filters, virtual datasets) or points elsewhere (references, soft links)
is never followed.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.keras.hdf5_messages import DataType, attribute_of, shape_of, type_of

__all__ = ["Group", "Unreadable", "read_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 2**64 - 1
_DEEPEST = 64
_LONGEST_NAME = 4096
_SHAPE, _TYPE, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _MORE, _TABLE = 1, 3, 7, 8, 11, 12, 16, 17
_NEWER = {2: "links", 6: "links", 21: "attributes"}
_SHARED = 2  # a flag
_NEWER_FORMAT = (
    "is in HDF5's newer format or has links to other files, which Keras does not write; write it again with "
    "h5py's defaults"
)


class Unreadable(str):
    """Why a dataset cannot be read."""

    __slots__ = ()


@dataclass
class Group:
    """A group of an HDF5 file.

    Attributes
    ----------
    attributes : dict of str to (str or list of str)
        Those that are texts.
    groups : dict of str to Group
    arrays : dict of str to (ndarray or Unreadable)
        Views of the file's contents.
    """

    attributes: dict[str, str | list[str]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    arrays: dict[str, Array | Unreadable] = field(default_factory=dict)

    def find(self, path: str) -> Group | None:
        """Return the group at a path such as ``layers/lstm``, or None."""
        group: Group | None = self
        for name in filter(None, path.split("/")):
            group = group.groups.get(name) if group else None
        return group


def read_hdf5(content: bytes) -> Group:
    """Return the root group of a file with all that is below it.

    Raises
    ------
    ValueError
        If it is not HDF5, truncated, damaged, or in the newer format.
    """
    file = _File(content)
    try:
        return file.root()
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"damaged: {error}") from None


class _File:
    """The contents of a file, and how many of its bytes may still be looked at.

    In a sound file every byte is needed once, some a few times; whatever claims more is a bomb.
    """

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._allowance = 4 * len(content) + 65536
        self._opened: set[int] = set()
        self._heaps: dict[int, dict[int, memoryview]] = {}

    def root(self) -> Group:
        start = self._take(0, 24)
        if bytes(start[:8]) != SIGNATURE:
            raise ValueError("is not an HDF5 file")
        if start[8] > 1:
            raise ValueError(_NEWER_FORMAT)
        if (start[13], start[14]) != (8, 8):
            raise ValueError(f"expected addresses and sizes of 8 bytes, got {start[13]} and {start[14]}")
        place = 28 if start[8] else 24
        base, _, end, _, _, header = struct.unpack("<6Q", self._take(place, 48))
        if base:
            raise ValueError(f"expected its contents to begin at 0, not at {base}")
        if end > len(self._content):
            raise ValueError(f"is truncated: {len(self._content)} of {end} bytes")
        found = self._object(header, 0)
        if not isinstance(found, Group):
            raise ValueError("its root is not a group")
        return found

    def _take(self, start: int, size: int) -> memoryview:
        if start < 0 or size < 0 or start + size > len(self._content):
            raise ValueError(f"is damaged: {size} bytes at {start} of {len(self._content)}")
        self._allowance -= size
        if self._allowance < 0:
            raise ValueError("is damaged: its parts lie over each other")
        return self._content[start : start + size]

    def _once(self, address: int) -> None:
        if address in self._opened:
            raise ValueError(f"is damaged: two ways lead to the object at {address}")
        self._opened.add(address)

    # --- objects ---

    def _messages(self, address: int) -> list[tuple[int, int, memoryview]]:
        """Return type, flags and contents of each message of an object's header."""
        self._once(address)
        start = self._take(address, 16)
        if bytes(start[:4]) == b"OHDR":
            raise ValueError(_NEWER_FORMAT)
        version, _, count, _, size = struct.unpack_from("<BBHII", start)
        if version != 1:
            raise ValueError(f"is damaged: an object header of version {version} at {address}")
        messages: list[tuple[int, int, memoryview]] = []
        blocks = [(address + 16, size)]
        for place, length in blocks:  # grows
            block, at = self._take(place, length), 0
            while at + 8 <= length and len(messages) < count:
                kind, size, flags = struct.unpack_from("<HHB", block, at)
                body = block[at + 8 : at + 8 + size]
                if len(body) < size:
                    raise ValueError(f"is damaged: a message longer than its header at {address}")
                if kind == _MORE:
                    blocks.append(struct.unpack_from("<QQ", body))
                messages.append((kind, flags, body))
                at += 8 + size
        return messages

    def _object(self, address: int, depth: int) -> Group | Array | Unreadable:
        if depth > _DEEPEST:
            raise ValueError(f"is nested deeper than {_DEEPEST} groups")
        messages = self._messages(address)
        for kind, _, _ in messages:
            if kind in _NEWER:
                raise ValueError(_NEWER_FORMAT)
        tables = [body for kind, _, body in messages if kind == _TABLE]
        if not tables:
            return self._dataset(messages)
        group = Group()
        for kind, flags, body in messages:
            if kind == _ATTRIBUTE and not flags & _SHARED:
                self._add_attribute(group, body)
        for name, header in self._links(*struct.unpack_from("<QQ", tables[0])):
            found = self._object(header, depth + 1)
            if isinstance(found, Group):
                group.groups[name] = found
            else:
                group.arrays[name] = found
        return group

    def _dataset(self, messages: list[tuple[int, int, memoryview]]) -> Array | Unreadable:
        parts = {kind: body for kind, flags, body in messages if not flags & _SHARED}
        if _EXTERNAL in parts:
            return Unreadable("its contents are in another file")
        if _FILTERS in parts:
            return Unreadable("is compressed or filtered; Keras writes weights as they are")
        if not {_SHAPE, _TYPE, _LAYOUT} <= parts.keys():
            return Unreadable("is neither a group nor an array")
        shape, found, layout = shape_of(parts[_SHAPE]), type_of(parts[_TYPE]), parts[_LAYOUT]
        if found.numbers is None:
            return Unreadable(f"holds {found.kind}, not numbers")
        nbytes = math.prod(shape) * found.size
        if layout[0] != 3 or layout[1] > 1:
            return Unreadable("is stored in chunks; Keras writes arrays whole")
        if not nbytes:
            return np.empty(shape, found.numbers)
        if layout[1] == 0:
            data = layout[4 : 4 + struct.unpack_from("<H", layout, 2)[0]]
        else:
            place, size = struct.unpack_from("<QQ", layout, 2)
            if place == _NOWHERE:
                return Unreadable("has no contents")
            data = self._take(place, min(size, nbytes))
        if len(data) < nbytes:
            return Unreadable(f"claims {list(shape)}, {nbytes} bytes, and has {len(data)}")
        return np.frombuffer(data, found.numbers, math.prod(shape)).reshape(shape)

    # --- groups ---

    def _links(self, tree: int, heap: int) -> list[tuple[str, int]]:
        """Return name and header's address of each member of a group."""
        start = self._take(heap, 32)
        if bytes(start[:4]) != b"HEAP":
            raise ValueError(f"is damaged: no heap of names at {heap}")
        size, _, place = struct.unpack_from("<QQQ", start, 8)
        names = self._take(place, size)
        links: list[tuple[str, int]] = []
        nodes = [tree]
        for node in nodes:  # grows
            self._once(node)
            head = self._take(node, 24)
            if bytes(head[:4]) == b"SNOD":
                self._add_symbols(links, node, names)
                continue
            kind, count = head[4], int.from_bytes(head[6:8], "little")
            if bytes(head[:4]) != b"TREE" or kind:
                raise ValueError(f"is damaged: no group's tree at {node}")
            pairs = struct.unpack_from(f"<{2 * count + 1}Q", self._take(node + 24, 16 * count + 8))
            nodes += pairs[1::2]
        return links

    def _add_symbols(self, links: list[tuple[str, int]], node: int, names: memoryview) -> None:
        for index in range(int.from_bytes(self._take(node, 8)[6:8], "little")):
            name, header, cached = struct.unpack_from("<QQI", self._take(node + 8 + 40 * index, 40))
            if cached == 2 or header == _NOWHERE:
                continue  # a soft link
            links.append((self._name(names, name), header))
        if len({name for name, _ in links}) < len(links):
            raise ValueError(f"is damaged: two members of one name in the group at {node}")

    def _name(self, names: memoryview, start: int) -> str:
        if start >= len(names):
            raise ValueError(f"is damaged: a name at {start} in a heap of {len(names)} bytes")
        text = bytes(names[start : start + _LONGEST_NAME])
        name, found, _ = text.partition(b"\0")
        self._allowance -= len(name)
        if not name or not found:
            raise ValueError("is damaged: a member without a name, or with an endless one")
        return name.decode("utf-8", "replace")

    # --- attributes ---

    def _add_attribute(self, group: Group, body: memoryview) -> None:
        attribute = attribute_of(body)
        count = math.prod(attribute.shape)
        if attribute.type.kind not in ("text", "texts") or len(attribute.shape) > 1:
            if not count:
                group.attributes[attribute.name] = []
            return
        texts = [self._text(attribute.type, attribute.data, index) for index in range(count)]
        group.attributes[attribute.name] = texts if attribute.shape else texts[0]

    def _text(self, found: DataType, data: memoryview, index: int) -> str:
        entry = data[index * found.size : (index + 1) * found.size]
        if found.kind == "texts":
            length, heap, number = struct.unpack("<IQI", entry)
            entry = self._heap_object(heap, number)[:length] if length else entry[:0]
        self._allowance -= len(entry)
        if self._allowance < 0:
            raise ValueError("is damaged: its texts are longer than the file")
        return bytes(entry).rstrip(b"\0").decode("utf-8", "replace")

    def _heap_object(self, address: int, number: int) -> memoryview:
        if address not in self._heaps:
            start = self._take(address, 16)
            if bytes(start[:4]) != b"GCOL":
                raise ValueError(f"is damaged: no heap of texts at {address}")
            self._heaps[address] = _heap_objects(self._take(address, struct.unpack_from("<Q", start, 8)[0]))
        if number not in self._heaps[address]:
            raise ValueError(f"is damaged: no text {number} in the heap at {address}")
        return self._heaps[address][number]


def _heap_objects(heap: memoryview) -> dict[int, memoryview]:
    objects: dict[int, memoryview] = {}
    place = 16
    while place + 16 <= len(heap):
        index, _, _, size = struct.unpack_from("<HHIQ", heap, place)
        if not index:
            break
        if place + 16 + size > len(heap):
            raise ValueError("is damaged: a text longer than its heap")
        objects[index] = heap[place + 16 : place + 16 + size]
        place += 16 + -(-size // 8) * 8
    return objects
