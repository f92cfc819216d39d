"""Transcripts as ids and back: texts of characters or words, or lists of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_flag
from fastrnn._foreign import of_others
from fastrnn._plain import as_fields, as_mapping
from fastrnn.models.base.input_codec import LEVELS
from fastrnn.models.base.symbol_ids import SymbolIds, as_symbol

__all__ = ["TranscriptCodec", "split_transcript"]


class TranscriptCodec:
    """Turn transcripts into ids from 1, and ids into transcripts.

    Attributes
    ----------
    level : {"char", "word"}
        What a str is a sequence of; words are separated by white space.
    symbols : SymbolIds
        0 is no symbol.
    as_text : bool
        Whether transcripts are str; else lists of tokens.

    Examples
    --------
    >>> codec = TranscriptCodec.learn("y", ["six", "six one"], level="word")
    >>> [ids.tolist() for ids in codec.encode("y", ["one six", ""])], codec.decode([2, 1])
    ([[2, 1], []], 'one six')
    """

    level: str
    symbols: SymbolIds
    as_text: bool

    def __init__(self, level: str, symbols: SymbolIds, as_text: bool) -> None:
        self.level, self.symbols, self.as_text = level, symbols, as_text

    @classmethod
    def learn(cls, name: str, rows: Sequence[Any], *, level: str, known: Any = None) -> TranscriptCodec:
        """Return the codec of a training set.

        Parameters
        ----------
        name : str
            What messages call the transcripts.
        rows : sequence of str, or of sequences of str or int
            Some may be empty.
        level : {"char", "word"}
        known : iterable of str or int, optional
            Symbols that others may have.

        Raises
        ------
        ValueError, TypeError
            If one is neither a str nor a sequence of tokens, there are both, or all are empty.
        """
        as_choice("level", level, LEVELS)
        as_text = isinstance(rows[0], str)
        split = [split_transcript(name, row, one, level, as_text) for row, one in enumerate(rows)]
        if known is not None:
            split.append([as_symbol("symbols", symbol) for symbol in known])
        symbols = SymbolIds.learn(split)
        if not symbols.symbols:
            raise ValueError(f"{name}: expected at least one symbol, got empty transcripts alone")
        return cls(level, symbols, as_text)

    def split(self, name: str, rows: Sequence[Any]) -> list[list[Any]]:
        """Return the symbols of each transcript, known or not.

        Raises
        ------
        TypeError
            If one is of another kind than those in training.
        """
        return [split_transcript(name, row, one, self.level, self.as_text) for row, one in enumerate(rows)]

    def encode(self, name: str, rows: Sequence[Any]) -> list[NDArray[np.int64]]:
        """Return the ids of each transcript, int64 [L].

        Raises
        ------
        ValueError, TypeError
            If one is of another kind than those in training, or has a symbol that no transcript had; the
            message names its row and position.
        """
        encoded = []
        for row, symbols in enumerate(self.split(name, rows)):
            ids = self.symbols.encode(symbols)
            if ids.size and ids.min() == 0:
                place = int(ids.argmin())
                raise ValueError(
                    f"{name}[{row}]: expected symbols seen in training, got {symbols[place]!r} at position "
                    f"{place}"
                )
            encoded.append(ids)
        return encoded

    def decode(self, ids: Iterable[int]) -> Any:
        """Return the transcript of ids: a str, or a list of tokens."""
        symbols = self.symbols.decode(ids)
        return ("" if self.level == "char" else " ").join(symbols) if self.as_text else symbols

    def to_plain(self) -> dict[str, Any]:
        """Return the codec as plain values, ready for ``json.dumps``."""
        return {"level": self.level, "symbols": self.symbols.to_plain(), "as_text": self.as_text}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> TranscriptCodec:
        """Return the codec that `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        checks = {"level": _as_level, "symbols": as_mapping, "as_text": as_flag}
        fields = as_fields("transcripts", values, checks)
        symbols = SymbolIds.from_plain(fields["symbols"])
        if symbols.reserved != 1 or not symbols.symbols:
            raise ValueError("transcripts.symbols: expected at least one, with ids from 1")
        if fields["as_text"] and not all(isinstance(symbol, str) for symbol in symbols.symbols):
            raise TypeError("transcripts.symbols: expected str, as the transcripts are texts")
        return cls(fields["level"], symbols, fields["as_text"])


def split_transcript(name: str, row: int, transcript: Any, level: str, as_text: bool) -> list[Any]:
    """Return the symbols of one transcript, which may be empty.

    Raises
    ------
    TypeError
        If it is not a str, or with ``as_text=False`` not a sequence of str or int.
    """
    if isinstance(transcript, str):
        if not as_text:
            raise TypeError(f"{name}[{row}]: expected a list of tokens as in {name}[0], got a str")
        return list(str(transcript)) if level == "char" else transcript.split()
    if as_text:
        raise TypeError(
            f"{name}[{row}]: expected a str as in the other rows, got {type(transcript).__name__}"
        )
    transcript = of_others(f"{name}[{row}]", transcript)
    if isinstance(transcript, (bytes, dict, set, frozenset)) or not isinstance(transcript, Iterable):
        raise TypeError(f"{name}[{row}]: expected a str or a list of tokens, got {type(transcript).__name__}")
    return [as_symbol(f"{name}[{row}][{place}]", token) for place, token in enumerate(transcript)]


def _as_level(name: str, value: Any) -> str:
    return as_choice(name, value, LEVELS)
