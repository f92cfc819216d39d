"""The embedding layer: a table row for each id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array, Ids, as_dtype, as_floats, as_ids
from fastrnn._checks import as_flag, as_generator, as_size
from fastrnn._dispatch import kernels
from fastrnn._other_words import answers_other_words
from fastrnn.layers.base.kept import frozen, kept
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.precision import check_trainable
from fastrnn.layers.base.sparse import SparseRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike

    from fastrnn._checks import Seed

__all__ = ["Embedding"]


class Embedding(Module):
    """A table with a row for each id, like ``torch.nn.Embedding``.

    Its parameter is ``weight [V, E]``, initialised from the standard normal distribution.

    Parameters
    ----------
    num_embeddings : int
        V, the number of ids.
    embedding_dim : int
        E, the width of a row.
    dtype : {"float32", "float64"}
        Of the parameter and the output.
    seed : int or numpy.random.Generator, optional
        Initialises the parameter.
    sparse : bool, default False
        Record which rows of the gradient `backward` adds to, so that a training step touches only these and
        their moments, see `fastrnn.train.optimizers`. For large tables, and only without weight decay. Only
        `backward` may then write to the gradient.

    Raises
    ------
    ValueError
        If a size is less than 1.
    TypeError
        If a size is not an integer or the dtype is not supported.
    MemoryError
        If the parameter cannot be allocated; the message states the number of bytes.

    Examples
    --------
    >>> import fastrnn as fr
    >>> embedding = fr.Embedding(4, 2, seed=0)
    >>> embedding.parameters["weight"] = [[0, 0], [1, 1], [2, 2], [3, 3]]
    >>> y, tape = embedding.forward([3, 1, 3])
    >>> y[:, 0].tolist()
    [3.0, 1.0, 3.0]
    >>> embedding.backward(tape, y)
    >>> embedding.gradients["weight"][:, 0].tolist()
    [0.0, 1.0, 0.0, 6.0]
    """

    @answers_other_words
    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        sparse: bool = False,
    ) -> None:
        self.sparse: bool = as_flag("sparse", sparse)
        self._touched: list[Ids] = []
        self.num_embeddings: int = as_size("num_embeddings", num_embeddings)
        self.embedding_dim: int = as_size("embedding_dim", embedding_dim)
        super().__init__({"weight": (self.num_embeddings, self.embedding_dim)}, as_dtype(dtype))
        as_generator(seed).standard_normal(out=self.parameters._writable_flat(), dtype=self.dtype.type)

    def __call__(self, ids: Any) -> Array:
        """Look up ids.

        Parameters
        ----------
        ids : array_like, int [...]
            In ``0 .. V - 1``; -1 is a row of zeros.

        Returns
        -------
        y : ndarray, float [..., E]

        Raises
        ------
        ValueError
            If an id is out of range.
        TypeError
            If the ids are not integers.
        """
        return self._look_up(as_ids("ids", ids, ("...",)))

    def forward(self, ids: Any) -> tuple[Array, Ids]:
        """Look up ids and keep what `backward` needs.

        Parameters
        ----------
        ids : array_like, int [...]
            In ``0 .. V - 1``; -1 is a row of zeros.

        Returns
        -------
        y : ndarray, float [..., E]
            Read-only.
        tape : ndarray, int64 [...]
            A copy of the ids, read-only.

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        check_trainable(self)
        ids = kept("ids", as_ids("ids", ids, ("...",)))
        return frozen(self._look_up(ids)), ids

    def _look_up(self, ids: Ids) -> Array:
        y = kernels.embedding_forward(ids.reshape(-1), self.parameters["weight"])
        return y.reshape(*ids.shape, self.embedding_dim)

    def backward(self, tape: Ids, dy: Any) -> None:
        """Add to `gradients`.

        Parameters
        ----------
        tape : ndarray
            From `forward`.
        dy : array_like, float [..., E]
            Gradient of the loss with respect to y.

        Raises
        ------
        ValueError
            If the shapes of dy and y differ.
        TypeError
            If dy has another dtype.
        """
        dy = as_floats("dy", dy, self.dtype, (*tape.shape, self.embedding_dim))
        if self.sparse:
            self._touched.append(np.unique(tape[tape >= 0]))
        kernels.embedding_backward(
            tape.reshape(-1), dy.reshape(tape.size, self.embedding_dim), self.gradients["weight"]
        )

    def _quantizable(self) -> tuple[str, ...]:
        return ("weight",)  # no operand of a product, but most of a small model's bytes

    def _sparse_rows(self) -> list[SparseRows]:
        if not self.sparse:
            return []
        rows = np.unique(np.concatenate(self._touched)) if self._touched else np.empty(0, np.int64)
        self._touched = [rows]
        return [SparseRows(0, (self.num_embeddings, self.embedding_dim), rows)]

    def _clear_sparse_rows(self) -> None:
        self._touched = []

    def _set_sparse_rows(self, rows: Iterator[Ids]) -> None:
        if self.sparse:
            self._touched = [next(rows)]

    def __repr__(self) -> str:
        options = "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        options += ", sparse=True" if self.sparse else ""
        return f"Embedding({self.num_embeddings}, {self.embedding_dim}{options})"
