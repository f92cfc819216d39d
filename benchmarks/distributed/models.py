"""The models whose steps are measured, and a trainer of each on random ids."""

from __future__ import annotations

import numpy as np

import fastrnn as fr
from benchmarks.compare.special.character import Size
from fastrnn.train.distributed import Ranks

__all__ = ["SIZES", "Size", "make_model", "make_trainer"]

RATE, CLIP = 3e-3, 5.0  # of ``fastrnn train``
CHUNKS = 8  # of each stream, before the epoch starts again


#: A small model, the one that ``fastrnn train`` makes of characters, and one of 10,002 words. N is
#: that of all ranks together; without an embedding E is 0.
SIZES = {
    "small": Size(T=32, N=16, V=65, E=0, H=64, layers=1),
    "characters": Size(T=64, N=16, V=96, E=0, H=256, layers=2),
    "words": Size(T=20, N=20, V=10_002, E=200, H=200, layers=2),
}


def make_model(size: Size) -> fr.LanguageModel:
    """Make an LSTM language model."""
    return fr.LanguageModel(
        size.V, hidden_size=size.H, num_layers=size.layers, embedding_size=size.E or None, seed=0
    )


def make_trainer(size: Size, ranks: Ranks) -> fr.train.Trainer[fr.LanguageModel]:
    """Make a trainer with Adam and clipping, on ids that are the same on every rank."""
    model = make_model(size)
    ids = np.random.default_rng(0).integers(0, size.V, size.N * (CHUNKS * size.T + 1))
    data = fr.ChunkedText(ids, batch_size=size.N, seq_length=size.T)
    return fr.train.Trainer(model, data, fr.train.Adam(model, RATE), clip_norm=CLIP, ranks=ranks)
