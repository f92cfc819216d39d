"""A text cut into streams and chunks."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastrnn.data import ChunkedText


@given(st.integers(2, 400), st.integers(1, 9), st.integers(1, 40))
def test_each_stream_reads_its_own_part_of_the_text_without_a_gap(size, batch_size, seq_length):
    assume(size > seq_length and (size - 1) // batch_size >= 1)
    ids = np.arange(size)
    data = ChunkedText(ids, batch_size, seq_length)
    chunks = list(data)
    inputs = np.concatenate([x for x, _ in chunks])
    targets = np.concatenate([y for _, y in chunks])
    steps = (size - 1) // batch_size
    assert len(chunks) == len(data)
    assert inputs.T.ravel().tolist() == list(range(batch_size * steps))
    assert (targets == inputs + 1).all()
    assert data.tokens == inputs.size
    assert size - 1 - data.tokens < batch_size


@given(st.integers(50, 400), st.integers(1, 9), st.integers(1, 40))
def test_only_the_last_chunk_is_shorter(size, batch_size, seq_length):
    data = ChunkedText(np.arange(size), batch_size, seq_length)
    lengths = [len(x) for x, _ in data]
    assert all(length == seq_length for length in lengths[:-1])
    assert 1 <= lengths[-1] <= seq_length


def test_chunks_are_what_the_kernels_take():
    for array in ChunkedText(np.arange(50, dtype=np.uint8), 4, 5).chunk(1):
        assert array.dtype == np.int64
        assert array.shape == (5, 4)
        assert array.flags.c_contiguous


def test_a_later_change_of_the_ids_does_not_reach_the_data():
    ids = np.arange(50)
    data = ChunkedText(ids, 4, 5)
    ids[:] = 0
    assert data.chunk(1)[0][:, 0].tolist() == [5, 6, 7, 8, 9]


def test_a_text_shorter_than_one_sequence_is_refused():
    with pytest.raises(ValueError, match=r"text: expected at least seq_length \+ 1 = 11 symbols, got 10"):
        ChunkedText(np.arange(10), 1, 10)
    assert len(ChunkedText(np.arange(11), 1, 10)) == 1


def test_more_streams_than_symbols_are_refused():
    with pytest.raises(ValueError, match=r"text: expected at least batch_size \+ 1 = 10 symbols, got 9"):
        ChunkedText(np.arange(9), 9, 2)


@pytest.mark.parametrize(("batch_size", "seq_length"), [(0, 5), (-1, 5), (2, 0), (2, -3)])
def test_sizes_that_are_not_positive_are_refused(batch_size, seq_length):
    with pytest.raises(ValueError, match="expected 1 or more"):
        ChunkedText(np.arange(50), batch_size, seq_length)


@pytest.mark.parametrize(("batch_size", "seq_length"), [(2.0, 5), (2, "5")])
def test_sizes_that_are_not_integers_are_refused(batch_size, seq_length):
    with pytest.raises(TypeError):
        ChunkedText(np.arange(50), batch_size, seq_length)


def test_ids_of_the_wrong_kind_are_refused():
    with pytest.raises(ValueError, match=r"ids: expected \[symbols\], got \[5, 10\]"):
        ChunkedText(np.zeros((5, 10), dtype=np.int64), 1, 2)
    with pytest.raises(TypeError, match="ids: expected integers, got float64"):
        ChunkedText(np.zeros(50), 1, 2)
    with pytest.raises(TypeError, match="ids: expected integers, got bool"):
        ChunkedText(np.zeros(50, dtype=bool), 1, 2)


@pytest.mark.parametrize("index", [-1, 2])
def test_chunks_that_are_not_there_are_refused(index):
    with pytest.raises(IndexError):
        ChunkedText(np.arange(11), 2, 3).chunk(index)


@given(st.integers(2, 200), st.integers(1, 5), st.integers(1, 20))
def test_batches_are_chunks_that_begin_anew_with_each_epoch(size, batch_size, seq_length):
    assume(size > seq_length and (size - 1) // batch_size >= 1)
    data = ChunkedText(np.arange(size), batch_size, seq_length)
    for step in range(2 * len(data) + 1):
        batch = data.batch(step)
        inputs, targets = data.chunk(step % len(data))
        assert np.array_equal(batch.inputs, inputs)
        assert np.array_equal(batch.targets, targets)
        assert batch.lengths is None
        assert batch.tokens == targets.size
        assert batch.advance == len(inputs)  # the next one begins where this one ends


@given(st.integers(2, 200), st.integers(1, 5), st.integers(1, 20), st.integers(0, 50))
def test_windows_reach_back_and_count_each_target_once(size, batch_size, seq_length, more):
    assume(size > seq_length and (size - 1) // batch_size >= 1)
    data = ChunkedText(np.arange(size), batch_size, seq_length, backward_length=seq_length + more)
    plain = ChunkedText(np.arange(size), batch_size, seq_length)
    assert len(data) == len(plain)
    first = 0
    for step in range(len(data)):
        batch, (inputs, targets) = data.batch(step), plain.chunk(step)
        before = len(batch.inputs) - len(inputs)
        assert before == min(more, step * seq_length)
        assert (batch.targets[:before] == -1).all()
        assert np.array_equal(batch.targets[before:], targets)
        assert np.array_equal(batch.inputs[before:], inputs)
        assert (np.diff(batch.inputs, axis=0) == 1).all()  # without a gap
        assert batch.inputs[0, 0] == first
        assert batch.tokens == targets.size
        first += batch.advance


def test_a_window_as_long_as_a_chunk_is_the_chunk():
    one, two = ChunkedText(np.arange(50), 3, 5), ChunkedText(np.arange(50), 3, 5, backward_length=5)
    for step in range(len(one)):
        for a, b in zip(one.batch(step), two.batch(step), strict=True):
            assert np.array_equal(a, b)


def test_reading_a_window_leaves_the_text_as_it_was():
    data = ChunkedText(np.arange(20), 1, 2, backward_length=4)
    first = [(inputs.tolist(), targets.tolist()) for inputs, targets in data]
    assert first == [(inputs.tolist(), targets.tolist()) for inputs, targets in data]


def test_a_window_shorter_than_a_chunk_is_refused():
    with pytest.raises(ValueError, match="backward_length: expected seq_length=5 or more, got 4"):
        ChunkedText(np.arange(50), 3, 5, backward_length=4)
