"""Measure the calls a second of many Python threads together over those of one of them alone.

    python benchmarks/many_callers.py [--callers 8] [--threads 1 2 8] [--seconds 1] [--rounds 5]

Every Python thread calls the same layer's inference as often as it can. In turn with one thread that calls
alone; the table has the median ratio of calls a second, and the least share of a thread in percent of an
equal one. fastrnn's own threads are those of FASTRNN_NUM_THREADS.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time

from fastrnn.cli.benchmark.process import thread_environment

SHAPES = ((25, 1, 48, 160), (80, 4, 60, 90), (30, 100, 64, 200))


def count_calls(layer: object, x: object, callers: int, seconds: float) -> list[int]:
    """Return how many calls each of `callers` Python threads finishes."""
    counts, start = [0] * callers, threading.Barrier(callers + 1)

    def call(place: int) -> None:
        start.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            layer(x)  # type: ignore[operator]
            counts[place] += 1

    threads = [threading.Thread(target=call, args=(place,)) for place in range(callers)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join()
    return counts


def measure(callers: int, rounds: int, seconds: float) -> list[tuple[float, float]]:
    """Return for each shape the calls a second of all over those of one, and the least share of a caller."""
    import numpy as np

    import fastrnn as fr

    results = []
    for T, N, D, H in SHAPES:
        layer, x = fr.LSTM(D, H, seed=0), np.random.default_rng(0).normal(size=(T, N, D)).astype("f")
        layer(x)
        ratios, shares = [], []
        for _ in range(rounds):
            alone = sum(count_calls(layer, x, 1, seconds))
            counts = count_calls(layer, x, callers, seconds)
            ratios.append(sum(counts) / alone)
            shares.append(min(counts) * callers / sum(counts))
        results.append((statistics.median(ratios), statistics.median(shares)))
    return results


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 8], help="FASTRNN_NUM_THREADS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measure(given.callers, given.rounds, given.seconds)))
        return
    print(f"LSTM forward, calls a second of {given.callers} callers over one (least share of a caller)\n")
    print("| threads | " + " | ".join(", ".join(map(str, shape)) for shape in SHAPES) + " |")
    print("| --- |" + " --- |" * len(SHAPES))
    for threads in given.threads:
        command = [sys.executable, __file__, "--worker", f"--callers={given.callers}"]
        command += [f"--rounds={given.rounds}", f"--seconds={given.seconds}"]
        environment = thread_environment(threads)
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        cells = [f"{ratio:.2f} ({100 * share:.0f} %)" for ratio, share in json.loads(run.stdout)]
        print(f"| {threads} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
