"""Many Python threads call kernels at once, or other processes are busy: the same bits, and none starves."""

import json
import sys
import time

import numpy as np
import pytest

import fastrnn as fr
from bench_cases import spinning
from kernel_cases import assert_same_bits, with_threads
from system_refusals import run_script

THREADS = (1, 2, 8)  # FASTRNN_NUM_THREADS
CALLERS = 8  # Python threads

# `infer()` and `train()` return bits: of layers that all callers share, and of a layer made anew. The layers
# are split by hidden units, by rows and by layers. `start_callers` lets every caller call a function while it
# may. `call_together` lets them share a number of calls; it returns who got other bits than a lone call, and
# how many calls each has made.
WORK = f"""
import itertools, os, signal, threading, time
import numpy as np
import fastrnn as fr
random = np.random.default_rng(0)
def inputs(*shape): return random.normal(size=shape).astype("f")
shared = [(fr.LSTM(48, 160, seed=1), inputs(25, 1, 48)), (fr.GRU(24, 64, seed=2), inputs(20, 16, 24)),
          (fr.LSTM(64, 64, 2, seed=3), inputs(60, 1, 64))]
def infer():
    return b"".join(rnn(x)[0].tobytes() for rnn, x in shared)
def train():
    rnn, x = fr.LSTM(24, 96, 2, seed=4), shared[1][1]
    for _ in range(3):
        rnn.zero_gradients()
        y, _, tape = rnn.forward(x)
        dx, _ = rnn.backward(tape, y)
        with rnn.parameters.edit() as p: p.flat -= np.float32(0.01) * rnn.gradients.flat
    return rnn.parameters.flat.tobytes() + dx.tobytes()
def start_callers(function, may_go_on, **options):
    wanted, wrong, counts, start = function(), [], [0] * {CALLERS}, threading.Barrier({CALLERS})
    def call(place):
        start.wait()
        while may_go_on():
            if function() != wanted: wrong.append(place)
            counts[place] += 1
    threads = [threading.Thread(target=call, args=(place,), **options) for place in range({CALLERS})]
    for thread in threads: thread.start()
    return threads, wanted, wrong, counts
def call_together(function, calls):
    tickets = itertools.count()
    threads, _, wrong, counts = start_callers(function, lambda: next(tickets) < calls)
    for thread in threads: thread.join()
    return wrong, counts
"""


def output_of(script, threads, **variables):
    """Return what a script prints; it must end by itself, without a word on standard error."""
    run = run_script(WORK + script, FASTRNN_NUM_THREADS=str(threads), **variables)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(("function", "calls"), [("infer", 400), ("train", 120)])
def test_callers_get_the_bits_of_a_lone_call_and_none_starves(function, calls, threads):
    wrong, counts = json.loads(output_of(f"print(list(call_together({function}, {calls})))", threads))
    assert wrong == []
    assert sum(counts) == calls
    assert all(counts), counts  # not their shares: on a busy machine a team can wait for long


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not fork")
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("function", ["infer", "train"])
def test_a_fork_while_callers_call(function, threads):
    script = f"""
over = threading.Event()
callers, wanted, wrong, counts = start_callers({function}, lambda: not over.is_set())
for _ in range(4):
    time.sleep(0.02)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # a child that hangs is not left behind
        fr.set_num_threads(2)
        os._exit(7 if infer() == lone and {function}() == wanted else 8)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
for caller in callers: caller.join()
print(wrong)
"""
    printed = output_of(
        "lone = infer()\n" + script, threads, PYTHONWARNINGS="ignore"
    )  # of forks beside threads
    assert printed.split() == ["7", "7", "7", "7", "[]"]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("function", ["infer", "train"])
def test_the_interpreter_ends_while_callers_call(function, threads):
    script = f"""
start_callers({function}, lambda: True, daemon=True)
time.sleep(0.05)
print("done")
"""
    assert output_of(script, threads) == "done\n"


@pytest.fixture(scope="module")
def busy_machine():
    """Let two processes spin."""
    with spinning(2):
        yield


#: By name: a layer, and T and N. Which of them is split how is the kernels' choice.
LAYERS = {
    "by units": (lambda: fr.LSTM(48, 160, seed=1), 25, 1),
    "by units, more rows": (lambda: fr.RNN(60, 190, seed=2), 40, 4),
    "by rows": (lambda: fr.GRU(24, 64, seed=3), 20, 16),
    "wavefront": (lambda: fr.LSTM(64, 64, 2, seed=4), 100, 1),
    "both directions": (lambda: fr.GRU(40, 64, bidirectional=True, seed=5), 50, 4),
    "norm": (lambda: fr.LSTM(24, 130, layer_norm=True, seed=6), 20, 2),
    "projection": (lambda: fr.LSTM(24, 96, proj_size=40, peephole=True, seed=7), 20, 18),
}
MOST_SECONDS, MOST_CALLS, FEWEST_CALLS = 0.7, 100, 3  # of one layer in one mode


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
def test_the_same_bits_beside_busy_processes(busy_machine, name, training):
    make, T, N = LAYERS[name]
    rnn, random = make(), np.random.default_rng(0)
    x = random.normal(size=(T, N, rnn.input_size)).astype("f")
    dy = random.normal(size=rnn(x)[0].shape).astype("f")

    def results():
        if not training:
            return {"y": rnn(x)[0]}
        rnn.zero_gradients()
        y, _, tape = rnn.forward(x)
        dx, _ = rnn.backward(tape, dy)
        return {"y": y, "dx": dx, "gradients": rnn.gradients.flat.copy()}

    alone = with_threads(1, results)
    start = time.monotonic()
    for calls in range(MOST_CALLS):
        assert_same_bits(with_threads(2, results), alone)
        if calls + 1 >= FEWEST_CALLS and time.monotonic() - start > MOST_SECONDS:
            break
