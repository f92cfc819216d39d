"""The training and validation texts of ``fastrnn train``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from fastrnn.cli.prepared_texts import EncodedText, open_prepared
from fastrnn.cli.settings import TrainingSettings
from fastrnn.cli.text_input import check_standard_input, read_input
from fastrnn.data import PreparedText, standard_library_text
from fastrnn.data.numbered_lines import source_name

__all__ = ["TrainingTexts", "read_texts"]

_DRAW = 0x76616C6964  # keeps the draw apart from the seed's other uses


@dataclass(frozen=True)
class TrainingTexts:
    """A training text, a validation text (empty for none), their source, and their file if prepared."""

    train: str | EncodedText
    valid: str | EncodedText
    source: str
    prepared: PreparedText | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of both texts, to recognise them on resuming; that of a prepared text is in its file.

        Raises
        ------
        ValueError
            If that file has changed.
        """
        if self.prepared is not None:
            self.prepared.check_unchanged()
            return self.prepared.digest
        texts = (text for text in (self.train, self.valid) if isinstance(text, str))
        parts = (hashlib.sha256(text.encode("utf-8")).hexdigest() for text in texts)
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def read_texts(settings: TrainingSettings) -> TrainingTexts:
    """Read the files, by default the standard library's source, and split off the validation text.

    Raises
    ------
    ValueError
        If a file is empty or has another encoding.
    OSError
        If a file cannot be read.
    """
    check_standard_input([*settings.files, settings.valid])
    prepared = open_prepared(settings.files)
    if prepared is not None:
        return _prepared_texts(settings, prepared)
    if settings.files:
        text = read_input(settings.files, settings.encoding)
        source = ", ".join(map(source_name, settings.files))
    else:
        text, source = standard_library_text(), "the Python standard library's source"
    if settings.valid is not None:
        return TrainingTexts(text, read_input([settings.valid], settings.encoding), source)
    if settings.sentences and settings.held_out == "drawn":
        return TrainingTexts(*_drawn_lines(text, settings.valid_fraction, settings.seed), source)
    held_out = int(len(text) * settings.valid_fraction)
    if held_out < 2:  # too short to predict one symbol from another
        return TrainingTexts(text, "", source)
    cut = len(text) - held_out
    if settings.sentences or settings.level == "word":  # cut at the end of a line, not within a word
        cut = text.rfind("\n", 0, cut) + 1 or cut
    return TrainingTexts(text[:cut], text[cut:], source)


def _prepared_texts(settings: TrainingSettings, prepared: PreparedText) -> TrainingTexts:
    path = str(prepared.path)
    if settings.sentences:
        raise ValueError(f"--sentences: expected a text, got {path}, which is prepared: one stream of ids")
    train, valid = (EncodedText(ids, prepared.vocabulary, path) for ids in (prepared.train, prepared.valid))
    return TrainingTexts(train, valid, path, prepared)


def _drawn_lines(text: str, fraction: float, seed: int) -> tuple[str, str]:
    """Split a text in two; the lines of the second are drawn at random among those with a symbol."""
    lines = text.split("\n")
    used = [number for number, line in enumerate(lines) if line.strip()]
    count = int(len(used) * fraction)
    drawn = set(np.random.default_rng([seed, _DRAW]).permutation(used)[:count].tolist())
    parts: tuple[list[str], list[str]] = ([], [])
    for number, line in enumerate(lines):
        parts[number in drawn].append(line)
    train, valid = ("\n".join(part) for part in parts)
    return train, valid
