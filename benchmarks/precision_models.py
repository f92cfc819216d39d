"""Models with ``fit`` in float32, bfloat16 and int8: what each gets right of held-out data.

    python -m benchmarks.precision_models [--names FOLDER] [--treebank TRAIN DEV] [--digits FOLDER]
                                          [--seeds 3] [--only NAME ...] [--out FILE]

Each model is trained in float32 and in bfloat16, with the same seeds, steps and batches. Then the first is
measured as it is and quantized to bfloat16 and int8, the second as it is and quantized to int8. A difference
is that to the model trained in float32, on the same examples; its standard error is that of the mean of the
differences of the examples, each averaged over the seeds. Seconds are those of the processor, on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from benchmarks.compare.run import origin
from benchmarks.precision_tasks import Numbers, Task, tasks
from fastrnn.cli.benchmark.machine import facts

OUT = Path(__file__).parent / "results" / "precision-models.json"
#: The precision of training, and that of inference where it is another.
WAYS = {
    "float32": ("float32", None),
    "float32, quantized to bfloat16": ("float32", "bfloat16"),
    "float32, quantized to int8": ("float32", "int8"),
    "bfloat16": ("bfloat16", None),
    "bfloat16, quantized to int8": ("bfloat16", "int8"),
}
#: Of the printed table, whose rows have the differences of these ways.
HEAD = (
    "| data | held out | measured | no network | float32 | trained in bfloat16 | its int8 | "
    "quantized to bfloat16 | to int8 |\n|" + " --- |" * 9
)
_SHOWN = [
    "bfloat16",
    "bfloat16, quantized to int8",
    "float32, quantized to bfloat16",
    "float32, quantized to int8",
]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and the processor's seconds."""
    started = time.process_time()
    return call(), time.process_time() - started


def run_seed(task: Task, seed: int) -> tuple[dict[str, Numbers], dict[str, float], float]:
    """Return a number for each example, and the seconds, of each way; and the baseline."""
    training, held_out = task.load(seed)
    fitted: dict[str, Any] = {}
    numbers: dict[str, Numbers] = {}
    seconds: dict[str, float] = {}
    for way, (trained, other) in WAYS.items():
        if trained not in fitted:
            model = task.model(**task.settings, precision=trained, random_state=seed)
            fitted[trained], seconds[f"training in {trained}"] = timed(lambda one=model: one.fit(*training))
        model = fitted[trained] if other is None else fr.quantize(fitted[trained], other)
        numbers[way] = task.measure(model, *held_out)  # packs the weights
        _, seconds[way] = timed(lambda one=model: task.measure(one, *held_out))
    return numbers, seconds, task.baseline(training, held_out)


def measure(task: Task, seeds: int) -> dict[str, Any]:
    """Return what a task reaches in each way, over all seeds."""
    runs = [run_seed(task, seed) for seed in range(seeds)]
    factor = 100 if task.unit == "%" else 1
    every = {way: np.array([numbers[way] for numbers, _, _ in runs]) * factor for way in WAYS}
    return {
        "name": task.name,
        "unit": task.unit,
        "seeds": seeds,
        "examples": every["float32"].shape[1],
        "baseline": float(np.mean([baseline for _, _, baseline in runs])) * factor,
        "ways": [compared(way, values, every["float32"], task.unit) for way, values in every.items()],
        "seconds": {name: float(np.median([own[name] for _, own, _ in runs])) for name in runs[0][1]},
    }


def compared(way: str, values: Numbers, wide: Numbers, unit: str) -> dict[str, Any]:
    """Return the mean of numbers [seeds, examples], and how far it is from float32's.

    The difference is in points, or of a loss in percent of float32's.
    """
    differences = (values - wide) * (1.0 if unit == "%" else 100 / wide.mean())
    of_examples = differences.mean(axis=0)  # seeds may share their examples
    return {
        "way": way,
        "mean": float(values.mean()),
        "by seed": values.mean(axis=1).round(4).tolist(),
        "difference": float(differences.mean()),
        "standard error": float(of_examples.std() / len(of_examples) ** 0.5),
    }


def describe(point: dict[str, Any]) -> str:
    """Return the row of a table: what there is to beat, float32, and the differences to it."""
    ways = {one["way"]: one for one in point["ways"]}
    others = [
        f"{round(ways[way]['difference'], 2) + 0.0:+.2f} ± {ways[way]['standard error']:.2f}"
        for way in _SHOWN
    ]
    examples = f"{point['examples']:,}"
    levels = [f"{point['baseline']:.2f}", f"{ways['float32']['mean']:.2f}"]
    return f"| {' | '.join([point['name'], examples, point['unit'], *levels, *others])} |"


def main() -> None:
    """Train, measure, print a row for each task, and write the result after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--names", type=Path, metavar="FOLDER", help="a text file of surnames for each language"
    )
    parser.add_argument("--treebank", type=Path, nargs=2, metavar=("TRAIN", "DEV"), help="in CoNLL-U")
    parser.add_argument("--digits", type=Path, metavar="FOLDER", help="of WAV files, DIGIT_SPEAKER_INDEX.wav")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="parts of names of data")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    fr.set_num_threads(1)
    result = {**origin("precision-models-1", "benchmarks.precision_models"), "machine": facts(), "points": []}
    print(HEAD, flush=True)
    for task in tasks(given):
        if given.only and not any(part in task.name for part in given.only):
            continue
        point = measure(task, given.seeds)
        result["points"].append(point)
        print(describe(point), flush=True)
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
