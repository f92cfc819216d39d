"""A text that was encoded once: its vocabulary, and its ids in a file that is mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._plain import as_fields, as_mapping, as_text, printable
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.files.mapped_tensors import MappedTensors, kind_in_file
from fastrnn.files.tensor_file import FORMAT_VERSION

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PARTS", "SUFFIX", "PreparedText", "describe_text", "dtype_of_ids", "is_prepared"]

SUFFIX = ".ids"
_KIND = "PreparedText"
PARTS = ("train", "valid")
_FIELDS = {"text": as_text, "source": as_text, "options": as_mapping, "ids": as_mapping}


class PreparedText:
    """The ids of a text in a file that `prepare` or ``fastrnn prepare`` wrote, with their vocabulary.

    The ids are read when they are used, through a memory map: a file may be larger than the memory, and
    processes of one machine share its pages. It is a safetensors file of the tensors ``train`` and ``valid``.

    `open` returns one; as a context manager it is closed at the end.

    Attributes
    ----------
    path : Path
    vocabulary : Vocabulary
    train, valid : ndarray, uint8, uint16 or uint32, shape [symbols]
        The ids of both parts, read-only: ``vocabulary.encode_stream`` of their texts. `valid` may be empty.
    source : str
        The names of the files that were prepared.
    options : dict
        The options of `prepare`.
    digest : str
        SHA-256 that identifies both texts.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastrnn as fr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text, out = pathlib.Path(folder, "a.txt"), pathlib.Path(folder, "a.ids")
    ...     _ = text.write_text("abcabcabca" * 4, encoding="utf-8")
    ...     fr.data.prepare(text, out, valid_fraction=0.25).close()
    ...     with fr.data.PreparedText.open(out) as prepared:
    ...         data = fr.data.ChunkedText(prepared.train, batch_size=2, seq_length=8)
    ...         prepared.train.dtype, len(prepared.train), len(prepared.valid), data.tokens
    (dtype('uint8'), 30, 10, 28)
    """

    def __init__(self, path: Path, tensors: MappedTensors, tokenizer: Any) -> None:
        self.path = path
        self._tensors = tensors
        given = tensors.description
        fields = as_fields("header", given, _FIELDS, unknown=True)
        self.source: str = fields["source"]
        self.options: dict[str, Any] = fields["options"]
        self.digest: str = fields["text"]
        self._digests: dict[str, Any] = fields["ids"]
        if sorted(tensors.tensors) != sorted(PARTS):
            raise ValueError(f"damaged: expected the tensors {', '.join(PARTS)}")
        self.vocabulary: Vocabulary = Vocabulary.from_json(given.get("vocabulary"), tokenizer=tokenizer)
        self.train: NDArray[Any] = tensors.tensors["train"]
        self.valid: NDArray[Any] = tensors.tensors["valid"]

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, tokenizer: Any = None) -> Self:
        """Open a file without reading its ids.

        Parameters
        ----------
        path : path
        tokenizer : callable, optional
            The tokeniser of the vocabulary if that was a function, which no file can hold.

        Returns
        -------
        text : PreparedText

        Raises
        ------
        ValueError
            If it is not such a file, is truncated or its header is damaged. `verify` checks the ids.
        OSError
            If it cannot be read.
        """
        try:
            tensors = MappedTensors(path, _KIND)
            try:
                return cls(Path(path), tensors, tokenizer)
            except BaseException:
                tensors.close()
                raise
        except (ValueError, TypeError) as error:
            message = printable(str(error)).replace("not a fastrnn checkpoint", "not a prepared text")
            line = f"fastrnn prepare TEXT.txt --out TEXT{SUFFIX}"
            raise ValueError(
                f"{os.fspath(path)}: {message}; to make a prepared text, type: {line}"
            ) from error

    def verify(self) -> None:
        """Read all ids, and check that they are those that were written.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        for name in PARTS:
            if self._tensors.digest(name) != self._digests.get(name):
                raise ValueError(f"{self.path}: damaged: the ids of {name} are not those that were written")

    def check_unchanged(self) -> None:
        """Check that nothing has written to the file since it was opened.

        Raises
        ------
        ValueError
            If something has, or the file was closed.
        """
        if not self._tensors.is_unchanged():
            raise ValueError(f"{self.path}: changed while it was used; prepare the text again")

    def close(self) -> None:
        """Close the file; `train` and `valid` are empty from then on."""
        self.train = self.valid = np.empty(0, self.train.dtype)
        self._tensors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        amounts = f"{len(self.train):,} ids to train on, {len(self.valid):,} to validate on"
        return f"<PreparedText of {self.source}: {amounts}, {len(self.vocabulary):,} symbols>"


def describe_text(
    vocabulary: Vocabulary,
    source: str,
    options: Mapping[str, Any],
    digest: str,
    ids: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return fastrnn's part of the header; digests of ids that are not known yet are zeros."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": _KIND,
        "text": digest,
        "source": source,
        "options": dict(options),
        "ids": dict(ids or dict.fromkeys(PARTS, "0" * 64)),
        "vocabulary": vocabulary.to_json(),
    }


def dtype_of_ids(symbols: int) -> np.dtype[Any]:
    """Return the smallest unsigned integers that hold the ids of so many symbols.

    Examples
    --------
    >>> [dtype_of_ids(symbols).name for symbols in (256, 257, 65536, 65537)]
    ['uint8', 'uint16', 'uint16', 'uint32']
    """
    return np.min_scalar_type(symbols - 1)


def is_prepared(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a prepared text, or is named like one; a file that cannot be read is not."""
    if Path(path).suffix == SUFFIX:
        return True
    try:
        return kind_in_file(path) == _KIND
    except (ValueError, OSError):
        return False
