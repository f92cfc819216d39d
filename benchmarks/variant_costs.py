"""Measure the cost of each option of a recurrent layer: its time over the plain cell's.

For each shape: a call, a training step (forward and backward), and a single step of a stream. The variant and
the plain cell take turns (A B A B ...), so that a machine that slows down slows both; the ratio is the median
of those within a round. Answers are not verified here: the tests do that.

    python benchmarks/variant_costs.py                                  all shapes, one thread
    python benchmarks/variant_costs.py --threads 2 --shapes 100,1,256,512
    python benchmarks/variant_costs.py --only layer_norm --out costs.json
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn.cli.benchmark.machine import facts as machine_facts

# T, N, D, H: a batch, many short steps, a middle size, one sequence, one sequence with weights beyond L2.
SHAPES = ("50,32,256,256", "1000,8,32,32", "200,32,64,64", "100,1,40,128", "100,1,256,512")
ROUNDS = 15  # turns of each side
SECONDS = 0.004  # of one turn, at least: short passes are repeated
HALF = "half of hidden_size"  # proj_size
GOAL, GOAL_OF_TWO_PRODUCTS, GOAL_OF_A_STEP = 1.6, 2.0, 2.0  # times the plain cell

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


def goal(options: dict[str, Any], mode: str) -> float:
    """Return the most that an option may cost, in times the plain cell."""
    if mode == "step":
        return GOAL_OF_A_STEP
    return GOAL_OF_TWO_PRODUCTS if options.keys() & {"layer_norm", "relevance"} else GOAL


def passes(
    cell: Any, options: dict[str, Any], shape: tuple[int, int, int, int]
) -> dict[str, Callable[[], None]]:
    """Make what is timed: a call, a training step, and a single step where the layer has a stream."""
    T, N, D, H = shape
    given = {name: H // 2 if value == HALF else value for name, value in options.items()}
    rnn = cell(D, H, seed=0, **given)
    x = np.random.default_rng(0).normal(size=(T, N, D)).astype(np.float32)
    dy = np.ones_like(rnn(x)[0])

    def forward() -> None:
        rnn(x)

    def training() -> None:
        rnn.zero_gradients()
        _, _, tape = rnn.forward(x)
        rnn.backward(tape, dy)

    made = {"forward": forward, "training": training}
    if not given.keys() & {"bidirectional", "reverse"}:
        stream, out = rnn.stream(N), np.empty_like(dy[0])

        def step() -> None:
            stream.step(x[0], out=out)

        made["step"] = step
    return made


def seconds(run: Callable[[], None], times: int) -> float:
    """Time a run, the mean of some."""
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def compare(own: Callable[[], None], other: Callable[[], None]) -> tuple[float, float]:
    """Return the median ratio of the two within a round, and the median time of the first in microseconds."""
    own()
    times = max(1, int(SECONDS / max(seconds(other, 1), 1e-7)))
    rounds = [(seconds(own, times), seconds(other, times)) for _ in range(ROUNDS)]
    ratio = statistics.median(one / two for one, two in rounds)
    return ratio, 1e6 * statistics.median(one for one, _ in rounds)


def main() -> None:
    """Print a table for each shape."""
    parser = argparse.ArgumentParser(description="The cost of each option of a recurrent layer.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="T,N,D,H")
    parser.add_argument("--only", default="", help="variants whose description contains this")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    arguments = parser.parse_args()
    fr.set_num_threads(arguments.threads)
    results: list[dict[str, Any]] = []
    for text in arguments.shapes:
        T, N, D, H = (int(size) for size in text.split(","))
        print(
            f"\nT={T} N={N} D={D} H={H}, {arguments.threads} thread(s), {fr.isa()}; times the plain cell (us)"
        )
        print("\n| layer | forward | training step | step of a stream |\n| --- | --- | --- | --- |")
        for cell, options in VARIANTS:
            given = ", ".join(f"{name}={value!r}" for name, value in options.items())
            name = f"{cell.__name__}({given})".replace(repr(HALF), "H / 2")
            if arguments.only not in name:
                continue
            plain = {name: value for name, value in options.items() if name in PLAIN}
            own, other = passes(cell, options, (T, N, D, H)), passes(cell, plain, (T, N, D, H))
            cells = []
            for mode in ("forward", "training", "step"):
                if mode not in own:
                    cells.append("-")
                    continue
                ratio, microseconds = compare(own[mode], other[mode])
                dear = " !" if ratio > goal(options, mode) else ""
                cells.append(f"{ratio:.2f}x ({microseconds:.1f}){dear}")
                results.append(
                    {
                        "shape": [T, N, D, H],
                        "layer": name,
                        "mode": mode,
                        "ratio": round(ratio, 3),
                        "microseconds": round(microseconds, 2),
                        "goal": goal(options, mode),
                    }
                )
            print(f"| `{name}` | {' | '.join(cells)} |", flush=True)
    dear = [one for one in results if one["ratio"] > one["goal"]]
    print(f"\n{len(dear)} of {len(results)} cost more than their goal (!)")
    if arguments.out:
        measured = {
            "machine": machine_facts(),
            "isa": fr.isa(),
            "threads": arguments.threads,
            "results": results,
        }
        arguments.out.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
