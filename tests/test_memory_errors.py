"""Memory that is not there: each MemoryError says what was to be allocated, its bytes, and what to reduce."""

import re

import numpy as np
import pytest

from fastrnn._memory import named_memory, out_of_memory
from system_refusals import run_script

pytest.importorskip("resource", reason="this system has no limit on a process's memory")

# Everything is made first, then the process may take `margin` more bytes.
SCRIPT = """
import resource, sys
import numpy as np
import fastrnn as fr
from fastrnn import data, decode, layers, train
fr.set_num_threads(1)
T, N, D, H, V = 4000, 64, 8, 128, 30000
def limit(margin):
    with open("/proc/self/statm") as file: used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + margin, used + margin))
def said(f, margin=16 << 20):
    limit(margin)
    try: f()
    except MemoryError as error: print(error)
    else: print("no error")
"""
CASES = {
    "y": ("rnn = fr.LSTM(D, H, seed=0); x = np.zeros((T, N, D), 'f')", "lambda: rnn(x)", "y"),
    "tape": (
        "rnn = fr.LSTM(D, H, seed=0); x = np.zeros((T // 4, N, D), 'f'); rnn(x[:1])",
        "lambda: rnn.forward(x), 60 << 20",
        r"tape\.\w+",
    ),
    "dx": (
        "rnn = fr.RNN(D * 64, 8, seed=0); x = np.zeros((500, 64, D * 64), 'f'); y, _, tape = rnn.forward(x);"
        "rnn.gradients",
        "lambda: rnn.backward(tape, y)",
        "dx",
    ),
    "both directions": (
        "rnn = fr.RNN(D, H, bidirectional=True, seed=0); x = np.zeros((1000, 64, D), 'f')",
        "lambda: rnn(x)",
        "y",
    ),
    "parameters": ("pass", "lambda: fr.LSTM(2000, 2000)", "parameters"),
    "gradients": ("rnn = fr.LSTM(1500, 1500, seed=0)", "lambda: rnn.gradients", "gradients"),
    "packed weights": (
        "rnn = fr.LSTM(1500, 1500, seed=0); x = np.zeros((1, 1, 1500), 'f')",
        "lambda: rnn(x)",
        "packed weights",
    ),
    "packed linear": (
        "linear = fr.Linear(3000, 3000, seed=0); x = np.zeros((1, 3000), 'f')",
        "lambda: linear(x)",
        "packed weights",
    ),
    "linear y": (
        "linear = fr.Linear(8, 2000, seed=0); x = np.zeros((9000, 8), 'f')",
        "lambda: linear(x)",
        "y",
    ),
    "scratch memory": (
        "linear = fr.Linear(4000, 3000, seed=0); linear.gradients; x = np.zeros((2, 4000), 'f');"
        "y, tape = linear.forward(x)",
        "lambda: linear.backward(tape, y)",
        "scratch memory",
    ),
    "logits": (
        "h, t = np.zeros((1000, V), 'f'), np.zeros(1000, np.int64)",
        "lambda: layers.softmax_cross_entropy(h, t)",
        "dlogits",
    ),
    "softmax": (
        "o = layers.Softmax(8, V, seed=0); h = np.zeros((4000, 8), 'f')",
        "lambda: o.losses_and_gradients(h, np.zeros(4000, np.int64))",
        "scratch memory",
    ),
    "log_p": (
        "o = layers.AdaptiveSoftmax(8, V, [100], seed=0); h = np.zeros((1000, 8), 'f'); o(h[:1])",
        "lambda: o(h)",
        "log_p|y",
    ),
    "moments": (
        "rnn = fr.LSTM(1500, 1500, seed=0); rnn.gradients",
        "lambda: train.Adam(rnn, 0.1)",
        "moments",
    ),
    "ids": (
        "e = fr.Embedding(4, 2, seed=0); ids = np.zeros(6_000_000, np.int64)",
        "lambda: e(ids)",
        "ids",
    ),
    "stream": ("rnn = fr.LSTM(8, 1000, seed=0); rnn.stream(1)", "lambda: rnn.stream(20000)", "state"),
    "dropout": (
        "rnn = fr.RNN(D, 512, 2, dropout=0.5, seed=0); x = np.zeros((200, 128, D), 'f')",
        "lambda: rnn.forward(x)",
        "mask|y|dropout",
    ),
    "one_hot": (
        "v = data.Vocabulary(map(chr, range(1000, 6000)))",
        "lambda: v.one_hot(np.zeros(5000, np.int64))",
        "one_hot",
    ),
    "padding": (
        "s = [np.zeros((40000, 50), 'f'), *[np.zeros((1, 50), 'f')] * 100]",
        "lambda: data.pad_batch(s, list(range(101)))",
        "x",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_says_what_how_many_bytes_and_what_to_reduce(case):
    prepare, call, what = CASES[case]
    run = run_script(f"{SCRIPT}\n{prepare}\nsaid({call})")
    assert run.returncode == 0, run.stderr[-2000:]
    assert re.fullmatch(rf"({what}): cannot allocate \d+ bytes( \([\d.]+ GB\))?; \w.* \w.*\n", run.stdout), (
        run.stdout
    )


def test_messages_count_gigabytes_from_a_tenth_on():
    assert str(out_of_memory("y", 99_999_999, "do")) == "y: cannot allocate 99999999 bytes; do"
    assert str(out_of_memory("y", 10**8, "do")) == "y: cannot allocate 100000000 bytes (0.1 GB); do"
    assert str(out_of_memory("y", 2**80, "do")) == f"y: cannot allocate {2**80} bytes; do"


def test_what_numpy_cannot_allocate_is_named_and_what_has_a_name_keeps_it():
    def message(raises):
        with pytest.raises(MemoryError) as caught, named_memory("scores", "fewer"):
            raises()
        return str(caught.value)

    def bare():
        raise MemoryError

    def named():
        raise out_of_memory("y", 8, "less")

    gigabytes = f"{2**62 // 10**8 / 10} GB"
    assert message(lambda: np.empty(2**59)) == f"scores: cannot allocate {2**62} bytes ({gigabytes}); fewer"
    assert message(bare) == "scores: out of memory; fewer"
    assert message(named) == "y: cannot allocate 8 bytes; less"
