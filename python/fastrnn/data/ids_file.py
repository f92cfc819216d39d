"""The file of a prepared text: ids that many processes encode, written to one file as they come."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.data.prepared_text import PARTS, dtype_of_ids
from fastrnn.data.shared_work import Workers
from fastrnn.data.text_spans import Block, block_characters, with_progress
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.files.atomic_files import name_file_in_errors, name_file_in_unnamed_errors, replaced_file
from fastrnn.files.mapped_tensors import streamed_header
from fastrnn.files.temporary_files import create_temporary

__all__ = ["write_ids"]

_CHUNK = 1 << 22  # bytes that are copied at a time


class _Encoding(NamedTuple):
    """What a process needs to encode a block."""

    vocabulary: Vocabulary
    dtype: np.dtype[Any]


def write_ids(
    out: str | os.PathLike[str],
    describe: Callable[..., dict[str, Any]],
    vocabulary: Vocabulary,
    texts: Sequence[Sequence[Block]],
    workers: Workers,
) -> None:
    """Encode the blocks of the training and the validation text into a file.

    The ids of all blocks follow each other in the file. Rank 0 writes its own, the first, in their place;
    the place of the others' is known when all have encoded theirs, which they keep in a temporary file beside
    it until then.

    Parameters
    ----------
    out : path
    describe : callable
        Returns fastrnn's part of the header; its argument `ids` are the digests of the tensors.
    vocabulary : Vocabulary
    texts : sequence of sequence of Block
        One for each of `PARTS`.
    workers : Workers

    Raises
    ------
    ValueError
        If a text is not UTF-8, or has a symbol that the vocabulary refuses.
    OSError
        If a file cannot be read or written.
    """
    encoding = _Encoding(vocabulary, dtype_of_ids(len(vocabulary)))
    zeros = workers.together(lambda: streamed_header(describe(), encoding.dtype, dict.fromkeys(PARTS, 0)))
    numbered = [(part, block) for part, blocks in enumerate(texts) for block in blocks]
    with ExitStack() as stack:
        stack.enter_context(name_file_in_unnamed_errors(out))
        path, file = workers.together(lambda: _file_of_rank(stack, out, workers))
        start = len(zeros) if workers.is_first else 0
        own = workers.together(lambda: _write_own(file, start, encoding, workers, numbered))
        counts = np.array(workers.ranks.gather(own))  # [ranks, parts]
        place = len(zeros) + int(counts[: workers.ranks.rank].sum()) * encoding.dtype.itemsize
        target = workers.ranks.gather(path)[0]
        workers.together(lambda: None if workers.is_first else _copy(out, path, target, place))
        lengths = dict(zip(PARTS, counts.sum(axis=0).tolist(), strict=True))
        workers.from_first(lambda: _write_header(out, target, describe, encoding.dtype, lengths))
        workers.together(stack.close)  # rank 0 renames its file


def _file_of_rank(stack: ExitStack, out: str | os.PathLike[str], workers: Workers) -> tuple[Path, BinaryIO]:
    """Return a temporary file beside `out`; that of rank 0 will replace it."""
    if workers.is_first:
        return stack.enter_context(replaced_file(out))
    with name_file_in_errors(out):
        temporary, file = stack.enter_context(create_temporary(Path(os.path.realpath(out))))
        return temporary.path, file


def _write_own(
    file: BinaryIO,
    start: int,
    encoding: _Encoding,
    workers: Workers,
    numbered: Sequence[tuple[int, Block]],
) -> list[int]:
    """Write the ids of this rank's blocks, and return how many each part has."""
    counts = [0] * len(PARTS)
    own = workers.own(numbered)
    file.seek(start)
    encoded = workers.map(_encode, encoding, own)
    shown = with_progress("encoding", [block for _, block in own], encoded, shown=workers.shown)
    for (part, _), ids in zip(own, shown, strict=True):
        counts[part] += len(ids)
        file.write(ids.tobytes())
    file.flush()
    return counts


def _encode(encoding: _Encoding, numbered: tuple[int, Block]) -> NDArray[Any]:
    vocabulary, block = encoding.vocabulary, numbered[1]
    try:
        ids = vocabulary.encode_stream(block_characters(block))
    except ValueError as error:
        raise ValueError(_explained(str(error), block)) from None
    if not block.whole and vocabulary.level == "word" and vocabulary.eos_id is not None:
        ids = ids[:-1]  # its line goes on in the next block
    return ids.astype(encoding.dtype.newbyteorder("<"))


def _explained(message: str, block: Block) -> str:
    """Return a message about a symbol that is not in the vocabulary, with the file."""
    if not message.startswith("text: "):
        return message
    name, start = block.text[0].name, block.text[0].start
    what = message.removeprefix("text: ")
    return f"{name}, from byte {start:,} on: {what}; prepare the text with a vocabulary of its own"


def _copy(out: str | os.PathLike[str], path: Path, target: Path, place: int) -> None:
    """Copy a rank's ids to their place in the file of rank 0."""
    with name_file_in_errors(out), open(path, "rb") as source, open(target, "r+b") as file:
        file.seek(place)
        while content := source.read(_CHUNK):
            file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _write_header(
    out: str | os.PathLike[str],
    target: Path,
    describe: Callable[..., dict[str, Any]],
    dtype: np.dtype[Any],
    lengths: Mapping[str, int],
) -> None:
    """Write the header, with the digests of the ids, which are all there."""
    with name_file_in_errors(out), open(target, "r+b") as file:
        file.seek(len(streamed_header(describe(), dtype, lengths)))
        digests = {name: _digest(file, length * dtype.itemsize) for name, length in lengths.items()}
        file.seek(0)
        file.write(streamed_header(describe(digests), dtype, lengths))


def _digest(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    for first in range(0, size, _CHUNK):
        digest.update(file.read(min(_CHUNK, size - first)))
    return digest.hexdigest()
