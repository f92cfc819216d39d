"""What attention attends to: the values of a batch of sequences and their keys, projected once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastrnn._arrays import Array, Ids, as_floats, as_ids, as_lengths
from fastrnn._dispatch import kernels
from fastrnn.layers.base.kept import Kept, frozen

if TYPE_CHECKING:
    from fastrnn.layers.dense.linear import Linear, LinearTape

__all__ = [
    "AttentionMemory",
    "AttentionTape",
    "MemoryGradients",
    "as_values",
    "keys_of",
    "run_backward",
    "run_forward",
]

#: dkeys [R, A], dvalues [R, K] and, of additive scores, dscore [N, A]: each sequence's own.
MemoryGradients: TypeAlias = tuple[Array, Array, Array | None]


class AttentionMemory:
    """The values that attention reads, N sequences of S steps, with their keys: ``prepare`` makes it.

    It holds copies, so that nothing that happens to the values afterwards changes it, and the weights of the
    score at that moment. Any number of threads may attend to one memory in inference. In training it also
    accumulates its own gradient, from the first ``backward`` until ``backward_memory`` takes it.

    Attributes
    ----------
    batch_size : int
        N.
    steps : int
        S.
    lengths : ndarray, int64 [N]
        Number of steps of each sequence.
    values : ndarray, float [R, K], read-only
        All R steps, sequence by sequence, without padding; of a selection those that it was made from.
    keys : ndarray, float [R, A], read-only
    """

    __slots__ = (
        "_gradients",
        "_identity",
        "_keys",
        "_lengths",
        "_rows",
        "_score",
        "_steps",
        "_tape",
        "_values",
    )

    def __init__(
        self,
        identity: int,
        values: Array,
        keys: Array,
        lengths: Ids,
        steps: int,
        score: Array | None,
        tape: LinearTape | None,
    ) -> None:
        self._identity = identity
        self._values, self._keys, self._lengths = values, keys, lengths
        self._steps, self._score, self._tape = steps, score, tape
        self._rows: Ids | None = None
        self._gradients: MemoryGradients | None = None

    @property
    def batch_size(self) -> int:  # noqa: D102
        return len(self._lengths if self._rows is None else self._rows)

    @property
    def steps(self) -> int:  # noqa: D102
        return self._steps

    @property
    def lengths(self) -> Ids:  # noqa: D102
        return self._lengths if self._rows is None else self._lengths[self._rows]

    @property
    def values(self) -> Array:  # noqa: D102
        return self._values

    @property
    def keys(self) -> Array:  # noqa: D102
        return self._keys

    def select(self, rows: Any) -> AttentionMemory:
        """Return a memory of some of the sequences, in any order and number, for inference.

        Nothing is projected or copied: a beam search repeats each sentence's row and reorders rows freely.

        Parameters
        ----------
        rows : array_like, int [M]
            In ``0 .. N - 1``.

        Returns
        -------
        memory : AttentionMemory
            Of M sequences.

        Raises
        ------
        ValueError
            If a row is out of range.
        TypeError
            If the rows are not integers.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn as fr
        >>> attention = fr.MultiplicativeAttention(2, 2, weight=False)
        >>> memory = attention.prepare(np.ones((3, 2, 2), "f"), lengths=[3, 1])
        >>> memory.select([1, 0, 0]).lengths
        array([1, 3, 3])
        """
        chosen = as_ids("rows", rows, ("M",))
        wrong = (chosen < 0) | (chosen >= self.batch_size)
        if wrong.any():
            place = int(wrong.argmax())
            last = self.batch_size - 1
            raise ValueError(f"rows: expected 0 .. {last}, got {chosen[place]} at position {place}")
        memory = AttentionMemory(
            self._identity, self._values, self._keys, self._lengths, self._steps, self._score, self._tape
        )
        memory._rows = frozen(chosen if self._rows is None else self._rows[chosen])
        return memory

    def __repr__(self) -> str:
        size = ", ".join(map(str, (self.steps, self.batch_size, self._values.shape[1])))
        return f"<AttentionMemory of values [{size}]>"


class AttentionTape(Kept):
    """What ``forward`` of an attention layer keeps for ``backward``; it cannot change.

    Attributes
    ----------
    memory : AttentionMemory
    queries : ndarray, float [T, N, A], or None
        Those that meet the keys: of additive attention, after their projection.
    weights : ndarray, float [T, N, S], read-only
    """

    memory: AttentionMemory
    queries: Array | None
    weights: Array

    __slots__ = ("_shape", "_tape", "memory", "queries", "weights")

    def __init__(
        self,
        memory: AttentionMemory,
        queries: Array | None,
        weights: Array,
        tape: LinearTape | None,
        shape: tuple[int, ...],
    ) -> None:
        self.memory, self.queries, self.weights = memory, queries, weights
        self._tape, self._shape = tape, shape

    def __repr__(self) -> str:
        return f"<AttentionTape: weights {list(self.weights.shape)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return AttentionTape, (self.memory, self.queries, self.weights, self._tape, self._shape)


def as_values(values: Any, lengths: Any, dtype: np.dtype[Any], width: int) -> tuple[Array, Ids, int]:
    """Return the steps of values [S, N, K], sequence by sequence [R, K], all lengths, and S."""
    given = as_floats("values", values, dtype, ("S", "N", width))
    steps, rows = given.shape[:2]
    ends = as_lengths(lengths, steps, rows)
    if ends is None:
        ends = frozen(np.full(rows, steps, np.int64))
    return frozen(kernels.attention_rows(given, ends)), ends, steps


def keys_of(key: Linear, values: Array) -> tuple[Array, LinearTape | None]:
    """Return the keys of values, read-only, and the tape that a memory keeps: none if it is not trained."""
    return (frozen(key(values)), None) if key.quantized else key.forward(values)


def run_forward(memory: AttentionMemory, queries: Array | None, scale: float) -> tuple[Array, Array]:
    """Return context [T, N, K] and weights [T, N, S] of queries [T, N, A]; None: one query of zeros."""
    context, weights = kernels.attention_forward(
        queries,
        memory._keys,
        memory._values,
        memory._score,
        scale,
        memory._lengths,
        memory._rows,
        memory._steps,
    )
    return context, weights


def run_backward(
    tape: AttentionTape,
    dcontext: Array,
    dweights: Array | None,
    scale: float,
    need_dqueries: bool,
    gradients: MemoryGradients | None,
) -> tuple[Array | None, MemoryGradients]:
    """Return the gradient of the queries, and the memory's: the one given, added to, or a new one."""
    memory = tape.memory
    dqueries: Array | None
    result: MemoryGradients
    dqueries, result = kernels.attention_backward(
        tape.queries,
        memory._keys,
        memory._values,
        memory._score,
        scale,
        memory._lengths,
        tape.weights,
        dcontext,
        dweights,
        gradients,
        need_dqueries,
    )
    return dqueries, result
