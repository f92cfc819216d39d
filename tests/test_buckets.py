"""Batches of sequences of similar lengths, and their padding."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastrnn as fr
from fastrnn.data import length_buckets, pad_batch

LENGTHS = st.lists(st.integers(1, 60), max_size=80)


def padded(lengths, batch):
    return len(batch) * int(np.asarray(lengths)[batch].max())


@given(LENGTHS, st.none() | st.integers(1, 20), st.none() | st.integers(60, 300), st.booleans())
def test_each_sequence_comes_once_and_no_batch_is_too_large(lengths, batch_size, tokens, shuffle):
    if batch_size is None and tokens is None:
        batch_size = 7
    batches = length_buckets(lengths, batch_size, tokens=tokens, shuffle=shuffle, seed=0)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert batch.dtype == np.int64
        assert batch_size is None or len(batch) <= batch_size
        assert tokens is None or padded(lengths, batch) <= tokens


@given(LENGTHS, st.integers(1, 20), st.booleans())
def test_no_batch_reaches_into_the_lengths_of_another(lengths, batch_size, shuffle):
    batches = length_buckets(lengths, batch_size, shuffle=shuffle, seed=0)
    ranges = sorted([lengths[i] for i in (batch[0], batch[-1])] for batch in batches)
    assert all(low <= high for low, high in ranges)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(ranges))
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(60, 300))
def test_a_batch_of_tokens_takes_all_that_fit(lengths, tokens):
    batches = length_buckets(lengths, tokens=tokens, shuffle=False)
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * lengths[following[0]] > tokens


def test_shuffling_is_random_repeatable_and_of_batches():
    lengths = np.random.default_rng(0).integers(1, 9, size=200)

    def as_lists(**options):
        return [batch.tolist() for batch in length_buckets(lengths, 16, **options)]

    assert as_lists(seed=1) == as_lists(seed=1)
    assert as_lists(seed=1) != as_lists(seed=2)
    random = np.random.default_rng(1)
    first, second = as_lists(seed=random), as_lists(seed=random)
    assert first == as_lists(seed=1)
    assert first != second
    shortest = [lengths[batch[0]] for batch in first]
    assert shortest != sorted(shortest)
    assert set(map(frozenset, first)) != set(map(frozenset, second))  # ties are grouped differently
    quiet = as_lists(shuffle=False)
    assert quiet == as_lists(shuffle=False, seed=3)
    assert [i for batch in quiet for i in batch] == np.argsort(lengths, kind="stable").tolist()


def test_there_is_far_less_padding():
    lengths = np.random.default_rng(0).geometric(1 / 30, size=2000)

    def share(batches):
        return 1 - lengths.sum() / sum(padded(lengths, batch) for batch in batches)

    assert share(np.array_split(np.random.default_rng(1).permutation(2000), 63)) > 0.6
    assert share(length_buckets(lengths, 32, seed=0)) < 0.1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (([1, 2],), {}, ValueError, "batch_size, tokens: expected at least one, got None for both"),
        (([1, 2], 0), {}, ValueError, "batch_size: expected 1 or more, got 0"),
        (([1, 2], 2.0), {}, TypeError, "batch_size: expected an integer, got float"),
        (([1, 2],), {"tokens": 0}, ValueError, "tokens: expected 1 or more, got 0"),
        (
            ([1, 9, 2], 4),
            {"tokens": 8},
            ValueError,
            "tokens: expected 9 or more, the steps of sequence 1, got 8",
        ),
        (([3, 0, 2], 4), {}, ValueError, "lengths: expected 1 or more, got 0 at position 1"),
        (([[3, 2]], 4), {}, TypeError, "got sequences; write [len(sequence) for sequence in sequences]"),
        ((["ab", "c"], 4), {}, TypeError, "got sequences; write [len(sequence) for sequence in sequences]"),
        ((np.array([[3, 2]]), 4), {}, ValueError, "lengths: expected [sequences], got [1, 2]"),
        (([3.0, 2.0], 4), {}, TypeError, "lengths: expected integers, got float64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_split(arguments, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        length_buckets(*arguments, **options)


@pytest.mark.parametrize("kind", ["ids", "numbers", "vectors", "float32"])
def test_sequences_are_padded_at_the_end_with_zeros_and_ids_with_no_target(kind):
    random = np.random.default_rng(2)
    tail = (3,) if kind == "vectors" else ()
    sequences = [1 + random.random((steps, *tail)) for steps in (4, 1, 6, 3)]
    if kind == "ids":
        sequences = [(10 * sequence).astype(np.uint8) for sequence in sequences]
    if kind == "float32":
        sequences = [sequence.astype(np.float32) for sequence in sequences]
    x, lengths = pad_batch(sequences, np.array([3, 0, 1]))
    assert x.shape == (4, 3, *tail)
    assert x.dtype == {"ids": "int64", "float32": "float32"}.get(kind, "float64")
    assert x.flags.c_contiguous
    assert lengths.tolist() == [3, 4, 1]
    assert lengths.dtype == np.int64
    for row, index in enumerate([3, 0, 1]):
        assert np.array_equal(x[: lengths[row], row], sequences[index])
        assert (x[lengths[row] :, row] == (-1 if kind == "ids" else 0)).all()


def test_an_epoch_of_buckets_gives_each_sequence_what_it_gives_alone():
    random = np.random.default_rng(3)
    sequences = [random.integers(5, size=random.integers(1, 20)) for _ in range(40)]
    rnn = fr.GRU(5, 8, seed=0)
    for batch in length_buckets([len(s) for s in sequences], 8, seed=0):
        x, lengths = pad_batch(sequences, batch)
        _, last = rnn(x, lengths=lengths)
        for row, index in enumerate(batch):
            assert np.array_equal(last[:, row], rnn(sequences[index][:, None])[1][:, 0])


@pytest.mark.parametrize(
    ("sequences", "indices", "error", "text"),
    [
        ([[1]], [], ValueError, "indices: expected at least one, got none"),
        ([[1]], [0.0], TypeError, "indices: expected integers, got float64"),
        ([[1]], [[0]], ValueError, "indices: expected [N], got [1, 1]"),
        ([[1], []], [0, 1], ValueError, "sequences[1]: expected at least one step, got [0]"),
        ([[1], 2], [0, 1], ValueError, "sequences[1]: expected [T] or [T, D], got []"),
        ([["a"]], [0], TypeError, "sequences[0]: expected integers or floats, got <U1"),
        (["ab"], [0], TypeError, "sequences[0]: expected numbers, got str; write vocabulary.encode_batch"),
        ([[1j]], [0], TypeError, "sequences[0]: expected integers or floats, got complex128"),
        ([], None, ValueError, "sequences: expected at least one, got none"),
        ([[1], [1.5]], [0, 1], TypeError, "sequences[1]: expected int64, got float64"),
        (
            [np.ones((2, 3)), np.ones((2, 4))],
            [0, 1],
            ValueError,
            "sequences[1]: expected [T, 3], got [2, 4]",
        ),
        ([np.ones(2), np.ones((2, 4))], [0, 1], ValueError, "sequences[1]: expected [T], got [2, 4]"),
        ([[1]], [1], IndexError, "list index out of range"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_padded(sequences, indices, error, text):
    with pytest.raises(error, match=re.escape(text)):
        pad_batch(sequences, indices)


def test_a_range_is_as_good_as_a_list():
    texts = [[1, 2, 3], [4], [5, 6], [7]]
    padded, lengths = pad_batch(texts, range(4))
    wanted, expected = pad_batch(texts, [0, 1, 2, 3])
    assert padded.tolist() == wanted.tolist()
    assert lengths.tolist() == expected.tolist()
    one, two = (length_buckets(each, 2, shuffle=False) for each in (range(1, 9), [*range(1, 9)]))
    assert [batch.tolist() for batch in one] == [batch.tolist() for batch in two]


def test_without_indices_all_sequences_are_stacked_from_any_iterable():
    x, lengths = pad_batch(range(1, steps + 1) for steps in (2, 3))
    assert (x.T.tolist(), lengths.tolist()) == ([[1, 2, -1], [1, 2, 3]], [2, 3])


def test_the_fill_may_be_chosen_and_bool_becomes_integers():
    assert pad_batch([[1, 2], [3]], fill=7)[0].T.tolist() == [[1, 2], [3, 7]]
    assert pad_batch([[1.0, 2.0], [3.0]], fill=-0.5)[0].T.tolist() == [[1, 2], [3, -0.5]]
    assert pad_batch([[True, False], [True]])[0].T.tolist() == [[1, 0], [1, -1]]
    with pytest.raises(TypeError, match="fill: expected an integer, got float"):
        pad_batch([[1]], fill=0.5)
    with pytest.raises(ValueError, match=r"fill: expected .*, got 1180591620717411303424"):
        pad_batch([[1]], fill=2**70)
    with pytest.raises(TypeError, match="fill: expected a number, got str"):
        pad_batch([[1.0]], fill="0")


def test_padded_targets_are_no_targets_to_the_losses():
    targets, lengths = pad_batch([[0, 1, 2], [2]])
    logits = np.random.default_rng(0).normal(size=(3, 2, 3))
    loss, dlogits = fr.softmax_cross_entropy(logits, targets)
    wanted, dwanted = fr.softmax_cross_entropy(logits, np.maximum(targets, 0), lengths=lengths)
    assert loss == wanted
    assert dlogits.tobytes() == dwanted.tobytes()


def test_lengths_may_come_from_a_map():
    batches = length_buckets(map(len, ["abc", "a", "ab"]), 2, shuffle=False)
    assert [batch.tolist() for batch in batches] == [[1, 2], [0]]
