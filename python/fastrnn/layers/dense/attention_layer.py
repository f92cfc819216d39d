"""The interface of attention layers: prepare a memory once, attend to it in one call or step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastrnn._arrays import Array, as_array, as_dtype, as_floats
from fastrnn._checks import as_flag
from fastrnn._dispatch import kernels
from fastrnn.layers.base.kept import frozen, kept
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.precision import Precision
from fastrnn.layers.dense.attention_memory import (
    AttentionMemory,
    AttentionTape,
    as_values,
    run_backward,
    run_forward,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn.layers.dense.linear import LinearTape

__all__ = ["AttentionLayer"]


class AttentionLayer(ModuleGroup, ABC):
    """Attention of T queries to a memory, whatever the score: what `AdditiveAttention` and the other share.

    Its only precision is float32.

    Attributes
    ----------
    query_size : int
        Q, the width of queries.
    key_size : int
        K, the width of values and contexts.
    """

    query_size: int
    key_size: int

    _scale = 1.0

    def __init__(self, query_size: int, key_size: int, dtype: DTypeLike, modules: dict[str, Module]) -> None:
        self.query_size, self.key_size = query_size, key_size
        self._modules: tuple[Module, ...] = ()
        if modules:
            super().__init__(**modules)
        else:
            Module.__init__(self, {}, as_dtype(dtype))

    def _set_precision(self, precision: Precision) -> None:
        """Do nothing: all products are in float32."""

    def prepare(self, values: Any, lengths: Any = None) -> AttentionMemory:
        """Make a memory of the values: compute their keys once, for all steps that attend to them.

        Parameters
        ----------
        values : array_like, float [S, N, K]
            S steps of N sequences, such as the outputs of an encoder.
        lengths : array_like, int [N], optional
            Number of steps of each sequence, ``0 .. S``; default: S. What follows the end is never read.

        Returns
        -------
        memory : AttentionMemory

        Raises
        ------
        ValueError
            If the values have another width, or a length is out of range.
        TypeError
            If the values have another dtype, or the lengths are not integers.
        """
        own, ends, steps = as_values(values, lengths, self.dtype, self.key_size)
        keys, tape = self._keys(own)
        return AttentionMemory(self._identity, own, keys, ends, steps, self._score(), tape)

    def __call__(self, queries: Any, memory: AttentionMemory) -> tuple[Array, Array]:
        """Attend to a memory; nothing is kept.

        Parameters
        ----------
        queries : array_like, float [T, N, Q], or [N, Q] for one step
        memory : AttentionMemory
            From `prepare`, or a selection of one.

        Returns
        -------
        context : ndarray, float [T, N, K] or [N, K]
            The weighted mean of the values; zeros for a sequence without a step.
        weights : ndarray, float [T, N, S] or [N, S]
            At least 0, with sum 1 over S; exactly 0 after a sequence's end.

        Raises
        ------
        ValueError
            If the queries do not fit the memory, or it belongs to another layer.
        TypeError
            If the queries have another dtype, or the memory is none.
        """
        given, shape = self._as_queries(queries, memory)
        context, weights = run_forward(memory, self._project(given), self._scale)
        return context.reshape(*shape[:-1], self.key_size), weights.reshape(*shape[:-1], memory.steps)

    def forward(self, queries: Any, memory: AttentionMemory) -> tuple[Array, Array, AttentionTape]:
        """Attend to a memory and keep what `backward` needs.

        Parameters
        ----------
        queries : array_like, float [T, N, Q], or [N, Q] for one step
        memory : AttentionMemory
            From `prepare`; a selection is for inference.

        Returns
        -------
        context : ndarray, float [T, N, K] or [N, K]
            Read-only.
        weights : ndarray, float [T, N, S] or [N, S]
            Read-only.
        tape : AttentionTape

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        given, shape = self._as_queries(queries, memory)
        if memory._rows is not None:
            raise ValueError("memory: expected one that prepare returned, got a selection of one")
        own, tape = self._project_kept(given)
        context, weights = map(frozen, run_forward(memory, own, self._scale))
        taken = AttentionTape(memory, own, weights, tape, shape)
        ahead = shape[:-1]
        return context.reshape(*ahead, self.key_size), weights.reshape(*ahead, memory.steps), taken

    @overload
    def backward(
        self, tape: AttentionTape, dcontext: Any, dweights: Any = None, *, need_dqueries: Literal[True] = True
    ) -> Array: ...

    @overload
    def backward(
        self, tape: AttentionTape, dcontext: Any, dweights: Any = None, *, need_dqueries: Literal[False]
    ) -> None: ...

    @overload
    def backward(
        self, tape: AttentionTape, dcontext: Any, dweights: Any = None, *, need_dqueries: bool
    ) -> Array | None: ...

    def backward(
        self, tape: AttentionTape, dcontext: Any, dweights: Any = None, *, need_dqueries: bool = True
    ) -> Array | None:
        """Return the gradient with respect to the queries; add to that of the memory.

        The gradients of what acts on queries are added to `gradients` here. Those of what acts on the memory
        are accumulated inside of it, over all steps that attended to it, until `backward_memory`. A decoder
        that attends step by step goes backwards step by step, the last one first, and gets the same bits.

        Parameters
        ----------
        tape : AttentionTape
            From `forward`.
        dcontext : array_like, float, shape of the context
            Gradient of the loss with respect to the context.
        dweights : array_like, float, shape of the weights, optional
            With respect to the weights, if the loss depends on them. Not read after a sequence's end.
        need_dqueries : bool, default True
            False skips the gradient with respect to the queries.

        Returns
        -------
        dqueries : ndarray, float, shape of the queries, or None
            None if `need_dqueries` is false.

        Raises
        ------
        ValueError
            If a shape is wrong, or the tape belongs to another layer.
        TypeError
            If a dtype is wrong, or the tape is none.
        """
        if not isinstance(tape, AttentionTape):
            raise TypeError(
                f"tape: expected the AttentionTape that forward returned, got {type(tape).__name__}"
            )
        self._check_owner("tape", tape.memory)
        shape, (T, N, S) = tape._shape, tape.weights.shape
        dcontext = as_floats("dcontext", dcontext, self.dtype, (*shape[:-1], self.key_size))
        if dweights is not None:
            dweights = as_floats("dweights", dweights, self.dtype, (*shape[:-1], S)).reshape(T, N, S)
        needed = as_flag("need_dqueries", need_dqueries)
        dcontext = dcontext.reshape(T, N, self.key_size)
        wanted = needed or tape._tape is not None
        memory = tape.memory
        dqueries, memory._gradients = run_backward(
            tape, dcontext, dweights, self._scale, wanted, memory._gradients
        )
        dqueries = self._project_backward(tape, dqueries, needed)
        return None if dqueries is None else dqueries.reshape(shape)

    @overload
    def backward_memory(self, memory: AttentionMemory, *, need_dvalues: Literal[True] = True) -> Array: ...

    @overload
    def backward_memory(self, memory: AttentionMemory, *, need_dvalues: Literal[False]) -> None: ...

    @overload
    def backward_memory(self, memory: AttentionMemory, *, need_dvalues: bool) -> Array | None: ...

    def backward_memory(self, memory: AttentionMemory, *, need_dvalues: bool = True) -> Array | None:
        """Return the gradient with respect to the values, after `backward` of all steps that attended.

        Adds to `gradients` what acts on the memory. The memory's own gradient is taken out of it, so that a
        second call finds zeros.

        Parameters
        ----------
        memory : AttentionMemory
            From `prepare`.
        need_dvalues : bool, default True
            False skips the gradient with respect to the values.

        Returns
        -------
        dvalues : ndarray, float [S, N, K], or None
            Zeros after each sequence's end; None if `need_dvalues` is false.

        Raises
        ------
        ValueError
            If the memory belongs to another layer.
        TypeError
            If it is none.
        """
        self._check_owner("memory", memory)
        needed = as_flag("need_dvalues", need_dvalues)
        if memory._gradients is None:
            shape = (memory.steps, memory.batch_size, self.key_size)
            return np.zeros(shape, self.dtype) if needed else None
        dkeys, dvalues, dscore = memory._gradients
        through_keys = self._keys_backward(memory._tape, dkeys, dscore, needed)
        total: Array | None = None
        if needed:
            total = kernels.attention_steps(dvalues, through_keys, memory.lengths, memory.steps)
        memory._gradients = None
        return total

    def _check_owner(self, name: str, memory: Any) -> None:
        if not isinstance(memory, AttentionMemory):
            raise TypeError(f"{name}: expected the memory that prepare returned, got {type(memory).__name__}")
        if memory._identity != self._identity:
            raise ValueError(f"{name}: expected one of this layer, got another layer's")

    def _as_queries(self, queries: Any, memory: Any) -> tuple[Array, tuple[int, ...]]:
        """Check the arguments of a call; return queries [T, N, Q] and the shape that they came in."""
        self._check_owner("memory", memory)
        array = as_array("queries", queries, self.dtype)
        rows, width = memory.batch_size, self.query_size
        pattern = (rows, width) if array.ndim == 2 else ("T", rows, width)
        array = as_floats("queries", array, self.dtype, pattern)
        return array if array.ndim == 3 else array[None], array.shape

    # What each kind has of its own.

    @abstractmethod
    def _keys(self, values: Array) -> tuple[Array, LinearTape | None]: ...

    @abstractmethod
    def _keys_backward(self, tape: Any, dkeys: Array, dscore: Any, needed: bool) -> Array | None: ...

    def _score(self) -> Array | None:
        return None

    def _project(self, queries: Array) -> Array:
        return queries

    def _project_kept(self, queries: Array) -> tuple[Array, LinearTape | None]:
        return kept("queries", queries), None

    def _project_backward(self, tape: AttentionTape, dqueries: Array | None, needed: bool) -> Array | None:
        return dqueries
