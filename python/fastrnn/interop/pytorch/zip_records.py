"""The records of a zip archive as PyTorch writes it: stored, never compressed, and none over another."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import NamedTuple

from fastrnn._plain import errors_of_library

__all__ = ["Records", "zip_records"]

_MOST_RECORDS = 200_000  # a record is a parameter, or one of a few small files
_ENTRY = b"PK\x01\x02"  # begins each entry of the directory
_LOCAL = b"PK\x03\x04"  # begins each record
_LOCAL_SIZE = 30  # bytes before a record's name
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags


class _Record(NamedTuple):
    """Where the contents of a record lie, and their checksum, 0 if the writer computed none."""

    start: int
    stop: int
    checksum: int


class Records:
    """The records by their names within the archive's one folder; their contents are views of the file."""

    def __init__(self, content: bytes, places: dict[str, _Record]) -> None:
        self._content, self._places = memoryview(content), places

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def names(self) -> list[str]:
        """Return all names."""
        return list(self._places)

    def size(self, name: str) -> int:
        """Return the number of bytes of a record.

        Raises
        ------
        ValueError
            If there is no such record.
        """
        return self._place(name).stop - self._place(name).start

    def read(self, name: str) -> memoryview:
        """Return the bytes of a record, without copying them.

        Raises
        ------
        ValueError
            If there is no such record, or its checksum is another than the archive says.
        """
        place = self._place(name)
        data = self._content[place.start : place.stop]
        if place.checksum and zlib.crc32(data) != place.checksum:
            raise ValueError(f"{name}: damaged, its checksum is another than the archive says")
        return data

    def _place(self, name: str) -> _Record:
        if name not in self._places:
            raise ValueError(f"no record {name}")
        return self._places[name]


def zip_records(content: bytes) -> Records:
    """Find the records of an archive; nothing is read before all sizes and places are checked.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    ValueError
        If it is not a zip archive, is truncated or a TorchScript archive, a record is compressed, encrypted,
        appears twice, lies outside the file or over another, or the records are in more than one folder.
    """
    # The directory's objects take many times the bytes that it has in the file.
    count = content.count(_ENTRY)
    if count > _MOST_RECORDS:
        raise ValueError(f"expected at most {_MOST_RECORDS} records, got {count}")
    with errors_of_library("not a readable zip archive"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries, directory = archive.infolist(), archive.start_dir
    if not entries:
        raise ValueError("an archive without records")
    folder = entries[0].filename.partition("/")[0] + "/"
    named: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        if not entry.filename.startswith(folder):
            raise ValueError(
                f"expected all records in {folder}, as torch.save writes them, got {entry.filename}"
            )
        name = entry.filename[len(folder) :]
        if name in named:
            raise ValueError(f"{name}: two records of this name")
        named[name] = entry
    if "constants.pkl" in named or any(name.startswith("code/") for name in named):
        raise ValueError(
            "is a TorchScript archive, which is a program; write its weights where PyTorch is installed: "
            "torch.save(torch.jit.load(path).state_dict(), new)"
        )
    places = {name: _place(content, name, entry) for name, entry in named.items()}
    _refuse_overlaps(places, directory)
    return Records(content, places)


def _place(content: bytes, name: str, entry: zipfile.ZipInfo) -> _Record:
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ValueError(
            f"{name}: compressed, {entry.compress_size} bytes for {entry.file_size}; torch.save stores "
            "records uncompressed, so the archive was packed by something else"
        )
    if entry.flag_bits & _ENCRYPTED:
        raise ValueError(f"{name}: encrypted")
    first = entry.header_offset
    header = content[first : first + _LOCAL_SIZE] if first >= 0 else b""
    if len(header) < _LOCAL_SIZE or not header.startswith(_LOCAL):
        raise ValueError(f"{name}: damaged, no record at its place in the file")
    lengths = (int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little"))
    start = first + _LOCAL_SIZE + sum(lengths)
    if start + entry.file_size > len(content):
        raise ValueError(
            f"{name}: truncated, {entry.file_size} bytes from {start} on in a file of {len(content)}"
        )
    return _Record(start, start + entry.file_size, entry.CRC)


def _refuse_overlaps(places: dict[str, _Record], directory: int) -> None:
    end, before = 0, ""
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        if place.start < end:
            raise ValueError(f"{name}: lies over {before} in the file")
        end, before = place.stop, name
    if end > directory:
        raise ValueError(f"{before}: lies over the archive's directory")
