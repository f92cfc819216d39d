"""The interpreter ends while a daemon thread is in a kernel: the exit code is the main program's."""

import pytest

from system_refusals import run_script

# One busy loop for each kind of call that releases the GIL. Sizes are small, so that threads ask for the GIL
# all the time, and large enough for two threads.
SCRIPT = """
import sys, threading, time
import numpy as np
import fastrnn as fr
from fastrnn import _dispatch
kernels, random = _dispatch.kernels, np.random.default_rng(0)
threads, code = int(sys.argv[1]), int(sys.argv[2])
fr.set_num_threads(threads)
rnn = fr.LSTM(24, 64, 2, seed=1)
x = random.normal(size=(20, 16, 24)).astype("f")
y, _, tape = rnn.forward(x)
streams, gru, x_t = threading.local(), fr.GRU(24, 256, seed=2), x[0].copy()
def step():
    if not hasattr(streams, "own"): streams.own = gru.stream(16)
    return streams.own.step(x_t)
linear = fr.Linear(64, 200, seed=3)
rows = random.normal(size=(300, 64)).astype("f")
targets = random.integers(200, size=300)
crf, emissions = fr.CRF(9, seed=4), random.normal(size=(20, 10, 9)).astype("f")
memory = random.normal(size=(480, 64)).astype("f")
attended = (
    random.normal(size=(20, 16, 64)).astype("f"), memory, memory, memory[0].copy(), 1.0, np.full(16, 30))
connections = random.normal(size=90_000), np.arange(90_000) % 300, np.arange(301) * 300
reservoir = kernels.sparse_reservoir_pack(*connections, np.full(300, 0.5), "tanh")
states, state = random.normal(size=(9, 40, 300)), np.zeros((40, 300))
flat = [random.normal(size=500_000).astype("f") ** 2 for _ in range(4)]
loops = {
    "forward": lambda: rnn(x),
    "backward": lambda: kernels.recurrent_backward(
        tape._weights.packed, list(tape.layers), y, None, [
            {name: np.zeros_like(g) for name, g in group.items()} for group in groups], True),
    "stream": step,
    "linear": lambda: linear(rows),
    "softmax": lambda: kernels.linear_cross_entropy(
        rows, linear.parameters["weight"], None, targets, 1.0, None, None, True),
    "optimizer": lambda: kernels.adam_step(*flat, 1, 0.01, 0.9, 0.999, 1e-8, 0.0, False),
    "crf": lambda: crf.losses_and_gradients(emissions, targets[:200].reshape(20, 10) % 9),
    "ctc": lambda: kernels.ctc_loss(
        emissions, np.tile([1, 2, 3], 10), np.full(10, 3), np.full(10, 20), 0, False, None),
    "regression": lambda: kernels.regression_loss(rows, rows[:, 0].copy(), None, "squared", None, 1.0),
    "mask": lambda: kernels.dropout_mask(1, 2, 0, 500, 500, 1 << 31, 0.0, 2.0, False),
    "attention": lambda: kernels.attention_backward(
        *attended, *kernels.attention_forward(*attended, None, 30)[::-1], None, None, True),
    "reservoir": lambda: kernels.sparse_reservoir_run(reservoir, states, state),
    "sigmoid": lambda: kernels.sigmoid(flat[0]),
}
names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
groups = [{name: rnn.parameters[f"{name}_l{i}"] for name in names} for i in range(2)]
def forever(f):
    while True: f()
for loop in loops.values(): loop()
for kind in sys.argv[3:]:
    for _ in range(2): threading.Thread(target=forever, args=(loops[kind],), daemon=True).start()
time.sleep(0.02)
print("done", flush=True)
sys.exit(code)
"""
KINDS = (
    "forward",
    "backward",
    "stream",
    "linear",
    "softmax",
    "optimizer",
    "crf",
    "ctc",
    "regression",
    "mask",
    "attention",
    "reservoir",
    "sigmoid",
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_the_exit_code_is_that_of_the_main_program(kind, threads):
    kinds = KINDS if kind == "all" else (kind,)
    for code in (0, 3):
        run = run_script(SCRIPT, str(threads), str(code), *kinds)
        assert (run.returncode, run.stdout) == (code, "done\n"), run.stderr[-3000:]
        assert "terminate" not in run.stderr
        assert "Fatal" not in run.stderr
