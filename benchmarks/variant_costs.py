"""Measure the cost of each option of a recurrent layer: its time over the plain cell's.

The variant and the plain cell take turns (A B A B ...), so that a machine that slows down slows both; the
ratio is the median of those within a round. Answers are not verified here: the tests do that.

    python benchmarks/variant_costs.py [threads]
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn as fr

T, N, D, H = 50, 32, 256, 256
ROUNDS = 15  # turns of each side
THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 1
HALF = 128  # proj_size
GOAL = 2.0  # times the plain cell

# Class and options, and the plain layer that they are compared with.
VARIANTS: list[tuple[Any, dict[str, Any]]] = [
    *((cell, {"proj_size": HALF}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    *((cell, {"layer_norm": True}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    (fr.GRU, {"layer_norm": True, "reset_after": False}),
    *((cell, {"zoneout": 0.1}) for cell in (fr.RNN, fr.GRU)),
    (fr.LSTM, {"zoneout": (0.1, 0.1)}),
    *((cell, {"recurrent_dropout": 0.2}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    *((cell, {"state_dropout": 0.2}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    *((cell, {"input_dropout": 0.2, "output_dropout": 0.2}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    *((cell, {"weight_drop": 0.2}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    *((cell, {"skip": 4}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    *((cell, {"learn_state": True}) for cell in (fr.RNN, fr.GRU, fr.LSTM)),
    (fr.RNN, {"leak": 0.9}),
    (fr.RNN, {"leak": "learned"}),
    (fr.LSTM, {"peephole": True}),
    (fr.LSTM, {"coupled": True}),
    (fr.LSTM, {"relevance": True}),
    (fr.LSTM, {"cell_clip": 3.0}),
    (fr.LSTM, {"output_activation": "identity"}),
    (fr.LSTM, {"peephole": True, "layer_norm": True, "zoneout": (0.1, 0.1), "recurrent_dropout": 0.2}),
    (fr.LSTM, {"bidirectional": True, "merge": "sum"}),
    (fr.GRU, {"reverse": True}),
]
PLAIN = ("bidirectional", "reset_after")
x = np.random.default_rng(0).normal(size=(T, N, D)).astype(np.float32)


def passes(cell: Any, options: dict[str, Any]) -> list[Callable[[], None]]:
    """Return the timed functions: a call and a training step."""
    rnn = cell(D, H, seed=0, **options)
    dy = np.ones_like(rnn(x)[0])

    def forward() -> None:
        rnn(x)

    def training() -> None:
        rnn.zero_gradients()
        _, _, tape = rnn.forward(x)
        rnn.backward(tape, dy)

    return [forward, training]


def seconds(run: Callable[[], None]) -> float:
    """Time one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(own: Callable[[], None], other: Callable[[], None]) -> tuple[float, float]:
    """Return the median ratio of the two within a round, and the median time of the first in ms."""
    rounds = [(seconds(own), seconds(other)) for _ in range(ROUNDS)]
    ratio = statistics.median(one / two for one, two in rounds)
    return ratio, 1e3 * statistics.median(one for one, _ in rounds)


fr.set_num_threads(THREADS)
print(f"T={T} N={N} D={D} H={H}, {THREADS} thread(s), {fr.isa()}; times the plain cell (ms)\n")
print("| layer | forward | training step |\n| --- | --- | --- |")
worst = 0.0
for cell, options in VARIANTS:
    plain = {name: value for name, value in options.items() if name in PLAIN}
    pairs = zip(passes(cell, options), passes(cell, plain), strict=True)
    cells = []
    for own, other in pairs:
        ratio, milliseconds = compare(own, other)
        worst = max(worst, ratio)
        cells.append(f"{ratio:.2f}x ({milliseconds:.1f})")
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    print(f"| `{cell.__name__}({given})` | {' | '.join(cells)} |", flush=True)
print(f"\nmost expensive: {worst:.2f}x; goal: at most {GOAL}x")
