"""What stops a sweep or a trial: signals, kills and other sweeps; and what is there after it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from fastrnn.files.output_lock import hold_output
from fastrnn.train import load_checkpoint
from test_cli import assert_one_line, folder, run, run_well, start
from test_cli_sweep import SWEEP, results_in, without_time, write

__all__ = ["folder"]  # a fixture

LONG = SWEEP.replace("steps = 20", "steps = 600")


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def is_running(number):
    """Return whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def trials_of(process):
    """Return the processes of the trials that a sweep has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process.pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


with_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")


def test_more_random_trials_are_added_on_resume(folder):
    text = SWEEP.partition("[grid]")[0] + "[random]\ntrials = 1\nlearning-rate = {log = [1e-3, 1e-1]}\n"
    run_well("sweep", write(text))
    first = results_in("s")
    run_well("sweep", write(text.replace("trials = 1", "trials = 2")), "--resume")
    assert results_in("s")[:1] == first
    assert [one["trial"] for one in results_in("s")] == [1, 2]


@with_proc
def test_a_trial_that_is_killed_is_named_and_the_others_run(folder):
    process = start("sweep", write(LONG))
    wait_for(lambda: Path("s/trial-0001/model.safetensors").exists())
    (trial,) = trials_of(process)
    os.kill(trial, signal.SIGKILL)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "trial 1 of 2: failed: killed by SIGKILL, perhaps for lack of memory" in printed
    assert [one["score"] is None for one in results_in("s")] == [True, False]
    resumed = json.loads(run_well("sweep", "s.toml", "--resume", "--json").stdout)
    assert resumed["failed"] == 0
    run_well("sweep", "s.toml", "--out", "whole")
    assert without_time(resumed["results"]) == without_time(
        sorted(results_in("whole"), key=lambda one: one["score"])
    )


@with_proc
def test_a_trial_that_was_stopped_alone_is_left_to_run(folder):
    process = start("sweep", write(LONG))
    wait_for(lambda: Path("s/trial-0001/model.safetensors").exists())
    (trial,) = trials_of(process)
    os.kill(trial, signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert "stopped with 1 of 2 trials to run" in printed
    assert [one["trial"] for one in results_in("s")] == [2]
    assert process.returncode == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_stops_all_trials_which_save(folder, number):
    process = start("sweep", write(LONG), "--processes", 2)
    saved = [Path(f"s/trial-000{each}/model.safetensors") for each in (1, 2)]
    wait_for(lambda: all(path.exists() for path in saved))
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert (
        "stopped with 2 of 2 trials to run; to run them, type: fastrnn sweep s.toml --processes 2 --resume"
        in printed
    )
    assert not Path("s/results.jsonl").exists()
    for path in saved:
        assert 10 <= load_checkpoint(path).training.values["step"] < 600


@with_proc
def test_trials_end_with_a_sweep_that_is_killed_and_a_cut_line_is_repaired(folder):
    process = start("sweep", write(LONG), "--processes", 2)
    wait_for(lambda: Path("s/trial-0001/model.safetensors").exists() and len(trials_of(process)) == 2)
    trials = trials_of(process)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(is_running, trials)), 30)
    Path("s/results.jsonl").write_text('{"trial": 1, "opt')
    run_well("sweep", "s.toml", "--resume")
    assert [one["trial"] for one in results_in("s")] == [1, 2]
    assert all(one["score"] for one in results_in("s"))


def test_a_folder_belongs_to_one_sweep_at_a_time(folder):
    process = start("sweep", write(LONG))
    wait_for(lambda: Path("s/trial-0001/model.safetensors").exists())
    message = f"s/results.jsonl: process {process.pid} on .* writes it; wait for its end"
    assert_one_line(run("sweep", "s.toml", "--resume"), 2, message)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_trial_that_still_saves_is_waited_for(folder):
    run_well("sweep", write(), "--out", "s")
    Path("s/results.jsonl").unlink()
    with hold_output("s/trial-0002/model.safetensors"):
        message = rf"s/trial-0002/model.safetensors: process {os.getpid()} on .* writes it; wait for its end"
        assert_one_line(run("sweep", "s.toml", "--resume"), 2, message)
    assert not Path("s/results.jsonl").exists()


def parent_of(number):
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2].split()[1])


@with_proc
@pytest.mark.parametrize("what", ["SIGTERM", "SIGUSR1", "SIGKILL to a rank"])
def test_what_stops_a_rank_stops_all_trials_which_save(folder, mpiexec, what):
    launcher = mpiexec.start(3, ["-m", "fastrnn", "sweep", write(LONG)])
    saved = [Path(f"s/trial-000{each}/model.safetensors") for each in (1, 2)]
    wait_for(lambda: all(path.exists() for path in saved))
    if what == "SIGKILL to a rank":
        trials = [one for one in mpiexec.running() if b"child" in Path(f"/proc/{one}/cmdline").read_bytes()]
        os.kill(parent_of(trials[-1]), signal.SIGKILL)
    else:
        launcher.send_signal(getattr(signal, what))
    printed, _ = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert what != "SIGUSR1" or "type: mpiexec -n 3 fastrnn sweep s.toml --resume" in printed
    wait_for(lambda: not mpiexec.running(), 30)
    for path in saved:
        assert 10 <= load_checkpoint(path).training.values["step"] < 600
    run_well("sweep", "s.toml", "--resume")
    assert [one["failure"] for one in results_in("s")] == [None, None]
