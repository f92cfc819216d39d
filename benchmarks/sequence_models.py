"""The training step of each sequence model, and CTC, CRF and attention alone, in fastrnn and in PyTorch.

    python -m benchmarks.sequence_models [--rounds 15] [--only NAME ...] [--out FILE]

Both have equal weights and data. Their losses are compared first; then both run in turn, A B A B, in one
process on one thread each, for the median of the ratios. The modules of `benchmarks/torch_models` hold the
models, each with a function ``case``.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import pkgutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import torch_models
from benchmarks.compare.run import origin
from fastrnn.cli.benchmark.machine import facts

OUT = Path(__file__).parent / "results" / "sequence-models.json"
_LEAST_SECONDS = 0.02  # of a sample: short calls are repeated


def cases() -> Iterator[Any]:
    """Yield every case: with a name, ``run_fastrnn``, ``run_torch``, and a ``check`` or returned losses."""
    from benchmarks.attention_cases import attention_cases
    from benchmarks.crf_cases import crf_cases
    from benchmarks.ctc_cases import ctc_cases

    for module in sorted(pkgutil.iter_modules(torch_models.__path__), key=lambda one: one.name):
        made = importlib.import_module(f"benchmarks.torch_models.{module.name}").case()
        yield from made if isinstance(made, list) else [made]
    yield from crf_cases()
    yield from attention_cases()
    yield from ctc_cases()


def check(case: Any) -> None:
    """Raise AssertionError unless both compute the same."""
    if hasattr(case, "check"):
        case.check()
        return
    ours, theirs = float(case.run_fastrnn()), float(case.run_torch())
    assert abs(ours - theirs) <= 1e-4 * max(1.0, abs(theirs)), f"{case.name}: losses {ours} and {theirs}"


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the seconds of one call, the mean over some."""
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


def measure(case: Any, rounds: int) -> dict[str, Any]:
    """Return the medians of both, and of their ratio."""
    check(case)
    repeats = [
        max(1, round(_LEAST_SECONDS / max(seconds(call, 1), 1e-6)))
        for call in (case.run_fastrnn, case.run_torch)
    ]
    samples = []
    gc.disable()
    for _ in range(rounds):
        samples.append((seconds(case.run_fastrnn, repeats[0]), seconds(case.run_torch, repeats[1])))
        gc.collect()
    gc.enable()
    return {
        "name": case.name,
        "fastrnn": statistics.median(ours for ours, _ in samples),
        "pytorch": statistics.median(theirs for _, theirs in samples),
        "ratio": statistics.median(theirs / ours for ours, theirs in samples),
    }


def main() -> None:
    """Measure, print a line for each case, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        **origin("sequence-models-1", __name__),
        "machine": facts(),
        "torch": torch.__version__,
        "points": [],
    }
    for case in cases():
        if arguments.only and not any(part in case.name for part in arguments.only):
            continue
        point = measure(case, arguments.rounds)
        result["points"].append(point)
        print(
            f"{point['name']:45} {point['fastrnn'] * 1e3:9.2f} ms {point['pytorch'] * 1e3:9.2f} ms "
            f"{point['ratio']:6.2f}x",
            flush=True,
        )
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
