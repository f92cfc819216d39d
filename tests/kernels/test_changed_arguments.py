"""Other threads change a call's arguments while it runs: the values at the call count, nothing crashes."""

import gc
import threading

import numpy as np
import pytest

import fastrnn as fr
from kernel_cases import kernels
from system_refusals import run_script

# In a process of its own. A thread that never holds the GIL for long overwrites the arrays with garbage; a
# call either computes with what it checked or says what is wrong.
SCRIPT = """
import sys, threading
import numpy as np
import fastrnn as fr
from fastrnn.layers import AdaptiveSoftmax
fr.set_num_threads(int(sys.argv[1]))
kind, over, random = sys.argv[2], threading.Event(), np.random.default_rng(0)
T, N, V = 60, 8, 50
ids, lengths, reset = random.integers(V, size=(T, N)), np.full(N, T), np.zeros((T, N), bool)
flags, flat = reset.view(np.uint8), random.integers(V, size=2000)
good = [array.copy() for array in (ids, lengths, flags, flat)]
bad = [random.integers(-2**62, 2**62, size=array.shape).astype(array.dtype) for array in good]

def overwrite():
    while not over.is_set():
        for array, right, wrong in zip((ids, lengths, flags, flat), good, bad):
            np.copyto(array, wrong)
            np.copyto(array, right)

rnn, plain = fr.LSTM(V, 40, 3, seed=1), fr.LSTM(V, 40, 2, seed=2)
both = fr.GRU(V, 40, bidirectional=True, layer_norm=True, seed=4)
table, h = fr.Embedding(V, 16, seed=3, sparse=True), random.normal(size=(2000, 30)).astype("f")
head, rare = fr.layers.Softmax(30, V, seed=4), AdaptiveSoftmax(30, V, [5, 20], seed=5)
large, stream, many = fr.layers.Softmax(30, 3000, seed=6), plain.stream(2000), fr.Embedding(V, 1000, seed=7)
def recurrent(layer):
    y, _, tape = layer.forward(ids, lengths=lengths, reset=reset)
    layer.backward(tape, np.ones_like(y))
def embedding(layer):
    y, tape = layer.forward(flat)
    layer.backward(tape, y)
calls = {
    "inference": lambda: rnn(ids, lengths=lengths, reset=reset),
    "layers": lambda: recurrent(rnn),
    "directions": lambda: recurrent(both),
    "stream": lambda: stream.step(flat),
    "embedding": lambda: (embedding(table), embedding(many)),
    "softmax": lambda: head.losses_and_gradients(h, flat),
    "large softmax": lambda: large.losses_and_gradients(h, flat),
    "adaptive softmax": lambda: (rare.losses(h, flat), rare.losses_and_gradients(h, flat)),
    "loss": lambda: fr.layers.softmax_cross_entropy(h, flat % 30),
}
thread = threading.Thread(target=overwrite)
thread.start()
done = refused = 0
for _ in range(int(sys.argv[3])):
    try:
        calls[kind]()
        done += 1
    except ValueError:
        refused += 1
over.set()
thread.join()
print(done + refused)
"""
KINDS = {
    "inference": 200,
    "layers": 80,
    "directions": 80,
    "stream": 200,
    "embedding": 200,
    "softmax": 200,
    "large softmax": 20,
    "adaptive softmax": 100,
    "loss": 200,
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_garbage_in_ids_lengths_and_resets_during_a_call_never_crashes(kind, threads):
    run = run_script(SCRIPT, str(threads), kind, str(KINDS[kind]))
    assert (run.returncode, run.stdout) == (0, f"{KINDS[kind]}\n"), run.stderr[-3000:]


def changing(arrays):
    """Start a thread that sets arrays to zero once a call has begun; return the thread."""

    def change():
        for array in arrays:
            array[...] = 0

    thread = threading.Timer(0.05, change)
    thread.start()
    return thread


def test_a_call_computes_with_the_ids_it_was_given():
    rnn = fr.LSTM(9, 512, seed=0)
    ids = np.random.default_rng(1).integers(9, size=(400, 1))
    reset = np.random.default_rng(2).random(size=ids.shape) < 0.1
    y = rnn(ids, reset=reset)[0]
    again, mask = ids.copy(), reset.copy()
    thread = changing([again, mask])
    assert np.array_equal(rnn(again, reset=mask)[0], y)
    thread.join()
    assert not again.any()
    assert not mask.any()


def test_a_tape_keeps_the_ids_lengths_and_resets_of_its_pass():
    random = np.random.default_rng(3)
    ids, lengths, reset = random.integers(5, size=(7, 3)), np.array([7, 4, 2]), random.random((7, 3)) < 0.3
    wanted = fr.GRU(5, 6, 2, seed=0)
    y, _, tape = wanted.forward(ids, lengths=lengths, reset=reset)
    wanted.backward(tape, y)
    rnn = fr.GRU(5, 6, 2, seed=0)
    given = ids.copy(), lengths.copy(), reset.copy()
    _, _, tape = rnn.forward(given[0], lengths=given[1], reset=given[2])
    for array in given:
        array[...] = 1
    rnn.backward(tape, y)
    assert np.array_equal(rnn.gradients.flat, wanted.gradients.flat)


@pytest.mark.parametrize("name", ["x", "lengths", "reset"])
def test_the_arrays_of_a_tape_cannot_be_written(name):
    packed = kernels.lstm_pack(*(np.ones(s, "f") for s in ((8, 3), (8, 2), (8,), (8,))))
    ids, lengths, reset = np.zeros((4, 2), np.int64), np.array([4, 2]), np.zeros((4, 2), bool)
    ((_, _, tape),) = kernels.recurrent_forward([packed], ids, None, lengths, reset, True)
    array = getattr(tape, name)
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.setflags(write=True)


def test_ids_of_embeddings_and_targets_count_as_they_were_at_the_call():
    ids, dy = np.array([0, 1, 1]), np.ones((3, 2), "f")
    embedding = fr.Embedding(3, 2, seed=0, sparse=True)
    _, tape = embedding.forward(ids)
    ids[...] = 2
    embedding.backward(tape, dy)
    assert embedding.gradients["weight"].tolist() == [[1, 1], [2, 2], [0, 0]]
    assert embedding._sparse_rows()[0].rows.tolist() == [0, 1]


def test_lists_and_dicts_emptied_during_a_call_do_not_free_what_it_uses():
    """Empty, once the call runs without the GIL, every container whose members it uses."""
    rnn = fr.LSTM(9, 512, seed=0)
    ids = np.random.default_rng(1).integers(9, size=(200, 1))
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {name: rnn.parameters[f"{name}_l0"].copy() for name in names}
    zeros = {name: np.zeros_like(w) for name, w in weights.items()}

    def run(*, emptied):
        packed, gradients = [kernels.lstm_pack(*weights.values())], [{n: z.copy() for n, z in zeros.items()}]
        kept = dict(gradients[0])
        tapes: list = []

        def empty():
            packed.clear()
            tapes.clear()
            gradients.clear()
            gc.collect()

        def during(call):
            if not emptied:
                return call()
            thread = threading.Timer(0.01, empty)
            thread.start()
            try:
                return call()
            finally:
                thread.join()

        ((y, _, tape),) = during(lambda: kernels.recurrent_forward(packed, ids, training=True))
        packed[:], tapes[:], gradients[:] = [kernels.lstm_pack(*weights.values())], [tape], [dict(kept)]
        del tape
        ((dx, _),) = during(lambda: kernels.recurrent_backward(packed, tapes, y, None, gradients, False))
        assert dx is None
        return [y, *kept.values()]

    for got, wanted in zip(run(emptied=True), run(emptied=False), strict=True):
        assert np.array_equal(got, wanted)


def test_option_arrays_replaced_in_their_dict_stay_alive_in_a_stream():
    rnn = fr.LSTM(3, 4, context_size=2, seed=0)
    packed = rnn.forward(np.zeros((1, 1, 3), "f"), context=np.ones((1, 2), "f"))[2]._weights.packed
    options = [{"context": np.full((1, 2), 0.5, "f")}]
    stream, wanted = kernels.Stream(packed, 1, options), rnn.stream(context=np.full((1, 2), 0.5, "f"))
    options[0]["context"] = np.full((1, 2), 9, "f")
    del options
    gc.collect()
    garbage = [np.full((1, 2), 7, "f") for _ in range(1000)]
    x = np.ones((1, 3), "f")
    for _ in range(3):
        assert np.array_equal(stream.step(x), wanted.step(x))
    assert len(garbage) == 1000


def test_two_threads_in_one_stream_get_an_error_not_a_crash():
    stream, x = fr.LSTM(64, 1024, seed=0).stream(8), np.ones((8, 64), "f")
    errors = []

    def work():
        for _ in range(30):
            try:
                stream.step(x)
            except RuntimeError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors
    assert all("stream: in use by another thread" in error for error in errors)
    stream.step(x)
