"""The outputs of length models, which decide where a text ends.

Goodfellow, Bengio, Courville (2016), "Deep Learning", section 10.2.3, names three ways: a symbol that ends
the text (an id of the vocabulary like any other, so it needs no output here), a Bernoulli output at each step
that halts or continues, or the length itself, drawn first and counted down. The likelihood of a text x of n
symbols is::

    symbol   prod p(x_t | x_<t) * p(<eos> | x)
    halt     prod p(x_t | x_<t) * prod over t < n of (1 - s_t) * s_n      s_t = sigmoid(w . h_t + b)
    tau      p(n) * prod p(x_t | x_<t, n - t + 1 symbols left)            p(n) = softmax(W h_0 + b)

with h_t the output after x_t was read and h_0 that after the start alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn._memory import check_memory
from fastrnn.layers import Embedding, Linear, Softmax
from fastrnn.layers.base.module_group import ModuleGroup

__all__ = ["LENGTH_MODELS", "HaltOutput", "LengthOutput", "ModelBatch", "length_shapes"]

LENGTH_MODELS = ("halt", "tau")


class ModelBatch(NamedTuple):
    """A batch as the layers read it, with the extra step of a length model.

    Attributes
    ----------
    ids : ndarray, int64 [T, N]
        Inputs; -1 for none.
    targets : ndarray, int64 [T, N]
        -1 where nothing is predicted.
    lengths : ndarray, int64 [N], or None
        Steps of each row; None if all are T.
    symbols : ndarray, int64 [N]
        Number of symbols that each row predicts: the length of its text.
    left : ndarray, int64 [T, N], or None
        Number of symbols still to come, minus one; -1 where it is not known yet.
    context : array_like, float [N, C] or [T, N, C], or None
        What layers with a `context_size` read.
    """

    ids: Ids
    targets: Ids
    lengths: Ids | None
    symbols: Ids
    left: Ids | None = None
    context: Any = None


class HaltOutput(Linear):
    """A Bernoulli output after each symbol: the probability that the text ends there.

    Parameters are ``weight [1, K]`` and ``bias [1]``.
    """

    def __init__(self, in_features: int, **options: Any) -> None:
        super().__init__(in_features, 1, **options)

    def add_step(self, batch: ModelBatch) -> ModelBatch:
        """Return the batch with one more step per row, which reads its last symbol."""
        T, N = batch.ids.shape
        ids = np.concatenate([batch.ids, np.zeros((1, N), np.int64)])
        targets = np.concatenate([batch.targets, np.full((1, N), -1, np.int64)])
        rows, ends = np.arange(N), batch.symbols
        ids[ends, rows] = batch.targets[ends - 1, rows]
        lengths = None if batch.lengths is None and (ends == T).all() else ends + 1
        return batch._replace(ids=ids, targets=targets, lengths=lengths)

    def losses(self, y: Array, batch: ModelBatch) -> Array:
        """Compute ``-log`` of the probability of each row's length, [N], in nats."""
        return _sum_by_step(self.losses_by_step(y, batch.symbols))

    def losses_by_step(self, y: Array, symbols: Ids, first: int = 0) -> Array:
        """Compute ``-log`` of the probability of each step's decision, [T, N], in nats.

        Parameters
        ----------
        y : ndarray, float [T, N, K]
        symbols : ndarray, int64 [N]
            Length of each row's text.
        first : int, default 0
            The step of the batch at which `y` begins.
        """
        return self._losses(self(y)[:, :, 0].astype(np.float64), symbols, first)[0]

    def losses_and_gradients(self, y: Array, batch: ModelBatch, scale: float, dy: Array) -> Array:
        """Compute the losses; add the gradients of their scaled sum into `gradients` and into `dy`."""
        z, tape = self.forward(y)
        losses, dz = self._losses(z[:, :, 0].astype(np.float64), batch.symbols)
        dz = (dz * scale).astype(self.dtype)
        dx = self.backward(tape, dz[:, :, None])
        assert dx is not None
        dy += dx
        return _sum_by_step(losses)

    def probability(self, h: Array) -> Array:
        """Compute the probability that the text ends at h [..., K]."""
        probability: Array = kernels.sigmoid(self(h)[..., 0])
        return probability

    @staticmethod
    def _losses(z: Array, symbols: Ids, first: int = 0) -> tuple[Array, Array]:
        """Return the loss of each step, and its gradient with respect to z."""
        step = np.arange(first, first + len(z))[:, None]
        counted = (step >= 1) & (step <= symbols)
        ends = step == symbols
        # -log sigmoid(z) where the text ends, -log(1 - sigmoid(z)) where it goes on.
        losses = np.where(counted, np.logaddexp(0.0, np.where(ends, -z, z)), 0.0)
        p = np.exp(-np.logaddexp(0.0, -z))  # sigmoid(z)
        return losses, np.where(counted, p - ends, 0.0)


