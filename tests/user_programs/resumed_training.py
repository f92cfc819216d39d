"""A language model: a text, a training that is resumed, an evaluation, with types."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import fastrnn as fr
from fastrnn.train import (
    Adam,
    Checkpoint,
    PlateauSchedule,
    Record,
    Trainer,
    Validation,
    evaluate,
    load_checkpoint,
    save_checkpoint,
    train,
)


def records(trainer: Trainer) -> Iterator[Record]:
    yield from trainer.run(20)


def resume(trainer: Trainer[fr.LanguageModel], path: Path) -> fr.LanguageModel:
    checkpoint: Checkpoint = load_checkpoint(path)
    if checkpoint.training is not None:
        trainer.restore(checkpoint.training)
    return trainer.model


def main(folder: Path) -> str:
    text = "to be or not to be, that is the question. " * 40
    vocabulary: fr.Vocabulary = fr.Vocabulary.from_text(text)
    ids = vocabulary.encode(text)
    model = fr.LanguageModel(len(vocabulary), cell="gru", hidden_size=16, num_layers=1, seed=0)
    data = fr.ChunkedText(ids[:1200], batch_size=4, seq_length=20)
    trainer = Trainer(
        model,
        data,
        Adam(model, 1e-2),
        clip_norm=1.0,
        schedule=PlateauSchedule(1e-2),
        validation=Validation(ids[1200:], every=10),
    )
    losses = [record.loss for record in records(trainer)]
    best: fr.LanguageModel = trainer.evaluated
    save_checkpoint(folder / "m.safetensors", best, vocabulary, trainer.state())
    model = resume(trainer, folder / "m.safetensors")
    loss, _ = model.loss(np.array([[1], [2]]), np.array([[2], [3]]))
    result = evaluate(model, ids, batch_size=2)
    perplexity: float = result.perplexity
    symbols: tuple[str, ...] = vocabulary.symbols
    for record in train(model, data, 3):
        losses.append(record.loss)
    logits, _ = model.logits(np.array([[1], [2]]))
    shape: tuple[int, ...] = logits.shape
    assert perplexity > 1
    assert loss > 0
    return f"{vocabulary.decode(ids[:5])!r} of {len(symbols)} symbols; {shape}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(main(Path(name)))
