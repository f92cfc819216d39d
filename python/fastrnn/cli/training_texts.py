"""The texts that ``fastrnn train`` trains and validates on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fastrnn.cli.settings import TrainingSettings
from fastrnn.data import read_text, standard_library_text

__all__ = ["TrainingTexts", "read_texts"]


@dataclass(frozen=True)
class TrainingTexts:
    """A training text, a validation text ("" for none), and where they came from."""

    train: str
    valid: str
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of both, to know them again."""
        parts = (hashlib.sha256(text.encode("utf-8")).hexdigest() for text in (self.train, self.valid))
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def read_texts(settings: TrainingSettings) -> TrainingTexts:
    """Read the files, or the standard library's source without any, and split off the validation text.

    Raises
    ------
    ValueError
        If a file is empty or not UTF-8.
    OSError
        If a file cannot be read.
    """
    if settings.files:
        text, source = read_text(settings.files), ", ".join(settings.files)
    else:
        text, source = standard_library_text(), "the Python standard library's source"
    if settings.valid is not None:
        return TrainingTexts(text, read_text([settings.valid]), source)
    held_out = int(len(text) * settings.valid_fraction)
    if held_out < 2:  # one symbol cannot be predicted from another
        return TrainingTexts(text, "", source)
    cut = len(text) - held_out
    if settings.sentences or settings.level == "word":  # between two lines, not within a word
        cut = text.rfind("\n", 0, cut) + 1 or cut
    return TrainingTexts(text[:cut], text[cut:], source)
