"""Connectionist temporal classification against PyTorch: softmax, loss and gradient of logits.

    python -m benchmarks.ctc_cases [--seconds 0.5] [--json]

Each case first compares loss and gradient of both with float64, then times them in turn, in one process and
one thread. A time is the median over the turns; a ratio above 1 says that fastrnn is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import fastrnn as fr
from benchmarks.turns import bind_to_cpus

#: T frames, N sequences, V symbols with the blank, L symbols of a target.
SIZES = ((50, 64, 12, 5), (100, 16, 30, 10), (200, 32, 30, 20), (500, 8, 60, 40), (1000, 4, 100, 80))
#: The largest errors of loss and gradient, relative to the largest number. PyTorch adds logarithms.
TOLERANCES = {"fastrnn": 1e-5, "pytorch": 1e-2}
ROW = (
    "{name:30s} fastrnn {fastrnn_ms:8.3f} ms  error {fastrnn_error:.0e}   "
    "PyTorch {pytorch_ms:8.3f} ms  error {pytorch_error:.0e}   {ratio:5.1f} x"
)

Result = tuple[Any, Any]  # loss and gradient


class Case(NamedTuple):
    """Two ways to compute the same, and the same in float64."""

    name: str
    run_fastrnn: Callable[[], Result]
    run_torch: Callable[[], Result]
    run_float64: Callable[[], Result]

    def check(self) -> dict[str, float]:
        """Return the errors of both; raise AssertionError if one is too large."""
        errors, exact = {}, self.run_float64()
        for name, results in {"fastrnn": self.run_fastrnn(), "pytorch": self.run_torch()}.items():
            pairs = zip(results, exact, strict=True)
            error = max(float(np.abs(got - want).max() / np.abs(want).max()) for got, want in pairs)
            assert error <= TOLERANCES[name], f"{name}: expected at most {TOLERANCES[name]}, got {error}"
            errors[f"{name}_error"] = error
        return errors


def ctc_cases() -> list[Case]:
    """Return a case for each of `SIZES`: the mean loss and the gradient of the logits."""
    return [make_case(*size) for size in SIZES]


def make_case(T: int, N: int, V: int, L: int) -> Case:
    """Return one case of T frames, N sequences, V symbols and targets of L symbols."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(T, N, V)).astype(np.float32)
    targets = random.integers(1, V, size=(N, L))
    symbols, ends, counts = torch.tensor(targets), torch.full((N,), T), torch.full((N,), L)

    def run_torch(x: torch.Tensor) -> Result:
        x.grad = None
        loss = torch.nn.functional.ctc_loss(torch.log_softmax(x, 2), symbols, ends, counts)
        loss.backward()
        return loss.detach().numpy(), x.grad.numpy()

    single, double = (
        torch.tensor(logits, dtype=kind, requires_grad=True) for kind in (torch.float32, torch.float64)
    )
    return Case(
        f"ctc T={T} N={N} V={V} L={L}",
        lambda: fr.ctc_loss(logits, targets),
        lambda: run_torch(single),
        lambda: run_torch(double),
    )


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Time both in turn for about that many seconds, at least 5 turns."""
    times: dict[str, list[float]] = {"fastrnn": [], "pytorch": []}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["fastrnn"]) < 5:
        for name, call in (("fastrnn", case.run_fastrnn), ("pytorch", case.run_torch)):
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    ours, theirs = (1e3 * statistics.median(times[name]) for name in ("fastrnn", "pytorch"))
    return {"fastrnn_ms": ours, "pytorch_ms": theirs, "ratio": theirs / ours}


def main() -> None:
    """Measure the cases; print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="for each case")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    bind_to_cpus(1)
    fr.set_num_threads(1)
    torch.set_num_threads(1)
    points = []
    for case in ctc_cases():
        points.append({"name": case.name, **case.check(), **measure(case, options.seconds)})
        if not options.json:
            print(ROW.format(**points[-1]), flush=True)
    if options.json:
        print(json.dumps({"isa": fr.isa(), "torch": torch.__version__, "points": points}))


if __name__ == "__main__":
    main()
