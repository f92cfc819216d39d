"""Texts that ``fastrnn prepare`` has encoded, in the place of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.data import PreparedText
from fastrnn.data.prepared_text import is_prepared

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary

__all__ = ["EncodedText", "count_id", "encoded_text", "open_prepared", "prepared_options", "stream_ids"]

# Options that the file decides, with the defaults of `fastrnn train`.
_DECIDED = {"level": "char", "max_types": None, "min_count": 1, "tokenizer": None, "valid_fraction": 0.1}
_BLOCK = 1 << 22  # ids that are compared at a time


@dataclass(frozen=True)
class EncodedText:
    """The ids of a text that is prepared, and the vocabulary that they are of."""

    ids: NDArray[Any]
    vocabulary: Vocabulary
    path: str

    def __len__(self) -> int:
        return len(self.ids)


def open_prepared(files: Sequence[str]) -> PreparedText | None:
    """Open the prepared text among files, if there is one.

    Raises
    ------
    ValueError
        If it is damaged, or not the only file.
    OSError
        If it cannot be read.
    """
    found = [path for path in files if path != "-" and is_prepared(path)]
    if not found:
        return None
    if len(files) > 1:
        raise ValueError(
            f"FILES: expected {found[0]} alone, which is prepared, got {len(files)} files; "
            "prepare all texts together: fastrnn prepare TEXT.txt OTHER.txt --out BOTH.ids"
        )
    return PreparedText.open(found[0])


def prepared_options(
    files: Sequence[str], options: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of a new training: of a prepared text, with those that its file decides.

    Parameters
    ----------
    files : sequence of str
    options : mapping
        All of them.
    given : mapping
        Those that the user gave.

    Raises
    ------
    ValueError
        If one that was given contradicts the file.
    """
    prepared = open_prepared(files)
    if prepared is None:
        return dict(options)
    with prepared:
        decided = {name: prepared.options.get(name, usual) for name, usual in _DECIDED.items()}
    for name, usual in (("valid", None), ("encoding", "utf-8")):
        if given.get(name, usual) != usual:
            raise ValueError(
                f"--{name}: expected none with {files[0]}, which is prepared, got {given[name]}; give it to "
                "fastrnn prepare"
            )
    for name, value in decided.items():
        if name in given and given[name] != value:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option}: {files[0]} was prepared with {value}, got {given[name]}; leave it out, or "
                f"prepare the text again with {option} {given[name]}"
            )
    return {**options, **decided}


def encoded_text(prepared: PreparedText) -> EncodedText:
    """Return the part of a prepared text to evaluate a model on: its validation text, if there is one.

    Raises
    ------
    ValueError
        If its file is damaged.
    """
    prepared.verify()
    ids = prepared.valid if len(prepared.valid) else prepared.train
    return EncodedText(ids, prepared.vocabulary, str(prepared.path))


def stream_ids(
    vocabulary: Vocabulary, text: str | EncodedText, *, unknown: str | None = None
) -> NDArray[Any]:
    """Return the ids of a text: those of its file if it is prepared.

    Raises
    ------
    ValueError
        If it was prepared with another vocabulary.
    """
    if not isinstance(text, EncodedText):
        return vocabulary.encode_stream(text, unknown=unknown)
    if text.vocabulary != vocabulary:
        raise ValueError(
            f"{text.path}: was prepared with another vocabulary ({len(text.vocabulary):,} symbols) than that "
            f"of the model ({len(vocabulary):,}); type: fastrnn prepare TEXT.txt --vocabulary MODEL --out "
            f"{text.path}"
        )
    return text.ids


def count_id(ids: NDArray[Any], wanted: int | None) -> int:
    """Return how many of the ids are a certain one; none are None.

    Examples
    --------
    >>> count_id(np.array([1, 2, 1], np.uint8), 1)
    2
    """
    if wanted is None:
        return 0
    starts = range(0, len(ids), _BLOCK)
    return sum(int(np.count_nonzero(ids[start : start + _BLOCK] == wanted)) for start in starts)
