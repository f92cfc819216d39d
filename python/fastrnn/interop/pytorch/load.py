"""`load_pt`: what ``torch.save`` or safetensors wrote, as NumPy arrays in plain containers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._files import open_regular
from fastrnn._memory import available_memory, out_of_memory
from fastrnn._plain import parse_json, printable
from fastrnn.files.tensor_file import read_tensors
from fastrnn.interop.file_error import ModelFileError
from fastrnn.interop.pytorch.pickle_machine import read_pickle
from fastrnn.interop.pytorch.plain_values import check_plain
from fastrnn.interop.pytorch.tensors import TensorBuilder
from fastrnn.interop.pytorch.zip_records import Records, zip_records

__all__ = ["LoadedState", "load_pt"]

_ZIP = b"PK"
_LEGACY = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # the number that begins files of before PyTorch 1.6
_BIG_HEADER = 100_000_000  # bytes, the limit of the safetensors format itself
_MOST_NOTES = 1000


class LoadedState(dict[Any, Any]):
    """What `load_pt` read from a file that holds a mapping.

    Attributes
    ----------
    notes : list of str
        What was converted, one sentence each: ``"rnn.weight_ih_l0: bfloat16 became float32"``.
    ordered : bool
        Whether the entries have the order in which they were saved; safetensors files keep none.
    """

    notes: list[str]
    ordered: bool

    def __init__(self, values: Mapping[Any, Any], notes: list[str], *, ordered: bool = True) -> None:
        super().__init__(values)
        self.notes, self.ordered = notes, ordered


def load_pt(path: str | os.PathLike[str]) -> Any:
    """Read a ``.pt`` or ``.pth`` file of ``torch.save``, or a safetensors file, without PyTorch.

    Nothing in the file is executed. Tensors become read-only arrays that share memory where the tensors
    shared it, so tied weights stay tied; their devices, hooks and ``requires_grad`` are left out. bfloat16,
    which NumPy lacks, becomes float32 of the same values; ``notes`` of the result says which.

    Parameters
    ----------
    path : path
        A zip file, as ``torch.save`` writes since PyTorch 1.6, of tensors, parameters, int, float, bool, str,
        bytes, None, tuples, lists, dicts, sets, sizes (as tuples), devices and dtypes (as str); or a
        safetensors file.

    Returns
    -------
    state : dict, or whatever else was saved
        A mapping is a `LoadedState`, a dict with ``notes``.

    Raises
    ------
    ModelFileError
        If the file is damaged, has a format from before PyTorch 1.6, is a TorchScript archive, or holds
        anything but tensors and plain values; the message names it.
    OSError
        If the file cannot be read, or is not a regular file.
    MemoryError
        If the file is larger than the memory that is left.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from safetensors.numpy import save_file
    >>> from fastrnn.interop import load_pt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save_file({"weight": np.ones((2, 3), np.float32)}, path)
    ...     state = load_pt(path)
    >>> state["weight"].shape, state.notes
    ((2, 3), [])
    """
    try:
        content = _read(path)
        return _from_archive(zip_records(content)) if content.startswith(_ZIP) else _from_tensors(content)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelFileError(printable(f"{os.fspath(path)}: {error}")) from error


def _read(path: str | os.PathLike[str]) -> bytes:
    """Read a file, if its first bytes and its size allow."""
    with open_regular(path) as file:
        _check_format(file.read(512))
        size, left = os.fstat(file.fileno()).st_size, available_memory()
        if left is not None and size > left:
            raise out_of_memory(os.fspath(path), size, "use a machine with more memory")
        file.seek(0)
        return file.read()


def _check_format(head: bytes) -> None:
    if head.startswith(_ZIP) or (
        head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _BIG_HEADER
    ):
        return
    if _LEGACY in head[:32] or head[257:262] == b"ustar":
        raise ValueError(
            "has the format of before PyTorch 1.6; write it again where PyTorch is installed: "
            "torch.save(torch.load(old), new)"
        )
    if head.startswith(b"\x89HDF\r\n"):
        raise ValueError("is an HDF5 file, as Keras writes; use load_keras")
    raise ValueError(
        "expected a zip file of torch.save or a safetensors file, it is " + ("neither" if head else "empty")
    )


def _from_tensors(content: bytes) -> LoadedState:
    tensors = read_tensors(content)
    for array in tensors.values():
        array.flags.writeable = False
    in_order = {name: tensors[name] for name in sorted(tensors)}  # else it changes from run to run
    return LoadedState(in_order, _notes_of_header(content), ordered=False)


def _from_archive(records: Records) -> Any:
    if "data.pkl" not in records:
        names = ", ".join(records.names()[:3])
        raise ValueError(f"expected the archive of torch.save with a data.pkl, got one with {names}")
    builder = TensorBuilder(records)
    try:
        value = read_pickle(bytes(records.read("data.pkl")), builder)
        check_plain(value)
    except ValueError as error:
        raise ValueError(f"data.pkl: {error}") from error
    if not isinstance(value, dict):
        return value
    return LoadedState(value, _notes(value, builder.widened))


def _notes(value: dict[Any, Any], widened: Mapping[int, Array]) -> list[str]:
    if not widened:
        return []
    found = (name for name, array in _arrays("", value) if id(array) in widened)
    return [f"{name}: bfloat16 became float32" for name, _ in zip(found, range(_MOST_NOTES), strict=False)]


def _arrays(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of nested containers, with their names; the depth is checked."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _arrays(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _arrays(f"{name}.{index}" if name else str(index), part)


def _notes_of_header(content: bytes) -> list[str]:
    """Return what `read_tensors`, which has read the same header, widened."""
    length = int.from_bytes(content[:8], "little")
    header = parse_json(content[8 : 8 + length])
    return [
        f"{name}: bfloat16 became float32"
        for name, entry in header.items()
        if isinstance(entry, dict) and entry.get("dtype") == "BF16"
    ][:_MOST_NOTES]
