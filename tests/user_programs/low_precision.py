"""What someone writes who trains in bfloat16 and ships int8: a language model, and a network on a device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fastrnn as fr
from fastrnn.train import Adam, Trainer, evaluate, load_checkpoint, save_checkpoint

Floats = NDArray[np.float32]
TEXT = "the quick brown fox jumps over the lazy dog. " * 60


def language_model(folder: Path) -> tuple[bool, bool, bool]:
    """Train in bfloat16, ship in int8: does the loss fall, stay, and the file shrink?"""
    vocabulary = fr.Vocabulary.from_text(TEXT)
    ids = vocabulary.encode(TEXT)
    model = fr.LanguageModel(len(vocabulary), hidden_size=64, cell="gru", precision="bfloat16", seed=0)
    data = fr.ChunkedText(ids, batch_size=8, seq_length=30)
    trainer = Trainer(model, data, Adam(model, 0.01), clip_norm=5.0)
    losses: list[float] = [record.loss for record in trainer.run(150)]
    small: fr.LanguageModel = fr.quantize(model, "int8")
    save_checkpoint(folder / "model.safetensors", model, vocabulary=vocabulary)
    save_checkpoint(folder / "small.safetensors", small, vocabulary=vocabulary)
    again = load_checkpoint(folder / "small.safetensors").model
    assert isinstance(again, fr.LanguageModel)
    assert again.precision == "int8"
    assert again.quantized
    difference: float = evaluate(again, ids).loss - evaluate(model, ids).loss
    size = {name: (folder / f"{name}.safetensors").stat().st_size for name in ("model", "small")}
    return losses[-1] < losses[0] / 4, abs(difference) < 0.01, size["small"] < size["model"] / 2


def network(folder: Path) -> tuple[bool, ...]:
    """Make a network of layers, of bfloat16 and then of int8, and run it step by step from its file."""
    made = fr.Sequential(
        {
            "rnn": fr.LSTM(24, 64, precision="bfloat16", seed=0),
            "output": fr.Linear(64, 2, precision="bfloat16", seed=1),
        }
    )
    x: Floats = np.random.default_rng(0).normal(size=(20, 1, 24)).astype(np.float32)
    exact: Floats = made(x)[0]
    same = []
    for small in (fr.quantize(made, "bfloat16"), fr.quantize(made, "int8")):
        path = folder / f"{small.precision}.safetensors"
        small.save(path)
        stream = fr.Sequential.load(path).stream()
        y: Floats = small(x)[0]
        steps = np.stack([stream.step(x_t) for x_t in x])
        same.append(bool(np.array_equal(steps, y)) and float(np.abs(y - exact).max()) < 0.05)
    return tuple(same)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        fell, kept, smaller = language_model(Path(name))
        print(f"loss fell: {fell}; kept: {kept}; smaller: {smaller}; as in one call: {network(Path(name))}")
