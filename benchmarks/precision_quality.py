"""Train in float32 and in bfloat16, and compare the losses; then use the float32 model in bfloat16 and int8.

    python -m benchmarks.precision_quality --characters input.txt --words wikitext-2

Both precisions train from the same parameters on the same batches, in turns of some steps. ``--characters``
takes a text, for the model that ``fastrnn train`` makes by default; ``--words`` takes a folder with
``wiki.train.tokens`` and ``wiki.valid.tokens``, for the regularised model of docs/language-models.md, with
which the twenty confusable pairs are ranked too. Both rates fall to zero. Times are CPU seconds of the steps,
without validation. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fastrnn as fr
from benchmarks.compare.run import RESULTS, origin
from benchmarks.confusable_pairs import ranked
from benchmarks.precision.curves import draw
from benchmarks.precision.trainings import Training, characters, words
from fastrnn.cli.benchmark.machine import facts
from fastrnn.train import Trainer, evaluate

MODULE = "benchmarks.precision_quality"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "precision-quality.png"
TRAINED = ("float32", "bfloat16")
QUANTIZED = ("bfloat16", "int8")
TURN = 50  # steps
STREAMS = 16  # of the validation text
LOSS_GOAL, PERPLEXITY_GOAL = 0.003, 0.005  # relative distances from float32


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    parser.add_argument("--characters", type=Path, metavar="FILE")
    parser.add_argument("--words", type=Path, metavar="FOLDER")
    parser.add_argument("--character-steps", type=int, default=2000)
    parser.add_argument("--word-steps", type=int, default=1865, help="default: an epoch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "precision-quality.json")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args(arguments)
    if options.characters is None and options.words is None:
        parser.error("expected --characters FILE, --words FOLDER or both")
    return options


def trained(training: Training) -> tuple[dict[str, Trainer[fr.LanguageModel]], dict[str, list[Any]]]:
    """Train in both precisions, in turns; return the trainers and their losses over the steps."""
    trainers = {precision: training.trainer(precision) for precision in TRAINED}
    curves: dict[str, list[Any]] = {precision: [] for precision in TRAINED}
    seconds = dict.fromkeys(TRAINED, 0.0)
    validated = training.validated()
    for until in sorted({*range(TURN, training.steps, TURN), *validated}):
        for precision, trainer in trainers.items():
            began = time.process_time()
            for record in trainer.run(until):
                last = record.loss
            seconds[precision] += time.process_time() - began
            if until in validated:
                loss = evaluate(trainer.model, training.valid, batch_size=STREAMS).loss
                row = {"step": until, "loss": loss, "training loss": last, "seconds": seconds[precision]}
                curves[precision].append(row)
                print(f"{precision:8} {json.dumps(row)}", file=sys.stderr, flush=True)
    return trainers, curves


def used(training: Training, models: dict[str, fr.LanguageModel]) -> dict[str, Any]:
    """Return the loss and perplexity of each model over the validation text."""
    found = {}
    for name, model in models.items():
        loss = evaluate(model, training.valid, batch_size=STREAMS).loss
        found[name] = {"loss": loss, "perplexity": math.exp(loss)}
    return found


def paired(models: dict[str, fr.LanguageModel], vocabulary: fr.Vocabulary) -> dict[str, Any]:
    """Return how each model ranks the confusable pairs, and which pairs it ranks other than float32."""
    rows = {name: ranked(model, vocabulary) for name, model in models.items()}
    base = [row["right"] for row in rows["float32"]]
    return {
        name: {
            "right": sum(row["right"] for row in own),
            "of": len(own),
            "other than float32": [
                row["sentence"] for row, was in zip(own, base, strict=True) if row["right"] != was
            ],
            "log p": [row["log p"] for row in own],
        }
        for name, own in rows.items()
    }


def measure(training: Training, *, pairs: bool) -> dict[str, Any]:
    """Train, quantise and compare."""
    trainers, curves = trained(training)
    model = trainers["float32"].model
    models = {"float32": model, **{f"{name}, quantized": fr.quantize(model, name) for name in QUANTIZED}}
    result = {"settings": training.described(), "curves": curves, "inference": used(training, models)}
    if pairs:
        models["bfloat16, trained"] = trainers["bfloat16"].model
        result["pairs"] = paired(models, training.vocabulary)
    return result


def verdict(name: str, result: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield a line for each goal of a training, and whether it is reached."""
    last = {precision: curve[-1] for precision, curve in result["curves"].items()}
    away = last["bfloat16"]["loss"] / last["float32"]["loss"] - 1
    faster = last["float32"]["seconds"] / last["bfloat16"]["seconds"]
    losses = f"{last['float32']['loss']:.4f} float32, {last['bfloat16']['loss']:.4f} bfloat16"
    yield f"{name}: loss {losses}: {away:+.2%}; {faster:.2f}x as fast", abs(away) <= LOSS_GOAL
    base = result["inference"]["float32"]["perplexity"]
    for kind, found in result["inference"].items():
        away = found["perplexity"] / base - 1
        if kind != "float32":
            yield (
                f"{name}: {kind}: perplexity {found['perplexity']:.3f}, {away:+.2%}",
                abs(away) <= PERPLEXITY_GOAL,
            )
    for kind, found in result.get("pairs", {}).items():
        same = not found["other than float32"]
        yield (
            f"{name}: {kind}: {found['right']} of {found['of']} pairs right",
            same or kind == "bfloat16, trained",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, save, draw and judge."""
    options = parse(arguments)
    fr.set_num_threads(options.threads)
    result: dict[str, Any] = {**origin("fastrnn-precision-quality 1", MODULE), "machine": facts()}
    result |= {"threads": options.threads, "trainings": {}}
    lines = []
    for name, path, steps in (
        ("characters", options.characters, options.character_steps),
        ("words", options.words, options.word_steps),
    ):
        if path is not None:
            make = words if name == "words" else characters
            found = measure(make(path, steps), pairs=name == "words")
            result["trainings"][name] = found
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            draw(result["trainings"], LOSS_GOAL, options.picture)
            lines += verdict(name, found)
    for line, reached in lines:
        print(f"{' ' if reached else '!'} {line}")
    return 0 if all(reached for _, reached in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
