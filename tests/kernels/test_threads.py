"""Forks, concurrent Python threads, Ctrl-C, and when the thread pool is used."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers.recurrent.sparse_reservoir import SparseReservoir
from kernel_cases import (
    PARAMETERS,
    assert_same_bits,
    backward_into,
    both_passes,
    forward,
    kernels,
    pack,
    zero_gradients,
)
from recurrent_cases import make_case

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
CASE = make_case("lstm", (20, 16, 24, 48), dtype="float32")  # large enough for two threads in both passes
PATIENCE = 60.0  # seconds after which a silent child counts as hanging


@pytest.fixture(autouse=True)
def two_threads():
    before = fr.get_num_threads()
    fr.set_num_threads(2)
    yield
    fr.set_num_threads(before)


def in_a_child(check):
    """Run `check()` in a forked child; return whether it finished and returned True."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


def same(wanted):
    got = both_passes(CASE)
    return all(got[name].tobytes() == wanted[name].tobytes() for name in wanted)


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_its_own_pool():
    wanted = both_passes(CASE)
    for _ in range(3):
        assert in_a_child(lambda: same(wanted))
    assert in_a_child(lambda: in_a_child(lambda: same(wanted)) and same(wanted))
    assert same(wanted)


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_the_pool_is_at_work():
    wanted, over = both_passes(CASE), threading.Event()

    def work():
        while not over.is_set():
            both_passes(CASE)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(10):
            assert in_a_child(lambda: same(wanted))
    finally:
        over.set()
        worker.join()


