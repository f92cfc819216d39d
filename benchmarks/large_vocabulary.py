"""Measure a vocabulary of a million types: memory, and tokens per second in training and scoring.

    python benchmarks/large_vocabulary.py [--out benchmarks/results/large-vocabulary.json]

Exact and adaptive softmax each run in a separate process; the peak is its maximum resident memory. Ids are
drawn from Zipf's law. The model: an embedding of width 128, an LSTM of 128 units, the output layer; 20
streams of 20 steps, plain SGD. The time of a training step is from the batch to the updated parameters.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn.train import SGD, Trainer

TYPES, WIDTH, STREAMS, STEPS = 1_000_000, 128, 20, 20
CUTOFFS = [20_000, 100_000, 300_000]
WAYS: dict[str, dict[str, Any]] = {
    "exact": {},
    "adaptive": {"cutoffs": CUTOFFS},
    "adaptive, sparse embedding": {"cutoffs": CUTOFFS, "sparse_embedding": True},
}


def zipf(count: int) -> np.ndarray:
    """Draw ids with probability proportional to 1 / (rank + 2.7)."""
    weights = 1.0 / (np.arange(TYPES) + 2.7)
    sums = np.cumsum(weights / weights.sum())
    return np.searchsorted(sums, np.random.default_rng(0).random(count)).clip(max=TYPES - 1)


def measure(way: str, steps: int) -> dict[str, Any]:
    """Train some steps and score as many batches in this process."""
    data = fr.ChunkedText(zipf(STREAMS * STEPS * (steps + 1) + 1), STREAMS, STEPS)
    model = fr.LanguageModel(
        TYPES, hidden_size=WIDTH, num_layers=1, embedding_size=WIDTH, seed=0, **WAYS[way]
    )
    trainer = Trainer(model, data, SGD(model, 1.0), clip_norm=1.0)
    times = []
    losses = []
    for step in range(1, steps + 1):
        began = time.perf_counter()
        losses += [record.loss for record in trainer.run(step)]
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scored = []
    for inputs, targets in data:
        began = time.perf_counter()
        model.loss(inputs, targets)
        scored.append(time.perf_counter() - began)
    tokens = STREAMS * STEPS
    return {
        "way": way,
        "parameters": model.num_parameters,
        "peak MiB of training": round(peak / 1024),
        "training tokens a second": round(tokens / float(np.median(times[1:]))),
        "scoring tokens a second": round(tokens / float(np.median(scored[1:-1]))),
        "loss of the first and last step": [round(losses[0], 3), round(losses[-1], 3)],
    }


def main() -> None:
    """Run each way in turn."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    fr.set_num_threads(options.threads)
    if options.way:
        print(json.dumps(measure(options.way, 8 if options.way == "exact" else 60)))
        return
    rows = []
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way, "--threads", str(options.threads)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        result = {"threads": options.threads, "isa": fr.isa(), "types": TYPES, "ways": rows}
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
