"""Measure losses of whole sequences, with their gradients, beside PyTorch: CTC.

    python -m benchmarks.sequence_losses [--case NAME] [--seconds 0.5] [--json]

Each case first compares loss and gradient of both with float64, then times them in turn, in one process and
one thread. A time is the median over the turns; a ratio above 1 says that fastrnn is faster. To add a case,
write a function that returns a `Case` and name it in CASES.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastrnn as fr
from benchmarks.turns import bind_to_cpus

Result = tuple[Any, ...]  # arrays


class Case(NamedTuple):
    """Two functions that return the same arrays, and the same in float64."""

    ours: Callable[[], Result]
    theirs: Callable[[], Result]
    exact: Callable[[], Result]
    tolerance: float = 1e-5  # of ours, relative to the largest number of an array
    their_tolerance: float = 1e-2


def ctc(frames: int, rows: int, symbols: int, length: int) -> Case:
    """Connectionist temporal classification: softmax, loss and gradient with respect to logits."""
    import torch

    random = np.random.default_rng(0)
    logits = random.normal(size=(frames, rows, symbols)).astype(np.float32)
    targets = random.integers(1, symbols, size=(rows, length))
    single, y = torch.tensor(logits, requires_grad=True), torch.tensor(targets)
    double = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    ends, counts = torch.full((rows,), frames), torch.full((rows,), length)

    def theirs(x: Any) -> Result:
        x.grad = None
        log_p = torch.log_softmax(x, 2)
        loss = torch.nn.functional.ctc_loss(log_p, y, ends, counts)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach().numpy(), x.grad.numpy()

    return Case(lambda: fr.ctc_loss(logits, targets), lambda: theirs(single), lambda: theirs(double))


ROW = (
    "{case:30s} fastrnn {fastrnn_ms:8.3f} ms  error {fastrnn_error:.0e}   "
    "PyTorch {pytorch_ms:8.3f} ms  error {pytorch_error:.0e}   {ratio:5.1f} x"
)

# Name: a function and its arguments.
CASES: dict[str, tuple[Callable[..., Case], tuple[int, ...]]] = {
    f"ctc T={T} N={N} V={V} L={L}": (ctc, (T, N, V, L))
    for T, N, V, L in [
        (50, 64, 12, 5),
        (100, 16, 30, 10),
        (200, 32, 30, 20),
        (500, 8, 60, 40),
        (1000, 4, 100, 80),
    ]
}


def verify(case: Case) -> dict[str, float]:
    """Return the largest errors of both against float64.

    Raises
    ------
    AssertionError
        If one is too large.
    """
    errors: dict[str, float] = {}
    exact = case.exact()
    sides = (("fastrnn", case.ours(), case.tolerance), ("pytorch", case.theirs(), case.their_tolerance))
    for name, results, tolerance in sides:
        pairs = zip(results, exact, strict=True)
        error = max(float(np.abs(got - want).max() / np.abs(want).max()) for got, want in pairs)
        assert error <= tolerance, f"{name}: expected an error of at most {tolerance}, got {error}"
        errors[f"{name}_error"] = error
    return errors


def measure(case: Case, seconds: float) -> dict[str, float]:
    """Time both in turn for about that many seconds, at least 5 turns."""
    times: dict[str, list[float]] = {"fastrnn": [], "pytorch": []}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["fastrnn"]) < 5:
        for name, call in (("fastrnn", case.ours), ("pytorch", case.theirs)):
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    ours, theirs = (float(np.median(times[name])) for name in ("fastrnn", "pytorch"))
    return {"fastrnn_ms": 1e3 * ours, "pytorch_ms": 1e3 * theirs, "ratio": theirs / ours}


def main() -> int:
    """Measure the cases; print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", action="append", choices=CASES, metavar="NAME", help="default: all")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each case")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    import torch

    cpus = bind_to_cpus(1)
    fr.set_num_threads(1)
    torch.set_num_threads(1)
    points = []
    for name in options.case or CASES:
        make, arguments = CASES[name]
        case = make(*arguments)
        point = {"case": name, **verify(case), **measure(case, options.seconds)}
        points.append(point)
        if not options.json:
            print(ROW.format(**point), flush=True)
    if options.json:
        versions = {"fastrnn": fr.__version__, "isa": fr.isa(), "torch": torch.__version__, "cpus": cpus}
        print(json.dumps({**versions, "threads": 1, "points": points}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
