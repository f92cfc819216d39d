"""The drop-in modules of `fastrnn.interop.torch` against those of ``torch.nn``: training steps and inference.

    python -m benchmarks.torch_modules [--rounds 15] [--shapes 100,1,40,128 ...] [--out FILE]

Both modules have equal weights. Their results and gradients are compared first; then both run in turn,
A B A B, in one process on one thread each, for the least CPU time of each and the median of the ratios.
A training step is the pass forward, the pass backward to x and to all weights from a given dy, and a step of
SGD, after which the weights are packed again. Inference runs under ``torch.no_grad`` with weights that stay.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pack_padded_sequence

import fastrnn as fr
import fastrnn.interop.torch as ft
from benchmarks.compare.run import origin
from fastrnn.cli.benchmark.machine import facts

OUT = Path(__file__).parent / "results" / "torch-modules.json"
CELLS = ("RNN", "GRU", "LSTM")
# T, N, D, H: one sequence, few, a batch, the language model of PyTorch's examples, a large layer, one step.
SHAPES = ("100,1,40,128", "100,8,40,128", "50,32,64,128", "35,20,200,200", "50,32,256,512", "1,1,64,128")
RAGGED = "50,32,64,128"  # measured with packed sequences, too
_LEAST_SECONDS = 0.02  # of a sample: short calls are repeated
_TOLERANCE = 1e-4  # of a result or gradient, relative to its largest value

Run = Callable[[], list[torch.Tensor]]


def pair(cell: str, D: int, H: int) -> tuple[Any, Any]:
    """Return the drop-in and PyTorch's module with equal weights."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, cell)(D, H)
    ours = getattr(ft, cell)(D, H)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def inputs(shape: list[int], *, ragged: bool) -> Any:
    """Return x, [T, N, D] or a packed sequence with lengths from T / 4 to T."""
    T, N, D, _ = shape
    x = torch.randn(T, N, D)
    if not ragged:
        return x
    lengths = torch.linspace(T, T // 4, N).round().long()
    return pack_padded_sequence(x, lengths, enforce_sorted=True)


def training(module: Any, x: Any) -> Run:
    """Return a training step."""
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-9)  # so that all steps compute the same
    data = (x if isinstance(x, torch.Tensor) else x.data).detach().requires_grad_()
    given = data if isinstance(x, torch.Tensor) else x._replace(data=data)
    with torch.no_grad():
        y = module(x)[0]
        dy = torch.randn_like(y if isinstance(x, torch.Tensor) else y.data)

    def run() -> list[torch.Tensor]:
        optimizer.zero_grad()
        data.grad = None
        y = module(given)[0]
        y = y if isinstance(y, torch.Tensor) else y.data
        y.backward(dy)
        optimizer.step()
        return [y.detach(), data.grad, *(part.grad for part in module.parameters())]

    return run


def inference(module: Any, x: Any) -> Run:
    """Return a call without gradients."""

    @torch.no_grad()
    def run() -> list[torch.Tensor]:
        y, last = module(x)
        y = y if isinstance(y, torch.Tensor) else y.data
        return [y, *(last if isinstance(last, tuple) else (last,))]

    return run


def check(ours: Run, theirs: Run, name: str) -> None:
    """Raise AssertionError unless both compute the same."""
    for one, other in zip(ours(), theirs(), strict=True):
        difference = float((one - other).abs().max())
        scale = float(other.abs().max())
        assert difference <= _TOLERANCE * scale, f"{name}: differ by {difference}, of {scale}"


def seconds(run: Run, repeats: int) -> float:
    """Return the CPU seconds of one call, the mean over some; those of other processes do not count."""
    started = time.thread_time()
    for _ in range(repeats):
        run()
    return (time.thread_time() - started) / repeats


def measure(ours: Run, theirs: Run, rounds: int) -> dict[str, float]:
    """Return the least time of both, and the median of the ratios within a round."""
    repeats = [max(1, round(_LEAST_SECONDS / max(seconds(run, 3), 1e-6))) for run in (ours, theirs)]
    samples = []
    gc.disable()
    for _ in range(rounds):
        samples.append((seconds(ours, repeats[0]), seconds(theirs, repeats[1])))
        gc.collect()
    gc.enable()
    return {
        "fastrnn": min(one for one, _ in samples),
        "pytorch": min(other for _, other in samples),
        "ratio": statistics.median(other / one for one, other in samples),
    }


def points(shapes: list[str], rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the measurements."""
    for text in shapes:
        shape = [int(size) for size in text.split(",")]
        for ragged in (False, True) if text == RAGGED else (False,):
            for cell in CELLS:
                for mode, make in (("training", training), ("inference", inference)):
                    torch.manual_seed(1)
                    x = inputs(shape, ragged=ragged)
                    runs = []
                    for module in pair(cell, *shape[2:]):
                        torch.manual_seed(2)  # the same dy
                        runs.append(make(module, x))
                    check(*runs, f"{cell} {text} {mode}")
                    yield {
                        "cell": cell,
                        "shape": shape,
                        "ragged": ragged,
                        "mode": mode,
                        **measure(runs[0], runs[1], rounds),
                    }


def main() -> None:
    """Measure, print a line for each point, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="T,N,D,H")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fr.set_num_threads(1)
    result: dict[str, Any] = {
        **origin("torch-modules-1", "benchmarks.torch_modules"),
        "machine": facts(),
        "points": [],
    }
    for point in points(list(arguments.shapes), arguments.rounds):
        result["points"].append(point)
        shape = " ".join(f"{letter}={size}" for letter, size in zip("TNDH", point["shape"], strict=True))
        print(
            f"{point['cell']:5} {shape:24} {'packed' if point['ragged'] else '':7} {point['mode']:10}"
            f"{point['fastrnn'] * 1e6:9.0f} us {point['pytorch'] * 1e6:9.0f} us {point['ratio']:6.2f}x",
            flush=True,
        )
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
