"""The sum of the shards' gradients over ranks: one order for any number of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastrnn as fr
from fastrnn.train.distributed import GradientSum, OneProcess, shard_rows
from fastrnn.train.distributed.shards import SumTree
from thread_ranks import run_ranks


def divisors(number):
    return [k for k in range(1, number + 1) if number % k == 0]


@given(st.integers(0, 100), st.integers(1, 30))
def test_the_shards_of_a_batch_are_its_rows_in_order_in_parts_that_differ_by_one_at_most(rows, shards):
    parts = shard_rows(rows, shards)
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    sizes = [part.stop - part.start for part in parts]
    assert len(parts) == shards
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 40), st.data())
def test_a_cover_is_the_fewest_nodes_that_are_some_consecutive_shards(shards, data):
    tree = SumTree(shards)
    first = data.draw(st.integers(0, shards - 1))
    end = data.draw(st.integers(first + 1, shards))
    cover = tree.cover(range(first, end))
    assert [shard for a, b in cover for shard in range(a, b)] == list(range(first, end))
    assert all(b - a == 1 or (a, b) in tree.middle for a, b in cover)
    nodes = [*tree.middle, *((a, a + 1) for a in range(shards))]
    parents = [(a, b) for a, b in nodes if first <= a and b <= end and (a, b) not in cover]
    assert all(any(a <= p and q <= b for a, b in cover) for p, q in parents)


def in_order(gradients, first, end):
    """Add arrays in the order that the documentation gives."""
    if end - first == 1:
        return gradients[first]
    middle = first + (end - first + 1) // 2
    return in_order(gradients, first, middle) + in_order(gradients, middle, end)


def shard_gradients(shards, size, seed=0):
    random = np.random.default_rng(seed)
    return (random.normal(size=(shards, size)) * 10.0 ** random.integers(-6, 6, (shards, 1))).astype(
        np.float32
    )


def total_of(ranks, gradients):
    layer = fr.Linear(gradients.shape[1], 1, bias=False, seed=0)
    total = GradientSum(ranks, layer)
    for _ in range(2):  # its buffers are used again
        for shard in ranks.own_shards:
            layer.zero_grad()
            layer.gradients["weight"][...] = gradients[shard]
            total.add(shard)
        total.finish()
    return layer.gradients.flat.copy(), total.bytes_sent


@pytest.mark.parametrize("shards", [1, 2, 3, 6, 7, 8, 12, 15])
@pytest.mark.parametrize("size", [1, 5, 1003])
def test_the_sum_has_the_bits_of_the_documented_order_on_any_number_of_ranks(shards, size):
    gradients = shard_gradients(shards, size)
    wanted = in_order(gradients, 0, shards)
    for count in divisors(shards):
        for found, _ in run_ranks(count, lambda ranks: total_of(ranks, gradients), shards=shards):
            np.testing.assert_array_equal(found, wanted)


def test_the_order_matters_for_these_numbers():
    gradients = shard_gradients(12, 1003)
    assert (in_order(gradients, 0, 12) != gradients.sum(axis=0)).any()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_rank_sends_as_little_as_any_reduction_needs_if_its_shards_are_one_sum(size):
    gradients = shard_gradients(size, 1200)
    for _, sent in run_ranks(size, lambda ranks: total_of(ranks, gradients), shards=size):
        assert sent == 2 * (2 * (size - 1) * 1200 * 4 // size)


def test_bfloat16_on_the_wire_halves_the_bytes_and_rounds_to_three_digits():
    gradients = shard_gradients(4, 1200)
    exact, sent = run_ranks(2, lambda ranks: total_of(ranks, gradients), shards=4)[0]
    results = run_ranks(2, lambda ranks: total_of(ranks, gradients), shards=4, wire="bfloat16")
    for rounded, fewer in results:
        assert fewer == sent // 2
        np.testing.assert_array_equal(rounded, results[0][0])
        largest = np.abs(gradients).max(axis=0)
        assert (np.abs(rounded - exact) <= largest * 2.0**-7).all()
    assert (results[0][0] != exact).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so_on_a_bfloat16_wire(value):
    gradients = shard_gradients(2, 40)
    gradients[1, 7] = value
    for found, _ in run_ranks(2, lambda ranks: total_of(ranks, gradients), wire="bfloat16"):
        np.testing.assert_equal(found[7], np.float32(value))
        assert np.isfinite(np.delete(found, 7)).all()


def test_the_fastest_reduction_has_the_same_sum_but_for_the_order():
    gradients = shard_gradients(6, 1003)
    for found, _ in run_ranks(3, lambda ranks: total_of(ranks, gradients), shards=6, reduction="fastest"):
        np.testing.assert_allclose(found, gradients.astype(np.float64).sum(axis=0), rtol=1e-4, atol=1)


def test_float64_gradients_are_summed_in_float64():
    def total(ranks):
        layer = fr.Linear(9, 1, bias=False, dtype="float64", seed=0)
        sums = GradientSum(ranks, layer)
        for shard in ranks.own_shards:
            layer.gradients["weight"][...] = 1.0 + 2.0**-40 * shard
            sums.add(shard)
        sums.finish()
        return layer.gradients["weight"].tolist()

    wanted = [[4.0 + 6 * 2.0**-40] * 9]
    assert run_ranks(2, total, shards=4) == [wanted, wanted]
    assert total(OneProcess(shards=4)) == wanted


def test_rows_of_sparse_gradients_are_those_of_all_shards():
    ids = [[1, 5], [5], [0], [9, 1]]

    def rows(ranks):
        embedding = fr.Embedding(12, 3, sparse=True, seed=0)
        sums = GradientSum(ranks, embedding)
        for _ in range(2):
            for shard in ranks.own_shards:
                embedding.zero_grad()
                dy = np.full((len(ids[shard]), 3), 1.0 + shard, np.float32)
                embedding.backward(embedding.forward(ids[shard])[1], dy)
                sums.add(shard)
            sums.finish()
        (part,) = embedding._sparse_rows()
        found = embedding.gradients["weight"][:, 0].tolist()
        embedding.zero_grad()
        assert not embedding.gradients.flat.any()
        return part.rows.tolist(), found

    wanted = [0, 1, 5, 9], [3.0, 5.0, 0, 0, 0, 3.0, 0, 0, 0, 4.0, 0, 0]
    assert [*run_ranks(2, rows, shards=4), *run_ranks(4, rows), rows(OneProcess(shards=4))] == [wanted] * 7
