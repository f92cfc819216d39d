"""The team of threads: large ones, its counters, the CPUs it may use, and when it is trusted."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr
from kernel_cases import kernels, with_threads
from system_refusals import run_script

ROOT = Path(__file__).parents[2]
LINUX = sys.platform == "linux"

# Split by rows, by hidden units, as a wave of layers, and by directions; with meetings inside a step.
LAYERS = {
    "rows": (lambda: fr.LSTM(24, 48, seed=0), (20, 40, 24)),
    "units": (lambda: fr.GRU(48, 320, seed=0), (25, 1, 48)),
    "units, reset before": (lambda: fr.GRU(48, 320, reset_after=False, seed=0), (25, 1, 48)),
    "units, normalised": (lambda: fr.LSTM(48, 320, layer_norm=True, seed=0), (12, 2, 48)),
    "wave": (lambda: fr.LSTM(64, 64, 5, seed=0), (60, 1, 64)),
    "directions by rows": (lambda: fr.GRU(64, 64, bidirectional=True, seed=0), (30, 24, 64)),
    "directions by units": (lambda: fr.LSTM(64, 320, bidirectional=True, seed=0), (20, 1, 64)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_teams_of_any_size_compute_the_same_bits(name):
    make, shape = LAYERS[name]
    layer, x = make(), np.random.default_rng(1).normal(size=shape).astype("f")

    def bits():
        layer.zero_gradients()
        y, _, tape = layer.forward(x)
        dx, _ = layer.backward(tape, np.ones_like(y))
        return layer(x)[0].tobytes() + y.tobytes() + dx.tobytes() + layer.gradients.flat.tobytes()

    wanted = with_threads(1, bits)
    for threads in (2, 3, 4, 7, 16):
        for _ in range(3):
            assert with_threads(threads, bits) == wanted, threads


def test_calls_on_several_threads_are_counted():
    layer, x = fr.LSTM(24, 48, seed=0), np.ones((20, 40, 24), "f")
    before = fr.thread_counters()
    with_threads(2, lambda: layer(x))
    after = fr.thread_counters()
    assert after["shared_calls"] == before["shared_calls"] + 1
    with_threads(1, lambda: layer(x))
    assert fr.thread_counters()["shared_calls"] == after["shared_calls"]


def test_a_meeting_takes_some_time():
    assert 0 < kernels.meeting_time(2, 100, 1e-6) + 1e-6 < 60


ON_ONE_CPU = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, fastrnn as fr
fr.set_num_threads(4)
layer, x = fr.LSTM(64, 128, seed=0), np.ones((50, 32, 64), "f")
for _ in range(10): layer(x)
print(fr.get_num_threads(), fr.thread_counters()["shared_calls"])
"""


@pytest.mark.skipif(not LINUX, reason="needs CPU affinities")
def test_there_are_never_more_threads_than_cpus():
    environment = {key: value for key, value in os.environ.items() if key != "FASTRNN_ALWAYS_SHARE"}
    run = subprocess.run(
        [sys.executable, "-c", ON_ONE_CPU], env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.stdout.split() == ["4", "0"], run.stderr


@pytest.mark.skipif(not LINUX, reason="needs CPU affinities")
def test_no_thread_keeps_another_affinity():
    """A sleeping thread of the pool is moved off its waker's CPU; later all may run anywhere again."""
    layer, x = fr.LSTM(24, 48, seed=0), np.ones((20, 40, 24), "f")
    mine = os.sched_getaffinity(0)

    def others():
        return [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")]

    def call():
        layer(x)
        time.sleep(0.002)  # until the pool sleeps
        assert os.sched_getaffinity(0) == mine

    end = time.monotonic() + 60
    for _ in range(20):
        with_threads(3, call)
    while any(cpus != mine for cpus in others()) and time.monotonic() < end:
        with_threads(3, call)
    assert all(cpus == mine for cpus in others())


def test_a_user_s_affinity_of_one_thread_is_kept():
    if not LINUX or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs and their affinities")
    script = """
import os, threading, numpy as np, fastrnn as fr
fr.set_num_threads(2)
layer, x = fr.LSTM(24, 48, seed=0), np.ones((20, 40, 24), "f")
layer(x)
mine = {max(os.sched_getaffinity(0))}
os.sched_setaffinity(0, mine)
for _ in range(20): layer(x)
print(os.sched_getaffinity(0) == mine)
"""
    assert run_script(script).stdout.split() == ["True"]


@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler, as c++")
def test_when_a_team_is_trusted(tmp_path):
    """The decisions, from made-up times."""
    program = tmp_path / "trust_check"
    source = ROOT / "tests/cpp/trust_check.cpp"
    subprocess.run(["c++", "-std=c++17", f"-I{ROOT / 'cpp'}", source, "-o", program], check=True)
    run = subprocess.run([program], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "all so"
