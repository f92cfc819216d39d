"""The sum of the gradients of all shards, over all ranks, in the order of a fixed tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.layers.base.module import sparse_parts
from fastrnn.layers.base.sparse import dense_parts
from fastrnn.train.distributed.paired_sum import add_up_in_pairs, come_in_pairs
from fastrnn.train.distributed.shards import SumTree, shard_rows
from fastrnn.train.distributed.wire import WIRE_FORMATS

if TYPE_CHECKING:
    from fastrnn._arrays import Array, Ids
    from fastrnn.layers.base.module import Module
    from fastrnn.train.distributed.ranks import Ranks
    from fastrnn.train.distributed.shards import Node

__all__ = ["GradientSum"]


class GradientSum:
    """Add up a module's gradients of all shards of a batch.

    Each rank adds those of its own shards as far as the tree allows. The ranks then exchange slices of these
    sums, so that each of them can add all that there is of one slice, in the order of the tree, and at last
    the slices of the total. A rank sends and receives ``2 (K - 1) / K`` times the gradients' bytes for each
    sum that it has, as few as any method needs; it has one if S / K shards are a node of the tree.

    Parameters
    ----------
    ranks : Ranks
    module : Module

    Attributes
    ----------
    bytes_sent : int
        By this rank, over all sums.

    Examples
    --------
    >>> import fastrnn as fr
    >>> layer = fr.Linear(1, 1, bias=False)
    >>> total = GradientSum(fr.train.distributed.OneProcess(shards=3), layer)
    >>> for shard in range(3):
    ...     layer.zero_grad()
    ...     layer.gradients["weight"][...] = 10.0**shard
    ...     total.add(shard)
    >>> total.finish()
    >>> layer.gradients["weight"]
    array([[111.]], dtype=float32)
    """

    def __init__(self, ranks: Ranks, module: Module) -> None:
        self._ranks, self._module = ranks, module
        self._tree = SumTree(ranks.shards)
        self._covers = [self._tree.cover(ranks.shards_of(rank)) for rank in range(ranks.size)]
        self._sums: list[tuple[Node, Array]] = []
        self._spare: list[Array] = []
        self._rows: list[list[Ids]] = []
        self._wire = WIRE_FORMATS[ranks.wire]()
        self.bytes_sent: int = 0

    def __repr__(self) -> str:
        return f"<GradientSum of {self._module!r} over {self._ranks!r}>"

    def begin(self) -> None:
        """Forget what an interrupted sum has left."""
        self._spare += [array for _, array in self._sums if array is not self._module.gradients.flat]
        self._sums, self._rows = [], []

    def add(self, shard: int) -> None:
        """Take the module's gradients as those of a shard. They may change after it, but for the last shard.

        The shards of a rank are to be added in their order.
        """
        if shard == self._ranks.own_shards.start:
            self.begin()
        self._rows.append([part.rows for part in sparse_parts(self._module)])
        node, values = (shard, shard + 1), self._module.gradients.flat
        while self._sums and self._tree.middle.get((self._sums[-1][0][0], node[1])) == node[0]:
            (first, _), before = self._sums.pop()
            before += values
            if values is not self._module.gradients.flat:
                self._spare.append(values)
            node, values = (first, node[1]), before
        if values is self._module.gradients.flat and node[1] != self._ranks.own_shards.stop:
            kept = self._spare.pop() if self._spare else np.empty_like(values)
            kept[...] = values
            values = kept
        self._sums.append((node, values))

    def finish(self) -> None:
        """Set the module's gradients to the sum over all shards, on every rank. Collective."""
        flat = self._module.gradients.flat
        sparse = self._share_rows()
        if self._ranks.size == 1:
            ((_, total),) = self._sums
            if total is not flat:
                flat[...] = total
        elif not sparse:
            self._add_over_ranks([values for _, values in self._sums], flat)
        else:
            packed = [_packed(values, sparse) for _, values in self._sums]
            total = np.empty_like(packed[0])
            self._add_over_ranks(packed, total)
            _unpack(total, flat, sparse)
        self.begin()

    def _share_rows(self) -> list[Any]:
        """Give the module's sparse gradients the rows of all shards of all ranks; return them."""
        if not self._rows[0]:
            return []
        own = [np.unique(np.concatenate(rows)) for rows in zip(*self._rows, strict=True)]
        rows = [np.unique(np.concatenate(found)) for found in zip(*self._ranks.gather(own), strict=True)]
        self._module._set_sparse_rows(iter(rows))
        return sparse_parts(self._module)

    def _add_over_ranks(self, sums: list[Array], out: Array) -> None:
        if self._ranks.reduction == "fastest":
            for more in sums[1:]:
                sums[0] += more
            if sums[0] is not out:
                out[...] = sums[0]
            self._ranks.add_up(out)
            self.bytes_sent += 2 * out.nbytes * (self._ranks.size - 1) // self._ranks.size
            return
        if come_in_pairs(self._ranks) and self._ranks.wire == "float32":
            if sums[0] is not out:
                out[...] = sums[0]
            self.bytes_sent += add_up_in_pairs(self._ranks, out)
            return
        ranks, size = self._ranks, self._ranks.size
        counts = [part.stop - part.start for part in shard_rows(len(out), size)]
        own = slice(sum(counts[: ranks.rank]), sum(counts[: ranks.rank + 1]))
        found: dict[Node, Array] = {}
        for turn in range(max(map(len, self._covers))):
            here = [counts[ranks.rank] if turn < len(cover) else 0 for cover in self._covers]
            mine = turn < len(sums)
            there = counts if mine else [0] * size
            sent = self._wire.narrow("sent", sums[turn] if mine else out[:0])
            received = self._wire.empty(f"turn {turn}", sum(here), sent.dtype)
            ranks.exchange(sent, there, received, here)
            self.bytes_sent += sent.nbytes - there[ranks.rank] * sent.itemsize
            came = self._wire.widen(f"turn {turn}", received, out.dtype)
            parts = iter(np.split(came, np.cumsum(here)[:-1]))
            for cover in self._covers:
                part = next(parts)
                if turn < len(cover):
                    found[cover[turn]] = part
        total = self._wire.narrow("total", self._add_in_order(found, (0, ranks.shards)))
        joined = out if total.dtype == out.dtype else self._wire.empty("joined", len(out), total.dtype)
        joined[own] = total
        ranks.join(joined, counts)
        self.bytes_sent += (size - 1) * total.nbytes
        if joined is not out:
            self._wire.widen_into(out, joined)

    def _add_in_order(self, found: dict[Node, Array], node: Node) -> Array:
        if node in found:
            return found[node]
        middle = self._tree.middle[node]
        total = self._add_in_order(found, (node[0], middle))
        total += self._add_in_order(found, (middle, node[1]))
        return total


def _packed(values: Array, sparse: list[Any]) -> Array:
    """Return the parts of gradients that may be nonzero as one array."""
    rows = [part.matrix(values)[part.rows].reshape(-1) for part in sparse]
    return np.concatenate([*dense_parts(values, sparse), *rows])


def _unpack(packed: Array, values: Array, sparse: list[Any]) -> None:
    """Write back what `_packed` returned, after a change."""
    begin = 0
    for part in dense_parts(values, sparse):
        part[...] = packed[begin : begin + part.size]
        begin += part.size
    for rows in sparse:
        matrix = rows.matrix(values)
        end = begin + len(rows.rows) * matrix.shape[1]
        matrix[rows.rows] = packed[begin:end].reshape(-1, matrix.shape[1])
        begin = end
