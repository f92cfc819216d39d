"""Measure losses of whole sequences, with their gradients, beside PyTorch: CTC.

    python -m benchmarks.sequence_losses [--case NAME] [--seconds 0.5] [--json]

Each case first compares loss and gradient of both, then times them in turn, in one process and one thread. A
time is the median over the turns; a ratio above 1 says that fastrnn is faster. To add a case, write a
function that returns a `Case` and name it in CASES.
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
    """Two functions that return the same arrays."""

    ours: Callable[[], Result]
    theirs: Callable[[], Result]
    tolerance: float = 1e-4


def ctc(frames: int, rows: int, symbols: int, length: int) -> Case:
    """Connectionist temporal classification: softmax, loss and gradient with respect to logits."""
    import torch

    random = np.random.default_rng(0)
    logits = random.normal(size=(frames, rows, symbols)).astype(np.float32)
    targets = random.integers(1, symbols, size=(rows, length))
    x, y = torch.tensor(logits, requires_grad=True), torch.tensor(targets)
    ends, counts = torch.full((rows,), frames), torch.full((rows,), length)

    def theirs() -> Result:
        x.grad = None
        log_p = torch.log_softmax(x, 2)
        loss = torch.nn.functional.ctc_loss(log_p, y, ends, counts)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach().numpy(), x.grad.numpy()

    return Case(lambda: fr.ctc_loss(logits, targets), theirs)


ROW = "{case:32s} fastrnn {fastrnn_ms:8.3f} ms   PyTorch {pytorch_ms:8.3f} ms   {ratio:5.1f} x"

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


def verify(case: Case) -> None:
    """Raise an AssertionError unless both return the same."""
    for ours, theirs in zip(case.ours(), case.theirs(), strict=True):
        scale = max(1e-30, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=case.tolerance)


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
        verify(case)
        point = {"case": name, **measure(case, options.seconds)}
        points.append(point)
        if not options.json:
            print(ROW.format(**point), flush=True)
    if options.json:
        versions = {"fastrnn": fr.__version__, "isa": fr.isa(), "torch": torch.__version__, "cpus": cpus}
        print(json.dumps({**versions, "threads": 1, "points": points}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
