"""Trainings on two ranks that are stopped at random moments, and then resumed.

``python tests/mpi_stops.py --kind kill --count 20`` kills one rank; ``term`` sends SIGTERM to mpiexec, and
``interrupt`` SIGINT to its process group, as a terminal does at Ctrl-C. After each stop all processes end
within seconds, the checkpoint is whole, and the resumed training ends with the bytes of one that nothing
stopped. It needs Linux, mpiexec and mpi4py.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from fastrnn.cli.training_log import read_log
from fastrnn.data import standard_library_text
from fastrnn.train import load_checkpoint
from rank_processes import RankProcesses, find_mpiexec

KINDS = ("kill", "term", "interrupt")
RANKS = 2
EARLY = 0.2  # fraction of the stops whose moment is counted from the start of the processes
LONGEST = 10.0  # seconds until all processes have ended
INTERRUPTED = 130
OUT = "m.safetensors"
OPTIONS = (
    "--shards 4 --batch-size 8 --seq-length 16 --hidden-size 16 --num-layers 1 --dropout 0.2 "
    "--valid-fraction 0.02 --eval-every 20 --sample-every 0 --threads 1"
).split()


class Stop(NamedTuple):
    """What came of one stop."""

    seconds: float
    code: int
    saved: int | None


def train(processes: RankProcesses, folder: Path, ranks: int, *arguments: str) -> subprocess.Popen[str]:
    """Start a training in a folder."""
    return processes.start(ranks, ["-m", "fastrnn", "train", *arguments], cwd=folder)


def finish(processes: RankProcesses, folder: Path, ranks: int, *arguments: str) -> None:
    """Train to the end."""
    process = train(processes, folder, ranks, *arguments)
    output = process.communicate(timeout=120)
    assert process.returncode == 0, output


def ranks_of(processes: RankProcesses, launcher: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the processes that train."""
    found = []
    for number in processes.running():
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if number != launcher.pid and b"fastrnn" in words and b"python" in words[0]:
            found.append(number)
    return found


def send(kind: str, processes: RankProcesses, launcher: subprocess.Popen[str], draw: random.Random) -> None:
    """Stop a training."""
    if kind == "kill":
        found = ranks_of(processes, launcher)
        if found:
            os.kill(draw.choice(found), signal.SIGKILL)
    elif kind == "term":
        launcher.send_signal(signal.SIGTERM)
    else:
        os.killpg(launcher.pid, signal.SIGINT)


def wait_for_end(processes: RankProcesses, launcher: subprocess.Popen[str]) -> float:
    """Return the seconds until the launcher and all ranks have ended."""
    began = time.monotonic()
    launcher.communicate(timeout=60)
    while processes.running() and time.monotonic() - began < 60:
        time.sleep(0.01)
    return time.monotonic() - began


def begun(folder: Path) -> bool:
    """Return whether the loop of the training in a folder has begun: then it saves when it is stopped."""
    return (folder / "m.jsonl").exists()


def new(steps: int) -> list[str]:
    """Return the arguments of a new training."""
    return ["../t.txt", *OPTIONS, "--steps", str(steps), "--out", OUT]


def stop_once(
    kind: str, processes: RankProcesses, folder: Path, steps: int, moment: float, draw: random.Random
) -> Stop:
    """Start a training, stop it at a moment after its first step or before, and check what it left."""
    launcher = train(processes, folder, RANKS, *new(steps))
    early = draw.random() < EARLY
    while not begun(folder) and launcher.poll() is None and not early:
        time.sleep(0.005)
    time.sleep(moment)
    ended = launcher.poll() is not None
    if not ended:
        send(kind, processes, launcher, draw)
    seconds = wait_for_end(processes, launcher)
    assert seconds < LONGEST, f"ended only after {seconds:.1f} s"
    checkpoint = load_checkpoint(folder / OUT) if (folder / OUT).exists() else None
    saved = None if checkpoint is None or checkpoint.training is None else checkpoint.training.values["step"]
    if not ended and not early and kind != "kill":
        assert launcher.returncode in (INTERRUPTED, 0), launcher.returncode
        assert saved is not None, "stopped, and nothing saved"
    return Stop(seconds, launcher.returncode, saved)


def resume(processes: RankProcesses, folder: Path, ranks: int, saved: int | None, steps: int) -> None:
    """Train to the end from what there is."""
    if saved is None:
        finish(processes, folder, ranks, *new(steps), "--overwrite")
    elif saved < steps:
        finish(processes, folder, ranks, "--resume", OUT, "--threads", "1")


def check_end(folder: Path, whole: Path) -> None:
    """Check that a training ended as the one in another folder, which nothing stopped."""
    assert (folder / OUT).read_bytes() == (whole / OUT).read_bytes(), "another result"
    steps = [[record["step"] for record in read_log(str(one / "m.jsonl"))] for one in (folder, whole)]
    assert steps[0] == steps[1], "another log"
    left = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
    assert not left, left


def run(kind: str, count: int, seed: int, folder: Path, steps: int = 200) -> list[Stop]:
    """Stop trainings at random moments; return what came of each."""
    draw = random.Random(f"{kind} {seed}")
    (folder / "t.txt").write_text(standard_library_text()[:20_000], encoding="utf-8")
    stops = []
    with closing(RankProcesses(find_mpiexec() or "mpiexec")) as processes:
        whole = folder / "whole"
        whole.mkdir()
        finish(processes, whole, RANKS, *new(steps))
        lasted = read_log(str(whole / "m.jsonl"))[-1]["seconds"]
        for turn in range(count):
            own = folder / str(turn)
            own.mkdir()
            stop = stop_once(kind, processes, own, steps, draw.random() * lasted, draw)
            resume(processes, own, 1 + turn % RANKS, stop.saved, steps)
            check_end(own, whole)
            stops.append(stop)
    return stops


def main() -> None:
    """Run it as the command line says, and print a line for each kind of stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options: Any = parser.parse_args()
    for kind in options.kind or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            stops = run(kind, options.count, options.seed, Path(folder))
        codes, saved = sorted({stop.code for stop in stops}), [stop.saved for stop in stops]
        longest = max(stop.seconds for stop in stops)
        print(f"{kind}: {len(stops)} stops, ended within {longest:.2f} s; exit codes {codes}; saved {saved}")


if __name__ == "__main__":
    main()
