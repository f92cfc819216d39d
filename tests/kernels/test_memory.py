"""Memory of results: aligned, reused once released, never while it is referenced."""

import gc
import threading
import tracemalloc

import numpy as np
import pytest

import fastrnn as fr

SHAPE = T, N, D, H = 60, 8, 3, 32  # y takes 61,440 bytes: a separate block


@pytest.fixture
def rnn():
    return fr.RNN(D, H, seed=0)


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((T, N, D), dtype=np.float32)


def address(array):
    return array.__array_interface__["data"][0]


def test_large_results_begin_where_a_cache_line_does(rnn, x):
    y, _, tape = rnn.forward(x)
    dx, _ = rnn.backward(tape, np.ones_like(y))
    assert [address(array) % 64 for array in (y, dx)] == [0, 0]


def test_released_memory_serves_the_next_result(rnn, x):
    gc.collect()  # garbage of other tests must not interfere
    y, _ = rnn(x)
    before = address(y)
    del y
    gc.collect()
    again, _ = rnn(x)
    assert address(again) == before


def test_memory_that_a_view_holds_is_left_alone(rnn, x):
    y, _ = rnn(x)
    view, copy = y[3:, 1], y[3:, 1].copy()
    del y
    others = [rnn(x + i)[0] for i in range(40)]  # more than are ever kept
    assert len({address(other) for other in others}) == len(others)
    np.testing.assert_array_equal(view, copy)


def test_results_are_the_same_in_used_memory(rnn, x):
    first = rnn(x, lengths=np.arange(1, N + 1))[0].copy()
    rnn(100 * x)  # leaves nonzero numbers where the next result must be zero
    second, _ = rnn(x, lengths=np.arange(1, N + 1))
    np.testing.assert_array_equal(first, second)


def test_threads_never_share_a_result(x):
    layers = [fr.RNN(D, H, seed=seed) for seed in range(4)]
    expected = [layer(x)[0].copy() for layer in layers]
    wrong = []

    def run(layer, wanted):
        for _ in range(200):
            y, _ = layer(x)
            if not np.array_equal(y, wanted):
                wrong.append(layer)

    threads = [threading.Thread(target=run, args=pair) for pair in zip(layers, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_tracemalloc_counts_results_as_long_as_they_live(rnn, x):
    rnn(x)
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        y, _ = rnn(x)
        with_y, _ = tracemalloc.get_traced_memory()
        bytes_of_y = y.nbytes
        del y
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bytes_of_y <= with_y - start <= bytes_of_y + 4096
    assert after - start < 4096
