"""The benchmarks beside other work: answers are verified, and no process that they started is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fastrnn
from bench_cases import ROOT

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(fastrnn.__file__).parents[1]), str(ROOT)]),
}
PATIENCE = 60.0  # seconds after which a silent process counts as hanging
BUSY = (
    sys.executable,
    "-m",
    "benchmarks.busy_machine",
    "--cpus",
    "1",
    "--peers",
    "fastrnn",
    "--shapes",
    "5,2,3,4",
)


def run(*command):
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_busy_machine(tmp_path):
    out = tmp_path / "busy.json"
    short = ("--rounds", "2", "--seconds", "0.001", "--out", str(out))
    printed = run(*BUSY, *short, "--busy", "0", "1", "--threads", "2", "3", "--modes", "training")
    points = json.loads(out.read_text())["points"]
    assert [(point["busy"], list(point["times"])) for point in points] == [
        (busy, ["fastrnn-1", "fastrnn-2", "fastrnn-3"]) for busy in (0, 1)
    ]
    for point in points:
        for times in point["times"].values():
            assert times["difference"] < 1e-5
            assert times["calls"] >= len(times["means_us"]) == 2
            assert 0 < times["median_us"] <= times["p99_us"] <= times["longest_us"]
    assert printed.count("| 5, 2, 3, 4, 1 |") == 4  # means and 99th percentiles of two and three threads
    assert "2 threads: " in printed
    assert "3 threads: " in printed


def test_several_libraries_in_one_process(tmp_path):
    out = tmp_path / "one.json"
    command = (sys.executable, "-m", "benchmarks.one_process", "--alone", "--threads", "1", "--out", str(out))
    printed = run(*command, "--shapes", "5,2,3,4", "--cells", "gru", "--peers", "numpy", "--rounds", "3")
    points = json.loads(out.read_text())["points"]
    assert [point["case"]["mode"] for point in points] == ["forward", "training"]
    for point in points:
        assert max(point["differences"].values()) < 1e-5
        for where in ("together", "alone"):
            assert sorted(point[where]) == ["fastrnn", "numpy"]
            assert [len(times["samples_us"]) for times in point[where].values()] == [3, 3]
    assert printed.count("| gru | 5, 2, 3, 4, 1 |") == 2
    assert printed.count("x NumPy reference") == 4


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the session of a process cannot be read")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_benchmark_leaves_no_process(tmp_path, how):
    command = (*BUSY, "--rounds", "100000", "--busy", "1", "--out", str(tmp_path / "busy.json"))
    pipe = subprocess.PIPE
    # A session, so that what the benchmark started can be told from everything else.
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    try:
        end = time.monotonic() + PATIENCE
        while len(session(process.pid)) < 4:  # the benchmark, two workers, a spinning process
            assert time.monotonic() < end
            time.sleep(0.05)
        if how is signal.SIGINT:
            os.killpg(process.pid, how)  # as from a terminal
        else:
            process.send_signal(how)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "")
    assert session(process.pid) == []


def session(number):
    """Return the processes of a session, without those that have ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == number and state != "Z":
            found.append(int(stat.parent.name))
    return found