def run_together(functions):
    """Run all functions, each in a Python thread; return their results."""
    results, start = [None] * len(functions), threading.Barrier(len(functions))

    def run(place):
        start.wait()
        results[place] = functions[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("cell", [fr.RNN, fr.GRU, fr.LSTM])
def test_one_model_in_several_threads(cell):
    """Run right after the parameters changed: the first thread packs them."""
    model = cell(24, 48, 2, seed=1)
    x = CASE.x
    wanted = model(x)[0].tobytes()
    for _ in range(10):
        with model.parameters.edit() as p:
            p.flat[...] = p.flat
        assert run_together([lambda: model(x)[0].tobytes()] * 4) == [wanted] * 4


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to CPUs"
)
def test_two_threads_on_one_cpu():
    """Check that a worker stays where it is if there is no other CPU."""
    script = (
        "import os, numpy as np, fastrnn as fr\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "rnn, x = fr.LSTM(24, 48, seed=0), np.ones((20, 16, 24), 'f')\n"
        "alone = (fr.set_num_threads(1), rnn(x)[0])[1]\n"
        "fr.set_num_threads(2)\n"
        "print(all(np.array_equal(rnn(x)[0], alone) for _ in range(20)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert run.stdout.split() == ["True"], run.stderr


def test_losses_of_several_chunks_do_not_depend_on_which_thread_is_faster():
    """Run chunks of different lengths: both workers share a chunk's logits, split differently in the last."""
    random = np.random.default_rng(0)
    h, weight = random.normal(size=(300, 4)).astype("f"), random.normal(size=(1100, 4)).astype("f")
    targets = random.integers(1100, size=300)

    def losses():
        return kernels.linear_cross_entropy(h, weight, None, targets, 1.0, None, None, False)[0]

    fr.set_num_threads(1)
    alone = losses()
    fr.set_num_threads(2)
    assert all(np.array_equal(losses(), alone) for _ in range(1000))


def test_several_threads_with_everything_at_once():
    """Run both passes on the same packed weights, whose backward part the first thread packs."""
    wanted = both_passes(CASE)
    for _ in range(10):
        packed = pack(CASE)

        def run(packed=packed):
            y, _, tape = forward(CASE, packed)
            gradients = zero_gradients(CASE)
            dx, dstate = backward_into(gradients, CASE, tape, packed)
            names = ("y", "dx", "dh0", "dc0", *(f"d{name}" for name in PARAMETERS))
            return dict(zip(names, (y, dx, *dstate, *gradients.values()), strict=True))

        for got in run_together([run] * 4):
            assert_same_bits(got, {name: wanted[name] for name in got})


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the number of threads cannot be read")
def test_small_work_starts_no_thread_and_large_work_does():
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from kernel_cases import both_passes, fr; from recurrent_cases import make_case\n"
        "fr.set_num_threads(2)\n"
        "for sizes in ((2, 3, 4, 5), (20, 16, 24, 48), (20, 16, 24, 48), (2, 3, 4, 5)):\n"
        "    both_passes(make_case('lstm', sizes)); print(len(os.listdir('/proc/self/task')))\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).resolve().parents[1])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    small, large, again, last = map(int, output.split())
    assert (large, again, last) == (small + 1,) * 3


# Steps of two sequences. The weights are large, so that a pass takes a second or more in little memory.
LONG = {"lstm": 4000, "gru": 5000, "elman": 20_000}
WIDTH = 1024


def long_pass(cell):
    """Make the weights of a slow layer, and ids of two sequences, one for each thread."""
    gates = {"lstm": 4, "gru": 3, "elman": 1}[cell]
    random = np.random.default_rng(2)
    shapes = (gates * WIDTH, 1), (gates * WIDTH, WIDTH), (gates * WIDTH,), (gates * WIDTH,)
    weights = tuple((0.02 * random.normal(size=s)).astype(np.float32) for s in shapes)
    return weights, np.zeros((LONG[cell], 2), np.int64)


def zeros_like(weights):
    """Return zero gradients by name."""
    return {name: np.zeros_like(w) for name, w in zip(PARAMETERS, weights, strict=True)}


def interrupted(run):
    """Return the seconds from a Ctrl-C during `run()` to its KeyboardInterrupt."""
    sent = []

    def press():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.2, press)
    try:
        timer.start()
        run()
    except KeyboardInterrupt:
        return time.monotonic() - sent[0]
    timer.cancel()
    raise AssertionError("the call was too short to be interrupted, or did not notice")


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill is not Ctrl-C there")
@pytest.mark.parametrize("cell", LONG)
def test_ctrl_c_in_a_long_call(cell):
    weights, ids = long_pass(cell)
    packed = [getattr(kernels, f"{cell}_pack")(*weights)]
    run_forward, run_backward = kernels.recurrent_forward, kernels.recurrent_backward
    gradients = zeros_like(weights)
    assert interrupted(lambda: run_forward(packed, ids)) < 1.0
    assert interrupted(lambda: run_forward(packed, ids, training=True)) < 1.0

    ((y, _, tape),) = run_forward(packed, ids, training=True)
    dy = np.ones_like(y)
    assert interrupted(lambda: run_backward(packed, [tape], dy, None, [gradients], True)) < 1.0
    assert all(np.isfinite(g).all() for g in gradients.values())

    # An interrupted pass can be repeated, with zeroed gradients, as if nothing had happened.
    ((_, _, tape),) = run_forward(packed, ids[:20], training=True)
    fresh = zeros_like(weights)
    for g in gradients.values():
        g[...] = 0
    for into in (gradients, fresh):
        run_backward(packed, [tape], dy[:20], None, [into], True)
    assert all(g.tobytes() == fresh[name].tobytes() and g.any() for name, g in gradients.items())


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill is not Ctrl-C there")
def test_ctrl_c_where_passes_run_at_the_same_time():
    case = make_case("lstm", (4, 1, 64, 64), dtype="float32")
    layers, ids = [pack(case)] * 3, np.zeros((400_000, 1), np.int64)
    run_forward, run_backward = kernels.recurrent_forward, kernels.recurrent_backward
    assert interrupted(lambda: run_forward(layers, ids)) < 1.0

    weights, ids = long_pass("elman")
    both, gradients = [kernels.elman_pack(*weights)] * 2, [zeros_like(weights), zeros_like(weights)]
    assert interrupted(lambda: run_forward(both, ids, training=True, directions=2)) < 1.0
    results = run_forward(both, ids, training=True, directions=2)
    tapes, dy = [tape for _, _, tape in results], np.ones((*ids.shape, 2 * WIDTH), "f")
    assert interrupted(lambda: run_backward(both, tapes, dy, None, gradients, True, 2)) < 1.0


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill is not Ctrl-C there")
def test_ctrl_c_in_a_variant():
    rnn, ids = fr.LSTM(1, WIDTH, peephole=True, seed=0), np.zeros((1500, 2), np.int64)
    assert interrupted(lambda: rnn(ids)) < 1.0
    y, _, tape = rnn.forward(ids[:700])
    assert interrupted(lambda: rnn.backward(tape, y)) < 1.0


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill is not Ctrl-C there")
def test_ctrl_c_in_a_long_field_adds_nothing_to_its_gradients():
    crf, emissions = fr.CRF(600, seed=0), np.zeros((20_000, 1, 600), np.float32)
    tags = np.zeros((20_000, 1), np.int64)
    assert interrupted(lambda: crf.losses_and_gradients(emissions, tags)) < 1.0
    assert not crf.gradients.flat.any()


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill is not Ctrl-C there")
@pytest.mark.parametrize("rows", [1, 3])
def test_ctrl_c_in_a_reservoir(rows):
    weight = np.ones(50_000), np.arange(50_000) % 500, np.arange(501) * 100
    reservoir, inputs = SparseReservoir(weight), np.zeros((50_000, rows, 500))
    assert interrupted(lambda: reservoir.run(inputs, overwrite=True)) < 1.0
