"""Attention of a decoder's steps to the steps of a sequence, with additive or multiplicative scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn._arrays import Array
from fastrnn._checks import as_flag, as_generator, as_number, as_size
from fastrnn._other_words import answers_other_words
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.dense.attention_layer import AttentionLayer
from fastrnn.layers.dense.attention_memory import keys_of
from fastrnn.layers.dense.linear import Linear, LinearTape

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn._checks import Seed
    from fastrnn.layers.base.module import Module
    from fastrnn.layers.dense.attention_memory import AttentionTape

__all__ = ["AdditiveAttention", "MultiplicativeAttention"]


class AdditiveAttention(AttentionLayer):
    """Attention with additive scores, of Bahdanau, Cho and Bengio.

    ::

        e_ts = v . tanh(W q_t + U h_s + b)
        w_ts = softmax of e_ts over the steps s of the sequence
        c_t  = sum over s of w_ts h_s

    Parameters are ``query.weight [A, Q]`` (W), ``key.weight [A, K]`` (U), ``key.bias [A]`` (b) and
    ``score.weight [1, A]`` (v), initially uniform as in `Linear`. Scores, softmax and weighted mean are one
    native pass; no array of the size T N S A exists, in the backward pass neither.

    Parameters
    ----------
    query_size : int
        Q, the width of queries: of a decoder's state.
    key_size : int
        K, the width of values: of an encoder's outputs.
    attention_size : int
        A, the width of the hidden layer of the score.
    dtype : {"float32", "float64"}
        Of parameters, inputs and outputs.
    seed : int or numpy.random.Generator, optional
        Initialises the parameters.

    Attributes
    ----------
    query, key, score : Linear

    Raises
    ------
    ValueError
        If a size is less than 1.
    TypeError
        If a size is not an integer or the dtype is not supported.

    References
    ----------
    Bahdanau, Cho, Bengio (2015), "Neural Machine Translation by Jointly Learning to Align and Translate",
    section A.1.2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> attention = fr.AdditiveAttention(5, 4, 8, seed=0)
    >>> values, queries = np.ones((3, 2, 4), "f"), np.ones((6, 2, 5), "f")
    >>> memory = attention.prepare(values, lengths=[3, 2])
    >>> context, weights, tape = attention.forward(queries, memory)
    >>> weights[0].round(3).tolist()
    [[0.3330000042915344, 0.3330000042915344, 0.3330000042915344], [0.5, 0.5, 0.0]]
    >>> attention.backward(tape, np.ones_like(context)).shape
    (6, 2, 5)
    >>> attention.backward_memory(memory)[:, 1, 0].tolist()
    [3.0, 3.0, 0.0]

    Step by step, with one step's queries [N, Q]:

    >>> step, step_weights = attention(queries[0], memory)
    >>> bool((step == context[0]).all())
    True
    """

    query: Linear
    key: Linear
    score: Linear

    @answers_other_words
    def __init__(
        self,
        query_size: int,
        key_size: int,
        attention_size: int,
        *,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
    ) -> None:
        sizes = as_size("query_size", query_size), as_size("key_size", key_size)
        self.attention_size: int = as_size("attention_size", attention_size)
        generator = as_generator(seed)
        modules: dict[str, Module] = {
            "query": Linear(sizes[0], self.attention_size, bias=False, dtype=dtype, seed=generator),
            "key": Linear(sizes[1], self.attention_size, dtype=dtype, seed=generator),
            "score": Linear(self.attention_size, 1, bias=False, dtype=dtype, seed=generator),
        }
        super().__init__(*sizes, dtype, modules)

    def _keys(self, values: Array) -> tuple[Array, LinearTape | None]:
        return keys_of(self.key, values)

    def _keys_backward(self, tape: Any, dkeys: Array, dscore: Any, needed: bool) -> Array | None:
        self.score.gradients["weight"][0] += dscore.sum(axis=0)
        return self.key.backward(tape, dkeys, need_dx=needed)

    def _score(self) -> Array | None:
        return frozen(self.score.parameters["weight"][0].copy())

    def _project(self, queries: Array) -> Array:
        return self.query(queries)

    def _project_kept(self, queries: Array) -> tuple[Array, LinearTape | None]:
        return self.query.forward(queries)

    def _project_backward(self, tape: AttentionTape, dqueries: Array | None, needed: bool) -> Array | None:
        assert tape._tape is not None
        return self.query.backward(tape._tape, dqueries, need_dx=needed)

    @property
    def description(self) -> dict[str, Any]:
        """The arguments that make such a layer, but for dtype and seed, as plain values for JSON."""
        sizes = {"query_size": self.query_size, "key_size": self.key_size}
        return {**sizes, "attention_size": self.attention_size}

    def __repr__(self) -> str:
        dtype = "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        return f"AdditiveAttention({self.query_size}, {self.key_size}, {self.attention_size}{dtype})"


class MultiplicativeAttention(AttentionLayer):
    """Attention with multiplicative scores, of Luong, Pham and Manning.

    ::

        e_ts = scale (q_t . W h_s)      "general"; without the weight W "dot"
        w_ts = softmax of e_ts over the steps s of the sequence
        c_t  = sum over s of w_ts h_s

    The parameter is ``key.weight [Q, K]`` (W), initially uniform as in `Linear`. It acts on the values, once
    for all queries.

    Parameters
    ----------
    query_size : int
        Q, the width of queries: of a decoder's state.
    key_size : int
        K, the width of values: of an encoder's outputs.
    weight : bool, default True
        Whether there is a W; without, Q and K must be equal.
    scale : float, optional
        Factor of the scores; ``query_size**-0.5`` for those of Vaswani et al. (2017). Default 1.
    dtype : {"float32", "float64"}
        Of parameters, inputs and outputs.
    seed : int or numpy.random.Generator, optional
        Initialises the parameters.

    Attributes
    ----------
    key : Linear
        If there is a W.

    Raises
    ------
    ValueError
        If a size is less than 1, the scale is not finite, or the sizes differ without a weight.
    TypeError
        If a size is not an integer or the dtype is not supported.

    References
    ----------
    Luong, Pham, Manning (2015), "Effective Approaches to Attention-based Neural Machine Translation",
    equation 8.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> attention = fr.MultiplicativeAttention(2, 2, weight=False)
    >>> values = np.array([[[0, 0]], [[10, 0]], [[0, 10]]], "f")
    >>> context, weights = attention(np.array([[3, 0]], "f"), attention.prepare(values))
    >>> context.round(3).tolist(), weights.round(3).tolist()
    ([[10.0, 0.0]], [[0.0, 1.0, 0.0]])
    """

    key: Linear

    @answers_other_words
    def __init__(
        self,
        query_size: int,
        key_size: int,
        *,
        weight: bool = True,
        scale: float | None = None,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
    ) -> None:
        sizes = as_size("query_size", query_size), as_size("key_size", key_size)
        self._scale = 1.0 if scale is None else as_number("scale", scale)
        generator, modules = as_generator(seed), {}
        if as_flag("weight", weight):
            modules["key"] = Linear(sizes[1], sizes[0], bias=False, dtype=dtype, seed=generator)
        elif sizes[0] != sizes[1]:
            raise ValueError(
                f"key_size: expected {sizes[0]}, as query_size, got {sizes[1]}; write weight=True for others"
            )
        super().__init__(*sizes, dtype, dict(modules))

    @property
    def scale(self) -> float:
        """Factor of the scores."""
        return self._scale

    def _keys(self, values: Array) -> tuple[Array, LinearTape | None]:
        return keys_of(self.key, values) if self._modules else (values, None)

    def _keys_backward(self, tape: Any, dkeys: Array, dscore: Any, needed: bool) -> Array | None:
        return self.key.backward(tape, dkeys, need_dx=needed) if self._modules else dkeys

    @property
    def description(self) -> dict[str, Any]:
        """The arguments that make such a layer, but for dtype and seed, as plain values for JSON."""
        sizes = {"query_size": self.query_size, "key_size": self.key_size}
        return {**sizes, "weight": bool(self._modules), "scale": self._scale}

    def __repr__(self) -> str:
        options = "" if self._modules else ", weight=False"
        options += "" if self._scale == 1.0 else f", scale={self._scale:g}"
        options += "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        return f"MultiplicativeAttention({self.query_size}, {self.key_size}{options})"
