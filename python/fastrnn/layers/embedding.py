"""The embedding layer: a row of a table for each id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn._arrays import Array, Ids, as_dtype, as_floats, as_ids, as_size
from fastrnn._dispatch import kernels
from fastrnn.layers.module import Module
from fastrnn.layers.random import as_generator

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn.layers.random import Seed

__all__ = ["Embedding"]


class Embedding(Module):
    """A table with a row for each id, as ``torch.nn.Embedding``.

    Its parameter is ``weight [V, E]``. It starts from the standard normal distribution.

    Parameters
    ----------
    num_embeddings : int
        V, the number of different ids.
    embedding_dim : int
        E, the width of a row.
    dtype : {"float32", "float64"}
        Of the parameter and the output.
    seed : int or numpy.random.Generator, optional
        For the parameter.

    Raises
    ------
    ValueError
        If a size is less than 1.
    TypeError
        If a size is no integer, or the dtype another.
    MemoryError
        If the parameter cannot be allocated; it says how many bytes.

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

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, dtype: DTypeLike = "float32", seed: Seed = None
    ) -> None:
        self.num_embeddings = as_size("num_embeddings", num_embeddings)
        self.embedding_dim = as_size("embedding_dim", embedding_dim)
        super().__init__({"weight": (self.num_embeddings, self.embedding_dim)}, as_dtype(dtype))
        as_generator(seed).standard_normal(out=self.parameters._writable_flat(), dtype=self.dtype.type)

    def __call__(self, ids: Any) -> Array:
        """Look up ids.

        Parameters
        ----------
        ids : array_like, int [...]
            In ``0 .. V - 1``.

        Returns
        -------
        y : ndarray, float [..., E]

        Raises
        ------
        ValueError
            If an id is out of range.
        TypeError
            If the ids are no integers.
        """
        return self.forward(ids)[0]

    def forward(self, ids: Any) -> tuple[Array, Ids]:
        """Look up ids, and keep what `backward` needs.

        Parameters
        ----------
        ids : array_like, int [...]
            In ``0 .. V - 1``.

        Returns
        -------
        y : ndarray, float [..., E]
        tape : ndarray, int64 [...]
            The ids: do not write into them before `backward`.

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        ids = as_ids("ids", ids, ("...",))
        y = kernels.embedding_forward(ids.reshape(-1), self.parameters["weight"])
        return y.reshape(*ids.shape, self.embedding_dim), ids

    def backward(self, tape: Ids, dy: Any) -> None:
        """Add into `gradients`.

        Parameters
        ----------
        tape : ndarray
            From `forward`.
        dy : array_like, float [..., E]
            Gradient of the loss with respect to y.

        Raises
        ------
        ValueError
            If dy has another shape than y.
        TypeError
            If dy has another dtype.
        """
        dy = as_floats("dy", dy, self.dtype, (*tape.shape, self.embedding_dim))
        kernels.embedding_backward(
            tape.reshape(-1), dy.reshape(-1, self.embedding_dim), self.gradients["weight"]
        )

    def __repr__(self) -> str:
        options = "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        return f"Embedding({self.num_embeddings}, {self.embedding_dim}{options})"
