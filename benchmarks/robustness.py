"""Stop a training twenty times with Ctrl-C and twenty times with kill -9; nothing may be lost.

    python benchmarks/robustness.py

Two chains of runs of ``fastrnn train``. In the first, SIGINT stops each run at a random moment; in the
second, SIGKILL does so while it does little but save. After every stop the checkpoint must load, and the next
run resumes from it. At the end each chain is trained a little further without interruption and compared with
a training that was never stopped: the parameters must be equal to the last bit.

Prints one line per stop and a summary; exits with 1 if anything was lost or a Ctrl-C took over a second.
"""

import argparse
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from fastrnn.data import standard_library_text
from fastrnn.train import load_checkpoint

STOPS = 20  # of each kind
SEED = 0  # of the moments
TEXT_SIZE = 100_000  # characters
MORE_STEPS = 20  # without interruption at the end of a chain
LONGEST_STOP = 1.0  # seconds from Ctrl-C to the end of the process
LAST_MOMENT = 3.0  # seconds of the process, start-up included
LAST_SAVE = 1.5  # seconds from the first save to the one in which it is killed
LAST_WRITE = 0.01  # seconds from that file's first byte

# Steps of some milliseconds, occasional validation and samples: Ctrl-C may hit each of them.
STOPPED = "--hidden-size 96 --batch-size 16 --eval-every 40 --sample-every 60 --dropout 0.1".split()
# 14 MB saved twice after each step: nearly all the time is spent saving.
KILLED = "--hidden-size 320 --batch-size 2 --seq-length 4 --eval-every 1 --valid-fraction 0.001".split()


@dataclass
class Chain:
    """Runs of one training, each stopped, and the problems found."""

    name: str
    options: list[str]
    folder: Path
    problems: list[str] = field(default_factory=list)

    @property
    def model(self) -> Path:
        """Path of the checkpoint on disk."""
        return self.folder / f"{self.name}.safetensors"

    def start(self, steps: int) -> subprocess.Popen[str]:
        """Start the training or resume it."""
        fresh = [str(self.folder / "text.txt"), "--out", str(self.model), "--overwrite", *self.options]
        arguments = ["--resume", str(self.model)] if self.model.exists() else fresh
        command = [sys.executable, "-m", "fastrnn", "train", *arguments, "--steps", str(steps)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def step(self) -> int:
        """Return the step of the checkpoint on disk, 0 without one; failure to load is a problem."""
        if not self.model.exists():
            return 0
        try:
            checkpoint = load_checkpoint(self.model)
        except (ValueError, OSError) as error:
            self.problems.append(f"does not load: {error}")
            return -1
        assert checkpoint.training is not None
        return int(checkpoint.training.values["step"])

    def check_progress(self, before: int) -> int:
        """Return the step of the checkpoint; a step before the last one seen is a problem."""
        after = self.step()
        if after < before:
            self.problems.append(f"fell back from step {before} to {after}")
        return after

    def finish(self) -> None:
        """Train on without interruption and compare with a training that was never stopped."""
        steps = max(self.step(), 0) + MORE_STEPS
        whole = Chain(f"{self.name}-undisturbed", self.options, self.folder)
        for chain in (self, whole):
            process = chain.start(steps)
            _, errors = process.communicate()
            if process.returncode != 0:
                self.problems.append(f"{chain.name} did not finish: {errors.strip()[-300:]}")
                return
        one, two = (load_checkpoint(chain.model).model.parameters.flat.tobytes() for chain in (self, whole))
        print(f"{self.name}: {steps} steps; parameters equal to an uninterrupted training: {one == two}")
        if one != two:
            self.problems.append("parameters differ from an uninterrupted training")


def interrupt(folder: Path, moments: random.Random) -> Chain:
    """Stop a training repeatedly with Ctrl-C."""
    chain = Chain("interrupted", STOPPED, folder)
    step, slowest = 0, 0.0
    for number in range(1, STOPS + 1):
        process = chain.start(10**7)
        moment = moments.uniform(0.0, LAST_MOMENT)
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        output, errors = process.communicate()
        seconds = time.perf_counter() - sent
        slowest = max(slowest, seconds)
        step = chain.check_progress(step)
        # Before training starts there is nothing to save: Python itself ends the program.
        saved = process.returncode == 130 and "resume with" in output
        print(f"Ctrl-C {number:2} at {moment:.3f} s: ended in {seconds:.3f} s, step {step}, saved: {saved}")
        if not saved and "training: " in output:
            end = errors.strip()[-300:]
            chain.problems.append(f"Ctrl-C at {moment:.3f} s: exit code {process.returncode}: {end}")
    print(f"slowest end after Ctrl-C: {slowest:.3f} s")
    if slowest > LONGEST_STOP:
        chain.problems.append(f"a Ctrl-C took {slowest:.3f} s")
    chain.finish()
    return chain


def half_written(folder: Path) -> list[int]:
    """Return the sizes of existing temporary files."""
    sizes = []
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # it has just been renamed
            sizes.append(path.stat().st_size)
    return sizes


def kill(folder: Path, moments: random.Random) -> Chain:
    """Stop a training repeatedly with SIGKILL while it saves."""
    chain = Chain("killed", KILLED, folder)
    step, torn = 0, 0
    for number in range(1, STOPS + 1):
        process = chain.start(10**7)
        moment = moments.uniform(0.0, LAST_SAVE)
        for wait in (moment, moments.uniform(0.0, LAST_WRITE)):
            while process.poll() is None and not any(half_written(folder)):
                time.sleep(0.0002)  # until a file is being written
            time.sleep(wait)
        process.kill()
        process.communicate()
        step = chain.check_progress(step)
        sizes = half_written(folder)
        torn += bool(sizes)
        print(f"kill -9 {number:2} after {moment:.3f} s: step {step}, bytes half written: {sizes}")
        for path in folder.glob(".*.tmp"):
            path.unlink()
    print(f"kills in the middle of writing a file: {torn} of {STOPS}")
    if step < 1:
        chain.problems.append("nothing was ever saved")
    chain.finish()
    return chain


def main() -> int:
    """Run both chains and print a summary."""
    parser = argparse.ArgumentParser(description="Stop a training repeatedly with Ctrl-C and kill -9.")
    parser.add_argument("--seed", type=int, default=SEED, help="of the random moments")
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_text(standard_library_text(TEXT_SIZE), encoding="utf-8")
        moments = random.Random(seed)
        problems = [
            f"{chain.name}: {problem}"
            for chain in (interrupt(folder, moments), kill(folder, moments))
            for problem in chain.problems
        ]
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print(f"{STOPS} Ctrl-C, {STOPS} kill -9: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
