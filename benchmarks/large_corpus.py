"""Measure a text of a gigabyte: made, prepared and trained on, and the memory that each of these takes.

    python benchmarks/large_corpus.py [--bytes N] [--ranks 2] [--out benchmarks/results/large-corpus.json]

The text is made from a seed: words of invented syllables, some with letters beyond ASCII, drawn from Zipf's
law, in sentences and lines. A fixed share of the words is new, so that the number of distinct words grows
with the text.

`fastrnn prepare` and `fastrnn train` run as their users run them, on several ranks of MPI. The script reads
the memory of each process from /proc until it ends: its peak resident size (VmHWM), and the largest amounts
of what it alone holds (RssAnon) and of mapped pages of files (RssFile: libraries and ids), which processes
share and the system can take back. The page cache of files that are read without a map is in none of these.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn.cli.benchmark.machine import facts

FREQUENT, NEW = 200_000, 0.02  # distinct words that are drawn again and again; the share of new ones
SYLLABLES = "ka to mi ren sol du vé na li ço bra pe stu mar in el ön ti ra ß".split()
WORDS = 1 << 20  # that are drawn at a time
LEVEL = "--level word --max-types 30000 --valid-fraction 0.001".split()
MODEL = "--hidden-size 256 --num-layers 1 --batch-size 32 --seq-length 35 --cutoffs 2000,10000".split()
STEPS = 100
OUT = ["--out", "model.safetensors", "--sample-every", "0", "--eval-every", "1000000"]
KEYS = {"VmHWM": "peak", "RssAnon": "own", "RssFile": "mapped"}


def spell(numbers: np.ndarray) -> list[str]:
    """Return a word for each number: its digits as syllables."""
    base, words = len(SYLLABLES), []
    for number in numbers.tolist():
        word = SYLLABLES[number % base]
        while number := number // base:
            word += SYLLABLES[number % base]
        words.append(word)
    return words


def make_corpus(path: Path, size: int, seed: int = 0) -> None:
    """Write a text of about so many bytes."""
    random = np.random.default_rng(seed)
    weights = np.cumsum(1.0 / (np.arange(FREQUENT) + 2.7))
    frequent = np.array(spell(np.arange(FREQUENT)), dtype=object)
    ends = np.array([" ", ", ", ". ", ".\n"], dtype=object)
    next_word, written = FREQUENT, 0
    with path.open("wb") as file:
        while written < size:
            words = frequent[np.searchsorted(weights, random.random(WORDS) * weights[-1])]
            new = np.flatnonzero(random.random(WORDS) < NEW)
            words[new] = spell(np.arange(next_word, next_word + len(new)))
            next_word += len(new)
            parts = np.empty(2 * WORDS, object)
            parts[0::2] = words
            parts[1::2] = ends[random.choice(4, WORDS, p=[0.86, 0.05, 0.04, 0.05])]
            written += file.write("".join(parts.tolist()).encode())


def family(process: int) -> list[int]:
    """Return the processes that a process has started, and itself."""
    found = [process]
    try:
        tasks = Path(f"/proc/{process}/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return found
    return found + [each for child in children for each in family(int(child))]


def memory_of(process: int) -> dict[str, int] | None:
    """Return the memory of a process in MB, if it is Python."""
    try:
        if "python" not in Path(f"/proc/{process}/comm").read_text():
            return None
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in lines)
    return {key: int(found[name].split()[0]) * 1024 // 10**6 for name, key in KEYS.items() if name in found}


def run(arguments: list[str], folder: Path, ranks: int) -> dict[str, Any]:
    """Run fastrnn in a folder; return its time, and the largest memory of one of its processes."""
    launcher = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    began = time.perf_counter()
    process = subprocess.Popen(
        [*launcher, sys.executable, "-m", "fastrnn", *arguments, "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        env={**os.environ, "FASTRNN_NUM_THREADS": "1"},
    )
    largest: dict[int, dict[str, int]] = {}
    while process.poll() is None:
        for each in family(process.pid):
            for key, value in (memory_of(each) or {}).items():
                own = largest.setdefault(each, dict.fromkeys(KEYS.values(), 0))
                own[key] = max(own[key], value)
        time.sleep(0.05)
    seconds = time.perf_counter() - began
    assert process.returncode == 0, arguments
    assert process.stdout is not None
    memory = sorted((one for one in largest.values() if one["peak"]), key=lambda one: -one["peak"])
    command = " ".join([*launcher[:3], "fastrnn", *arguments])
    return {
        "command": command,
        "seconds": round(seconds, 1),
        "MB of each process": memory,
        "result": json.load(process.stdout),
    }


def measure(folder: Path, size: int, ranks: int) -> dict[str, Any]:
    """Make, prepare and train, each unless its file is there."""
    results: dict[str, Any] = {}
    if not (folder / "corpus.txt").exists():
        began = time.perf_counter()
        make_corpus(folder / "corpus.txt", size)
        results["corpus"] = {"seconds": round(time.perf_counter() - began, 1)}
    prepare = ["prepare", "corpus.txt", *LEVEL, "--out", "corpus.ids"]
    train = ["train", "corpus.ids", *MODEL, "--steps", str(STEPS), *OUT]
    for name, arguments in (("prepare", prepare), ("train", train)):
        if not (folder / arguments[arguments.index("--out") + 1]).exists():
            results[name] = run(arguments, folder, ranks)
            print(json.dumps({name: results[name]}), flush=True)
    sizes = {name: (folder / name).stat().st_size for name in ("corpus.txt", "corpus.ids")}
    return {"bytes": sizes, "ranks": ranks, **results}


def main() -> None:
    """Measure in a temporary folder, which is removed at the end, or in one that stays."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bytes", type=int, default=10**9)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="of an earlier run, whose files are used again")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    try:
        results = measure(folder, options.bytes, options.ranks)
    finally:
        if options.folder is None:
            shutil.rmtree(folder)
    if options.out:
        options.out.write_text(json.dumps({"machine": facts(), **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
