"""Packed weights of a module, kept for its next call as long as the weights are the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.torch.passes import Plan
from fastrnn.layers.recurrent.engine.packed import PassWeights

__all__ = ["WeightCache"]


_FEW = 2**17  # weights


class _Entry(NamedTuple):
    plan: Plan | None
    versions: list[int] | None
    snapshot: list[Array] | None
    packed: PassWeights


class WeightCache:
    """The packed weights of the last call.

    The version counter of a tensor does not tell of writes through ``.data`` or ``.numpy()``, so weights are
    the same only if their bits are. To compare them takes a third of the time of packing, and a copy, which
    is made at the second call with the same versions: a training step, after which versions change, has
    neither cost. Few weights are packed faster than compared; but where a tape keeps the packed ones, calls
    before a backward pass share them. Copies and pickles of a cache are empty.
    """

    __slots__ = ("_entry",)

    def __init__(self) -> None:
        self._entry = _Entry(None, None, None, PassWeights([]))

    def packed(self, plan: Plan, versions: list[int], weights: list[Array], *, taped: bool) -> PassWeights:
        """Return the packed weights.

        Parameters
        ----------
        plan : Plan
        versions : list of int
            The version counters of the tensors.
        weights : list of ndarray
        taped : bool
            Whether a backward pass will use them.
        """
        if plan.size < _FEW and not taped:
            return plan.pack([np.ascontiguousarray(array) for array in weights])
        entry = self._entry  # one value, as threads that share the module may set it at any time
        snapshot = None
        if entry.versions == versions and entry.plan is plan:
            if entry.snapshot is not None and _same_bits(entry.snapshot, weights):
                return entry.packed
            weights = snapshot = [np.array(array, order="C") for array in weights]
        packed = plan.pack([np.ascontiguousarray(array) for array in weights])
        self._entry = _Entry(plan, versions, snapshot, packed)
        return packed

    def __reduce__(self) -> tuple[Any, ...]:
        return WeightCache, ()


def _same_bits(snapshot: list[Array], weights: list[Array]) -> bool:
    kind = np.uint32 if snapshot[0].itemsize == 4 else np.uint64
    for one, other in zip(snapshot, weights, strict=True):
        if not np.logical_and.reduce(one.view(kind) == other.view(kind), axis=None):
            return False
    return True
