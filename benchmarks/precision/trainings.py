"""The trainings of ``precision_quality``: data, model and schedule, of characters and of words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from benchmarks.wikitext import read_words
from fastrnn.train import Adam, CosineSchedule, Trainer

__all__ = ["Training", "characters", "words"]

TRAIN_PART = 0.9  # of the characters; the rest is for validation


@dataclass(frozen=True)
class Training:
    """What both precisions share.

    Attributes
    ----------
    vocabulary : Vocabulary
    train, valid : ndarray of int [tokens]
    model : dict
        Arguments of `LanguageModel` except vocabulary and precision.
    streams, length : int
        N and T of a batch.
    rate, clip : float
        Of Adam, and of the gradient's norm.
    steps, validations : int
        Steps in total, and how often the loss is validated on the way.
    warmup : int
        Steps up to the full rate, which a cosine then takes to zero.
    """

    vocabulary: fr.Vocabulary
    train: np.ndarray
    valid: np.ndarray
    model: dict[str, Any]
    streams: int
    length: int
    rate: float
    clip: float
    steps: int
    validations: int
    warmup: int

    def validated(self) -> list[int]:
        """Return the steps after which the loss is validated, the last step included."""
        count = self.validations
        return sorted({round(self.steps * (one + 1) / count) for one in range(count)} - {0})

    def trainer(self, precision: str) -> Trainer[fr.LanguageModel]:
        """Return a trainer of a new model; all precisions start from the same parameters."""
        options = {**self.model, "seed": 0}
        if precision != "float32":
            options["precision"] = precision
        model = fr.LanguageModel(len(self.vocabulary), **options)
        schedule = CosineSchedule(self.rate, steps=self.steps, warmup=self.warmup)
        data = fr.ChunkedText(self.train, self.streams, self.length)
        return Trainer(model, data, Adam(model, self.rate), schedule=schedule, clip_norm=self.clip)

    def described(self) -> dict[str, Any]:
        """Return the settings as values that JSON can hold."""
        names = ("streams", "length", "rate", "clip", "steps", "warmup")
        sizes = {
            "types": len(self.vocabulary),
            "tokens": len(self.train),
            "validation tokens": len(self.valid),
        }
        return {**sizes, **self.model, **{name: getattr(self, name) for name in names}}


def characters(path: Path, steps: int) -> Training:
    """Return the training of ``fastrnn train FILE --schedule cosine --warmup 100``.

    At the default, a constant rate, the losses of one training waver by a percent between validations, which
    says nothing about precision.
    """
    text = fr.data.read_text([path])
    vocabulary = fr.Vocabulary.from_text(text)
    ids = vocabulary.encode_stream(text)
    cut = int(TRAIN_PART * len(ids))
    return Training(
        vocabulary,
        train=ids[:cut],
        valid=ids[cut:],
        model={"hidden_size": 256, "num_layers": 2, "embedding_size": 256},
        streams=16,
        length=64,
        rate=3e-3,
        clip=5.0,
        steps=steps,
        validations=10,
        warmup=min(100, max(1, steps // 4)),
    )


def words(folder: Path, steps: int) -> Training:
    """Return the training of the regularised model of WikiText-2 in ``docs/language-models.md``."""
    vocabulary, train, valid = read_words(folder)
    start = vocabulary.eos_id
    model = {"hidden_size": 200, "num_layers": 2, "embedding_size": 200, "tied": True, "dropout": 0.2}
    return Training(
        vocabulary,
        train,
        valid,
        model={**model, "start": start, "eos": start},
        streams=32,
        length=35,
        rate=4e-3,
        clip=1.0,
        steps=steps,
        validations=6,
        warmup=min(200, max(1, steps // 4)),
    )
