"""Attention pooling: a sequence as the weighted mean of its steps, with learned weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from fastrnn._arrays import Array, as_floats
from fastrnn._checks import as_flag, as_generator, as_size
from fastrnn._dispatch import kernels
from fastrnn._other_words import answers_other_words
from fastrnn.layers.base.kept import Kept, frozen
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.precision import Precision
from fastrnn.layers.dense.attention_memory import (
    AttentionMemory,
    AttentionTape,
    as_values,
    keys_of,
    run_backward,
    run_forward,
)
from fastrnn.layers.dense.linear import Linear

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn._checks import Seed

__all__ = ["AttentionPooling", "PoolingTape"]


class PoolingTape(Kept):
    """What ``forward`` of an `AttentionPooling` keeps for ``backward``; it cannot change.

    Attributes
    ----------
    weights : ndarray, float [N, S], read-only
    """

    weights: Any

    __slots__ = ("_tape", "weights")

    def __init__(self, tape: AttentionTape) -> None:
        self._tape, self.weights = tape, tape.weights[0]

    def __repr__(self) -> str:
        return f"<PoolingTape: weights {list(self.weights.shape)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return PoolingTape, (self._tape,)


class AttentionPooling(ModuleGroup):
    """The weighted mean of a sequence's steps: additive attention with one learned query.

    ::

        e_s = v . tanh(U h_s + b)
        w_s = softmax of e_s over the steps s of the sequence
        c   = sum over s of w_s h_s

    Parameters are ``key.weight [A, K]`` (U), ``key.bias [A]`` (b) and ``score.weight [1, A]`` (v), initially
    uniform as in `Linear`. Its only precision is float32.

    Parameters
    ----------
    key_size : int
        K, the width of the values.
    attention_size : int
        A, the width of the hidden layer of the score.
    dtype : {"float32", "float64"}
        Of parameters, inputs and outputs.
    seed : int or numpy.random.Generator, optional
        Initialises the parameters.

    Attributes
    ----------
    key, score : Linear

    Raises
    ------
    ValueError
        If a size is less than 1.
    TypeError
        If a size is not an integer or the dtype is not supported.

    References
    ----------
    Yang, Yang, Dyer, He, Smola, Hovy (2016), "Hierarchical Attention Networks for Document Classification",
    equations 5 to 7.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> pooling = fr.AttentionPooling(4, 8, seed=0)
    >>> values = np.ones((3, 2, 4), "f")
    >>> pooled, weights, tape = pooling.forward(values, lengths=[3, 2])
    >>> pooled.shape, weights[1].tolist()
    ((2, 4), [0.5, 0.5, 0.0])
    >>> pooling.backward(tape, np.ones_like(pooled))[:, 1, 0].tolist()
    [0.5, 0.5, 0.0]
    """

    key: Linear
    score: Linear

    @answers_other_words
    def __init__(
        self, key_size: int, attention_size: int, *, dtype: DTypeLike = "float32", seed: Seed = None
    ) -> None:
        self.key_size: int = as_size("key_size", key_size)
        self.attention_size: int = as_size("attention_size", attention_size)
        generator = as_generator(seed)
        super().__init__(
            key=Linear(self.key_size, self.attention_size, dtype=dtype, seed=generator),
            score=Linear(self.attention_size, 1, bias=False, dtype=dtype, seed=generator),
        )

    def _set_precision(self, precision: Precision) -> None:
        """Do nothing: all products are in float32."""

    def __call__(self, values: Any, lengths: Any = None) -> tuple[Array, Array]:
        """Pool the steps of each sequence; nothing is kept.

        Parameters
        ----------
        values : array_like, float [S, N, K]
            S steps of N sequences, such as the outputs of a recurrent layer.
        lengths : array_like, int [N], optional
            Number of steps of each sequence, ``0 .. S``; default: S. What follows the end is never read.

        Returns
        -------
        pooled : ndarray, float [N, K]
            Zeros for a sequence without a step.
        weights : ndarray, float [N, S]
            At least 0, with sum 1 over S; exactly 0 after a sequence's end.

        Raises
        ------
        ValueError
            If the values have another width, or a length is out of range.
        TypeError
            If the values have another dtype, or the lengths are not integers.
        """
        pooled, weights = run_forward(self._memory(values, lengths), None, 1.0)
        return pooled[0], weights[0]

    def forward(self, values: Any, lengths: Any = None) -> tuple[Array, Array, PoolingTape]:
        """Pool the steps of each sequence and keep what `backward` needs.

        Parameters
        ----------
        values : array_like, float [S, N, K]
        lengths : array_like, int [N], optional
            As for a call.

        Returns
        -------
        pooled : ndarray, float [N, K]
            Read-only.
        weights : ndarray, float [N, S]
            Read-only.
        tape : PoolingTape

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        memory = self._memory(values, lengths)
        pooled, weights = map(frozen, run_forward(memory, None, 1.0))
        return pooled[0], weights[0], PoolingTape(AttentionTape(memory, None, weights, None, pooled.shape))

    @overload
    def backward(
        self, tape: PoolingTape, dpooled: Any, dweights: Any = None, *, need_dvalues: Literal[True] = True
    ) -> Array: ...

    @overload
    def backward(
        self, tape: PoolingTape, dpooled: Any, dweights: Any = None, *, need_dvalues: Literal[False]
    ) -> None: ...

    @overload
    def backward(
        self, tape: PoolingTape, dpooled: Any, dweights: Any = None, *, need_dvalues: bool
    ) -> Array | None: ...

    def backward(
        self, tape: PoolingTape, dpooled: Any, dweights: Any = None, *, need_dvalues: bool = True
    ) -> Array | None:
        """Add to `gradients` and return the gradient with respect to the values.

        Parameters
        ----------
        tape : PoolingTape
            From `forward`.
        dpooled : array_like, float [N, K]
            Gradient of the loss with respect to the pooled values.
        dweights : array_like, float [N, S], optional
            With respect to the weights, if the loss depends on them. Not read after a sequence's end.
        need_dvalues : bool, default True
            False skips the gradient with respect to the values.

        Returns
        -------
        dvalues : ndarray, float [S, N, K], or None
            Zeros after each sequence's end; None if `need_dvalues` is false.

        Raises
        ------
        ValueError
            If a shape is wrong, or the tape belongs to another layer.
        TypeError
            If a dtype is wrong, or the tape is none.
        """
        if not isinstance(tape, PoolingTape):
            raise TypeError(
                f"tape: expected the PoolingTape that forward returned, got {type(tape).__name__}"
            )
        memory = tape._tape.memory
        if memory._identity != self._identity:
            raise ValueError("tape: expected one of this layer, got another layer's")
        needed = as_flag("need_dvalues", need_dvalues)
        N, S = tape.weights.shape
        dpooled = as_floats("dpooled", dpooled, self.dtype, (N, self.key_size))[None]
        if dweights is not None:
            dweights = as_floats("dweights", dweights, self.dtype, (N, S))[None]
        gradients = run_backward(tape._tape, dpooled, dweights, 1.0, False, None)[1]
        dkeys, dvalues, dscore = gradients
        assert memory._tape is not None
        assert dscore is not None
        through_keys = self.key.backward(memory._tape, dkeys, need_dx=needed)
        self.score.gradients["weight"][0] += dscore.sum(axis=0)
        if not needed:
            return None
        total: Array = kernels.attention_steps(dvalues, through_keys, memory.lengths, memory.steps)
        return total

    def _memory(self, values: Any, lengths: Any) -> AttentionMemory:
        own, ends, steps = as_values(values, lengths, self.dtype, self.key_size)
        keys, tape = keys_of(self.key, own)
        score = frozen(self.score.parameters["weight"][0].copy())
        return AttentionMemory(self._identity, own, keys, ends, steps, score, tape)

    @property
    def description(self) -> dict[str, Any]:
        """The arguments that make such a layer, but for dtype and seed, as plain values for JSON."""
        return {"key_size": self.key_size, "attention_size": self.attention_size}

    def __repr__(self) -> str:
        dtype = "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        return f"AttentionPooling({self.key_size}, {self.attention_size}{dtype})"
