"""A system that refuses threads: the pool keeps those that came, results stay the same, one warning tells."""

import pytest

from system_refusals import needs_shim, run_under_shim

pytestmark = needs_shim

# `run(threads)` returns the bits of both passes of a large layer, of several layers, and of a linear layer.
WORK = """
import threading, warnings
from fastrnn._dispatch import kernels
def run(threads):
    fr.set_num_threads(threads)
    random = np.random.default_rng(0)
    parts = []
    for make in (lambda: fr.LSTM(24, 80, seed=1), lambda: fr.GRU(24, 64, 3, bidirectional=True, seed=2),
                 lambda: fr.LSTM(24, 64, 5, seed=3)):
        rnn = make()
        for rows in (16, 1):
            x = random.normal(size=(20, rows, 24)).astype("f")
            y, state, tape = rnn.forward(x)
            dx, dstate = rnn.backward(tape, np.ones_like(y))
            parts += [y, dx, rnn.gradients.flat.copy()]
    linear = fr.Linear(200, 300, seed=4)
    x = random.normal(size=(64, 200)).astype("f")
    y, tape = linear.forward(x)
    parts += [y, linear.backward(tape, np.ones_like(y)), linear.gradients.flat]
    crf, emissions = fr.CRF(40, seed=5), random.normal(size=(30, 64, 40)).astype("f")
    parts += [*crf.losses_and_gradients(emissions, np.argmax(emissions, -1)), crf.gradients.flat]
    symbols = [random.integers(1, 40, size=5) for _ in range(64)]
    parts += fr.ctc_loss(emissions, symbols, random.integers(10, 31, size=64), reduction="none")
    memory = random.normal(size=(480, 64)).astype("f")
    given = memory[:320].reshape(20, 16, 64).copy(), memory, memory, memory[0].copy(), 1.0, np.full(16, 30)
    context, weights = kernels.attention_forward(*given, None, 30)
    dqueries, gradients = kernels.attention_backward(*given, weights, context, None, None, True)
    parts += [context, weights, dqueries, *gradients]
    return b"".join(part.tobytes() for part in parts)
def pool_size(): return len(os.listdir("/proc/self/task")) - base
base = len(os.listdir("/proc/self/task"))
alone = run(1)
caught = []
warnings.showwarning = lambda message, kind, *rest: caught.append((kind, str(message)))
warnings.simplefilter("always")
"""


def output_of(script, **variables):
    run = run_under_shim(WORK + script, **variables)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.split("\n")[:-1]


@pytest.mark.parametrize("came", range(4))
def test_the_threads_that_came_are_kept_and_results_are_the_same(came):
    script = f"""
allow({came})
print(run(5) == alone, pool_size(), len(caught))
print(caught[0])
print(run(5) == alone, run(2) == alone, pool_size(), len(caught))
"""
    first, warning, again = output_of(script)
    assert first == f"True {came} 1"
    assert again == f"True True {came} 1"
    assert "RuntimeWarning" in warning
    assert f"threads: wanted 5, got {came + 1} (Resource temporarily unavailable)" in warning


def test_refused_threads_are_tried_again_a_second_later():
    script = """
allow(1)
print(run(5) == alone, pool_size(), len(caught))
time.sleep(1.1)
print(run(5) == alone, pool_size(), len(caught))  # refused again: no second warning
allow(-1)
time.sleep(1.1)
print(run(5) == alone, pool_size(), len(caught))
allow(0)
print(run(6) == alone, pool_size(), len(caught))
"""
    assert output_of(script) == ["True 1 1", "True 1 1", "True 4 1", "True 4 2"]


def test_a_pool_that_cannot_grow_keeps_its_threads():
    script = """
print(run(2) == alone, pool_size())
allow(0)
print(run(5) == alone, pool_size(), run(2) == alone, pool_size(), len(caught))
allow(2)
time.sleep(1.1)
print(run(5) == alone, pool_size(), run(3) == alone, len(caught))
"""
    assert output_of(script) == ["True 1", "True 1 True 1 1", "True 3 True 1"]


@pytest.mark.parametrize("came", [0, 2])
def test_a_fork_after_a_refusal_has_its_own_pool(came):
    script = f"""
allow({came})
run(5)
for allowed in (0, 1, -1):
    child = os.fork()
    if child == 0:
        allow(allowed)
        os._exit(7 if run(5) == alone else 8)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(run(5) == alone)
"""
    assert output_of(script, PYTHONWARNINGS="ignore") == ["7", "7", "7", "True"]


def test_a_warning_made_an_error_does_not_end_the_call():
    script = """
warnings.simplefilter("error")
allow(0)
print(run(5) == alone)
"""
    run = run_under_shim(WORK + script)
    assert (run.returncode, run.stdout) == (0, "True\n")
    assert "RuntimeWarning: threads: wanted 5, got 1" in run.stderr


def test_several_python_threads_while_threads_are_refused():
    script = """
wrong = []
model, x = fr.LSTM(24, 80, seed=1), np.ones((20, 16, 24), "f")
wanted = (fr.set_num_threads(1), model(x)[0].tobytes())[1]
fr.set_num_threads(5)
start = threading.Event()
def work():
    start.wait()
    for _ in range(300):
        if model(x)[0].tobytes() != wanted: wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
allow(1)
start.set()
for thread in threads: thread.join()
print(len(wrong), len(caught))
"""
    assert output_of(script) == ["0 1"]