def _sum_by_step(losses: Array) -> Array:
    """Add losses [T, N] step by step, so that a text has the same bits in a batch as alone."""
    total: Array = np.add.accumulate(losses, axis=0)[-1]
    return total


class LengthOutput(ModuleGroup):
    """A softmax over the length, predicted from the start alone and then counted down at the input.

    Parameters are ``output.weight [L, K]`` and ``output.bias [L]`` of the softmax, and
    ``left.weight [L, E]``, whose rows are added to the embeddings of the ids.
    """

    output: Softmax
    left: Embedding

    def __init__(self, in_features: int, max_length: int, embedding_size: int, **options: Any) -> None:
        self.max_length = max_length
        shapes = length_shapes("tau", in_features, max_length, embedding_size)
        check_memory("parameters", shapes, options.get("dtype", "float32"))
        output = Softmax(in_features, max_length, **options)
        super().__init__(output=output, left=Embedding(max_length, embedding_size, **options))

    def add_step(self, batch: ModelBatch) -> ModelBatch:
        """Return the batch with one more step per row, its start alone, which predicts the length.

        Raises
        ------
        ValueError
            If a text is longer than `max_length`.
        """
        if batch.symbols.max() > self.max_length:
            longest = batch.symbols.max()
            raise ValueError(f"lengths: expected at most max_length={self.max_length}, got {longest}")
        T, N = batch.ids.shape
        none = np.full((1, N), -1, np.int64)
        left = np.maximum(batch.symbols - 1 - np.arange(T)[:, None], -1)
        return ModelBatch(
            np.concatenate([batch.ids[:1], batch.ids]),
            np.concatenate([none, batch.targets]),
            None if batch.lengths is None else batch.lengths + 1,
            batch.symbols,
            np.concatenate([none, left]),
        )

    def losses(self, y: Array, batch: ModelBatch) -> Array:
        """Compute ``-log`` of the probability of each row's length, [N], in nats."""
        return self.output.losses(np.ascontiguousarray(y[0]), batch.symbols - 1)

    def losses_and_gradients(self, y: Array, batch: ModelBatch, scale: float, dy: Array) -> Array:
        """Compute the losses; add the gradients of their scaled sum into `gradients` and into `dy`."""
        losses, dh = self.output.losses_and_gradients(
            np.ascontiguousarray(y[0]), batch.symbols - 1, scale=scale
        )
        dy[0] += dh
        return losses


def length_shapes(
    length_model: str | None, width: int, max_length: int | None, embedding_size: int | None
) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each parameter of a length model."""
    if length_model == "halt":
        return {"weight": (1, width), "bias": (1,)}
    if length_model == "tau":
        assert max_length is not None
        assert embedding_size is not None
        return {
            "output.weight": (max_length, width),
            "output.bias": (max_length,),
            "left.weight": (max_length, embedding_size),
        }
    return {}
