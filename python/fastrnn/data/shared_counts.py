"""The counts of a text's symbols, from its blocks: each counted by one process, then added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fastrnn.data.counting import count_text
from fastrnn.data.shared_work import Workers
from fastrnn.data.symbols import Split
from fastrnn.data.text_spans import Block, block_characters, with_progress

__all__ = ["count_blocks"]

_ROUNDS = 16  # in which ranks exchange their counts: what arrives at a time is a small part of them


def count_blocks(workers: Workers, split: Split, blocks: Sequence[Block]) -> Counter[str]:
    """Return the counts of the symbols of all blocks, on every rank.

    Parameters
    ----------
    workers : Workers
    split : callable, optional
        As for `count_files`.
    blocks : sequence of Block

    Raises
    ------
    ValueError
        If the text is not UTF-8.
    OSError
        If it cannot be read.
    """

    def count_own() -> Counter[str]:
        counts: Counter[str] = Counter()
        own = workers.own(blocks)
        found_in = workers.map(_count, split, own)
        for found in with_progress("counting", own, found_in, shown=workers.shown):
            counts.update(found)
        return counts

    counts = workers.together(count_own)
    return counts if workers.ranks.size == 1 else _added(workers, counts)


def _count(split: Split, block: Block) -> Counter[str]:
    return count_text(block_characters(block), split)


def _added(workers: Workers, own: Counter[str]) -> Counter[str]:
    """Return the sums of the counts of all ranks; `own` is empty after that."""
    rounds: list[list[str]] = [[] for _ in range(_ROUNDS)]
    for symbol in own:
        rounds[crc32(symbol.encode("utf-8", "surrogatepass")) % _ROUNDS].append(symbol)
    total: Counter[str] = Counter()
    while rounds:
        symbols = rounds.pop()
        packed = _packed(symbols, map(own.pop, symbols))
        del symbols
        for each in workers.ranks.gather(packed):
            total.update(dict(_unpacked(each)))
    return total


class _Counts(NamedTuple):
    """Counts in little memory: the symbols as one text, their lengths, and their counts."""

    text: str
    lengths: NDArray[np.uint32]
    counts: NDArray[np.int64]


def _packed(symbols: Sequence[str], counts: Iterable[int]) -> _Counts:
    lengths = np.fromiter(map(len, symbols), np.uint32, len(symbols))
    return _Counts("".join(symbols), lengths, np.fromiter(counts, np.int64, len(symbols)))


def _unpacked(counts: _Counts) -> Iterator[tuple[str, int]]:
    first = 0
    for length, count in zip(counts.lengths.tolist(), counts.counts.tolist(), strict=True):
        yield counts.text[first : first + length], count
        first += length
