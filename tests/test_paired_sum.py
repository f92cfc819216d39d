"""The sum over a power of two of ranks: the bits of the tree, few messages, no more bytes than needed."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.train.distributed import GradientSum, OneProcess
from thread_ranks import ThreadRanks, run_ranks

PARAMETERS = 101  # no power of two: halves differ in length


def shard_gradients(shards, dtype):
    """Gradients whose sum depends on the order of the additions."""
    draws = np.random.default_rng(0).normal(size=(shards, PARAMETERS))
    return (draws * 10.0 ** (np.arange(shards)[:, None] % 5)).astype(dtype)


def add_up(ranks, gradients):
    layer = fr.Linear(PARAMETERS, 1, bias=False, dtype=str(gradients.dtype))
    total = GradientSum(ranks, layer)
    for shard in ranks.own_shards:
        layer.zero_grad()
        layer.gradients.flat[:] = gradients[shard]
        total.add(shard)
    total.finish()
    return layer.gradients.flat.copy(), total.bytes_sent


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "shards"), [(2, 2), (2, 6), (4, 4), (4, 12), (8, 8), (8, 40)])
def test_a_power_of_two_of_ranks_has_the_bits_of_one_process(size, shards, dtype):
    gradients = shard_gradients(shards, dtype)
    expected, _ = add_up(OneProcess(shards), gradients)
    turned, _ = add_up(OneProcess(shards), np.roll(gradients, 1, axis=0))
    assert np.array_equal(expected, turned) == (shards == 2), "beyond two shards the order matters"
    for found, _ in run_ranks(size, lambda ranks: add_up(ranks, gradients), shards=shards):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_ranks_exchange_with_log2_of_them_there_and_back(size, monkeypatch):
    others = {rank: [] for rank in range(size)}
    swap = ThreadRanks.swap

    def counted(ranks, other, sent, received):
        others[ranks.rank].append(other)
        swap(ranks, other, sent, received)

    monkeypatch.setattr(ThreadRanks, "swap", counted)
    run_ranks(size, lambda ranks: add_up(ranks, shard_gradients(size, "float32")))
    levels = size.bit_length() - 1
    for rank, partners in others.items():
        there = [rank ^ 2**level for level in range(levels)]
        assert partners == [*there, *reversed(there)]


@pytest.mark.parametrize("size", [2, 4, 8])
def test_a_rank_sends_as_few_bytes_as_any_method_needs(size):
    found = run_ranks(size, lambda ranks: add_up(ranks, shard_gradients(size, "float32")))
    least = 2 * (size - 1) / size * 4 * PARAMETERS
    assert sum(sent for _, sent in found) == pytest.approx(size * least)
    assert all(abs(sent - least) <= 4 * size for _, sent in found)


def test_a_rank_alone_has_nobody_to_swap_with():
    with pytest.raises(ValueError, match="other: expected another rank, got 1 of one process"):
        OneProcess().swap(1, np.zeros(1), np.zeros(1))
