"""Compare three ways to end a text, on surnames: an end symbol, a halting output, a predicted length.

    python benchmarks/name_lengths.py FOLDER [--out benchmarks/results/name-lengths.json] [--plot PICTURE]

FOLDER holds a text file for each language, one name per line. The three models have the same layers,
optimizer and batches; a random fifth of the names is held out. The result has the mean log-probability of a
held-out name, split into those of its length and its symbols; with an end symbol, that of the length is the
sum over all decisions to continue and the last one to end. Then each model draws as many names as were held
out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn.data import SentenceBatches
from fastrnn.decode import generate
from fastrnn.train import Adam, CosineSchedule, Trainer

HIDDEN, EMBEDDING, DROPOUT = 128, 32, 0.2
BATCH, EPOCHS, RATE = 64, 20, 4e-3
LONGEST = 24
WAYS: dict[str, dict[str, Any]] = {
    "end symbol": {"eos": 0},
    "halting output": {"length_model": "halt"},
    "predicted length": {"length_model": "tau", "max_length": LONGEST},
}


def read_names(folder: Path) -> list[str]:
    """Return all names, the languages' files in order."""
    lines = (line for path in sorted(folder.glob("*.txt")) for line in path.read_text().splitlines())
    return [name for name in map(str.strip, lines) if 0 < len(name) <= LONGEST]


def train(options: dict[str, Any], vocabulary: fr.Vocabulary, names: list[str]) -> fr.LanguageModel:
    """Train a model with one way to end."""
    model = fr.LanguageModel(
        len(vocabulary), hidden_size=HIDDEN, num_layers=1, embedding_size=EMBEDDING, dropout=DROPOUT,
        start=-1, seed=0, **options,
    )  # fmt: skip
    data = SentenceBatches(vocabulary.encode_batch(names), BATCH, eos=model.eos, seed=0)
    steps = EPOCHS * len(data)
    trainer = Trainer(
        model, data, Adam(model, RATE), schedule=CosineSchedule(RATE, steps=steps), clip_norm=5.0
    )
    for _ in trainer.run(steps):
        pass
    return model


def parts(model: fr.LanguageModel, sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-probability of each sequence's length and of its symbols, in nats."""
    lengths, symbols = [], []
    for ids in sequences:
        text = ids if model.eos is None else np.append(ids, model.eos)
        inputs, targets = np.array([[-1, *text[:-1]]]).T, text[:, None]
        losses, of_length, _ = model.target_losses(inputs, targets)
        length = -float(of_length[0])
        if model.eos is not None:  # log-probabilities to continue before each symbol, and to end
            logits = model.logits(inputs)[0][:, 0].astype(np.float64)
            ends = logits[:, model.eos] - np.logaddexp.reduce(logits, axis=1)
            length = float(np.log1p(-np.exp(ends[:-1])).sum() + ends[-1])
        lengths.append(length)
        symbols.append(-float(losses.sum() + of_length.sum()) - length)
    return np.array(lengths), np.array(symbols)


def plot(path: Path, drawn: dict[str, list[int]]) -> None:
    """Plot histograms of true and sampled lengths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.4), sharey=True)
    bins = np.arange(0.5, LONGEST + 1.5)
    for axis, way in zip(axes, WAYS, strict=True):
        axis.hist(drawn["held out"], bins, density=True, color="0.8", label="held-out names")
        axis.hist(drawn[way], bins, density=True, histtype="step", color="C3", linewidth=1.6, label="sampled")
        axis.set(title=way, xlabel="symbols of a name")
    axes[0].set_ylabel("fraction of names")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train, score, sample."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    names = read_names(options.folder)
    order = np.random.default_rng(0).permutation(len(names))
    held_out = [names[i] for i in order[: len(names) // 5]]
    rest = [names[i] for i in order[len(names) // 5 :]]
    symbols = sorted(set("".join(names)))
    drawn = {"held out": [len(name) for name in held_out]}
    rows = []
    for way, given in WAYS.items():
        began = time.perf_counter()
        # The end symbol comes first, so that its id is known; the other models have none.
        vocabulary = fr.Vocabulary(
            ["<eos>", *symbols] if "eos" in given else symbols, eos="<eos>" if "eos" in given else None
        )
        model = train(given, vocabulary, rest)
        of_length, of_symbols = parts(model, vocabulary.encode_batch(held_out))
        texts = generate(model, count=len(held_out), max_length=4 * LONGEST, seed=0)
        drawn[way] = [len(text.ids) for text in texts]
        sampled, true = (
            np.bincount(drawn[way], minlength=LONGEST + 1),
            np.bincount(drawn["held out"], minlength=LONGEST + 1),
        )
        width = min(len(sampled), len(true))
        rows.append(
            {
                "way": way,
                "nats a name": round(-float((of_length + of_symbols).mean()), 3),
                "of its length": round(-float(of_length.mean()), 3),
                "of its symbols": round(-float(of_symbols.mean()), 3),
                "mean length sampled": round(float(np.mean(drawn[way])), 3),
                "total variation of lengths": round(
                    float(np.abs(sampled[:width] - true[:width]).sum() + sampled[width:].sum())
                    / 2
                    / len(held_out),
                    4,
                ),
                "samples": vocabulary.decode_batch([text.ids for text in texts[:8]]),
                "seconds": round(time.perf_counter() - began, 1),
            }
        )
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    result = {
        "names": {
            "trained on": len(rest),
            "held out": len(held_out),
            "mean length": round(float(np.mean(drawn["held out"])), 3),
        },
        "ways": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if options.plot:
        plot(options.plot, drawn)


if __name__ == "__main__":
    main()
