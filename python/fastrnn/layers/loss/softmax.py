"""Output layers: linear map, softmax and cross-entropy fused, so that a batch's logits are never stored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array, as_floats, as_ids
from fastrnn._dispatch import kernels
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.precision import Precision, as_precision
from fastrnn.layers.dense.linear import Linear

if TYPE_CHECKING:
    from fastrnn._arrays import Ids
    from fastrnn.layers.dense.embedding import Embedding

__all__ = ["Softmax", "TiedSoftmax"]

MOST_LOGITS = 1 << 22  # at once, of the losses in int8


class Softmax(Linear):
    """A `Linear` layer whose outputs are the logits of a softmax, with its cross-entropy.

    ``losses`` and ``losses_and_gradients`` process the vocabulary in blocks: the logits of all tokens [M, V]
    are never stored at once.

    Parameters
    ----------
    in_features, out_features, bias, dtype, precision, seed
        As for `Linear`; ``out_features`` is V. Losses are computed from logits of the precision, in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Softmax
    >>> output = Softmax(3, 4, seed=0)
    >>> output.load_state_dict({"weight": np.zeros((4, 3)), "bias": np.zeros(4)})
    UnmatchedKeys(missing_keys=[], unexpected_keys=[])
    >>> losses, dh = output.losses_and_gradients(np.ones((2, 3), np.float32), np.array([1, 3]), scale=0.5)
    >>> losses.astype(float).round(4).tolist(), output.gradients["bias"].tolist()
    ([1.3863, 1.3863], [0.25, -0.25, 0.25, -0.25])
    """

    def losses(self, h: Array, targets: Ids) -> Array:
        """Return the cross-entropy of each token.

        Parameters
        ----------
        h : ndarray, float [M, K]
        targets : ndarray, int64 [M]
            In ``0 .. V - 1``; -1 means no target.

        Returns
        -------
        losses : ndarray, float [M]
            In nats; 0 where there is no target.

        Raises
        ------
        ValueError
            If a shape does not fit or a target is out of range.
        """
        weights = (self.parameters["weight"], self.parameters.get("bias"))
        return _losses(self, weights, h, targets)

    def losses_and_gradients(
        self, h: Array, targets: Ids, *, scale: float = 1.0, smoothing: float = 0.0
    ) -> tuple[Array, Array]:
        """Return the cross-entropy of each token and add the gradients of their scaled sum.

        Parameters
        ----------
        h, targets
            As for `losses`.
        scale : float, default 1.0
            Factor of the sum whose gradients are computed.
        smoothing : float, default 0.0
            Label smoothing e: the target distribution is ``(1 - e) onehot + e / V`` (Szegedy et al. 2016).

        Returns
        -------
        losses : ndarray, float [M]
        dh : ndarray, float [M, K]

        Raises
        ------
        ValueError
            As for `losses`.
        """
        weight, bias = self.parameters["weight"], self.parameters.get("bias")
        gradients = (self.gradients["weight"], self.gradients.get("bias"))
        return _train(h, (weight, bias), targets, (scale, smoothing), gradients, self.precision)


class TiedSoftmax(Module):
    """An output layer that shares an embedding's weight: one vector for a word as input and as output.

    Its own parameter is ``bias [V]``, initially zero.

    Parameters
    ----------
    embedding : Embedding
        [V, K]; K is the width of h.
    precision : {"float32", "bfloat16"}
        As for `Softmax`; the embedding itself, a lookup, stays as it is.

    Raises
    ------
    ValueError
        If the embedding's gradient is sparse, or the precision is not one of the two or contradicts the
        dtype.

    References
    ----------
    Press, Wolf (2017), "Using the Output Embedding to Improve Language Models". Inan, Khosravi, Socher
    (2017), "Tying Word Vectors and Word Classifiers".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> from fastrnn.layers import TiedSoftmax
    >>> embedding = fr.Embedding(4, 3, seed=0)
    >>> output = TiedSoftmax(embedding)
    >>> h = np.ones((2, 3), np.float32)
    >>> bool(np.allclose(output(h), h @ embedding.parameters["weight"].T))
    True
    """

    in_features: int
    out_features: int

    def __init__(self, embedding: Embedding, *, precision: str = "float32") -> None:
        if embedding.sparse:
            raise ValueError("embedding: expected sparse=False, as the output's gradient is dense")
        super().__init__({"bias": (embedding.num_embeddings,)}, embedding.dtype)
        self._precision = as_precision(precision, self.dtype)
        self.embedding = embedding
        self.in_features, self.out_features = embedding.embedding_dim, embedding.num_embeddings
        self._packed: tuple[tuple[float, float], Any] = ((-1, -1), None)

    def _set_precision(self, precision: Precision) -> None:
        self._precision = precision
        self.parameters._buffer.touch()  # the weights are packed again

    def __call__(self, h: Any) -> Array:
        """Return the logits.

        Parameters
        ----------
        h : array_like, float [..., K]

        Returns
        -------
        logits : ndarray, float [..., V]

        Raises
        ------
        ValueError
            If h has another width.
        TypeError
            If h has another dtype.
        """
        h = as_floats("h", h, self.dtype, ("...", self.in_features))
        rows = math.prod(h.shape[:-1])
        logits = kernels.linear_forward(self._packed_weights(), h.reshape(rows, self.in_features))
        return logits.reshape(*h.shape[:-1], self.out_features)

    def losses(self, h: Array, targets: Ids) -> Array:
        """Return the cross-entropy of each token, as `Softmax.losses` does."""
        weights = (self.embedding.parameters["weight"], self.parameters["bias"])
        return _losses(self, weights, h, targets)

    def losses_and_gradients(
        self, h: Array, targets: Ids, *, scale: float = 1.0, smoothing: float = 0.0
    ) -> tuple[Array, Array]:
        """Do as `Softmax.losses_and_gradients`, adding the weight's gradient to the embedding's."""
        weights = (self.embedding.parameters["weight"], self.parameters["bias"])
        gradients = (self.embedding.gradients["weight"], self.gradients["bias"])
        return _train(h, weights, targets, (scale, smoothing), gradients, self.precision)

    def _packed_weights(self) -> Any:
        """Return the packed weights, repacked if a parameter has changed."""
        versions = (self.parameters.version, self.embedding.parameters.version)
        if versions != self._packed[0]:
            weight = self.embedding.parameters["weight"]
            self._packed = (versions, kernels.linear_pack(weight, self.parameters["bias"], self.precision))
        return self._packed[1]

    def _bind(self, buffer: Any, start: int) -> None:
        super()._bind(buffer, start)
        self._packed = ((-1, -1), None)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_packed": ((-1, -1), None)}

    def __repr__(self) -> str:
        option = "" if self.precision == "float32" else f", precision={self.precision!r}"
        return f"TiedSoftmax({self.embedding!r}{option})"


def _checked(h: Any, weight: Array, targets: Any) -> tuple[Array, Ids]:
    return as_floats("h", h, weight.dtype, ("M", weight.shape[1])), as_ids("targets", targets, ("M",))


def _losses(
    output: Softmax | TiedSoftmax, weights: tuple[Array, Array | None], h: Array, targets: Ids
) -> Array:
    h, targets = _checked(h, weights[0], targets)
    if output.precision == "int8":
        return _losses_of_packed(output._packed_weights(), h, targets, output.out_features)
    losses, _ = kernels.linear_cross_entropy(
        h, *weights, targets, 0.0, None, None, False, precision=output.precision
    )
    return losses


def _losses_of_packed(packed: Any, h: Array, targets: Ids, width: int) -> Array:
    """Return losses from packed weights: to round weights to int8 takes longer than many products."""
    rows = max(1, MOST_LOGITS // width)
    losses = np.zeros(len(h), h.dtype)
    for begin in range(0, len(h), rows):
        own = slice(begin, begin + rows)
        logits = kernels.linear_forward(packed, h[own])
        losses[own], _ = kernels.softmax_cross_entropy(logits, targets[own], 0.0, 0.0, None)
    return losses


def _train(
    h: Array,
    weights: tuple[Array, Array | None],
    targets: Ids,
    scales: tuple[float, float],
    gradients: tuple[Array, Array | None],
    precision: Precision,
) -> tuple[Array, Array]:
    scale, smoothing = scales
    h, targets = _checked(h, weights[0], targets)
    losses, dh = kernels.linear_cross_entropy(
        h, *weights, targets, scale, *gradients, True, smoothing, precision
    )
    assert dh is not None
    return losses, dh
