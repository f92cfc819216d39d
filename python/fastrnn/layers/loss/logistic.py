"""The logistic loss: binary cross-entropy of logits, alone and fused with a linear layer."""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np

from fastrnn._arrays import NO_TARGET, Array, as_array, as_floats, check_shape
from fastrnn._checks import as_number
from fastrnn._dispatch import kernels
from fastrnn.layers.dense.linear import Linear
from fastrnn.layers.loss.counted import counted_elements
from fastrnn.layers.loss.cross_entropy import as_logits, as_weights
from fastrnn.layers.loss.reduction import gradient_scale, reduce_losses

__all__ = ["Logistic", "binary_cross_entropy"]


@overload
def binary_cross_entropy(
    logits: Any, targets: Any, *, mask: Any = None, lengths: Any = None,
    pos_weight: Any = None, label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[float, Array]: ...  # fmt: skip


@overload
def binary_cross_entropy(
    logits: Any, targets: Any, *, mask: Any = None, lengths: Any = None,
    pos_weight: Any = None, label_smoothing: float = 0.0,
    reduction: Literal["none"],
) -> tuple[Array, Array]: ...  # fmt: skip


def binary_cross_entropy(
    logits: Any,
    targets: Any,
    *,
    mask: Any = None,
    lengths: Any = None,
    pos_weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[float | Array, Array]:
    """Return the mean logistic loss of logits and its gradient.

    The loss of a logit x with target y and weight w of positive targets is
    ``-(w * y * log(sigmoid(x)) + (1 - y) * log(1 - sigmoid(x)))``, computed without overflow, as by
    ``torch.nn.BCEWithLogitsLoss``.

    Parameters
    ----------
    logits : array_like, float [..., K]
        float32 or float64; of a sequence [T, N, K] or [T, N].
    targets : array_like, bool, int or float [..., K]
        Probabilities in 0 .. 1; -1 means no target.
    mask : array_like, bool, optional
        False where there is no target: of the shape of `logits`, or of its first axes, such as [T, N].
    lengths : array_like, int [N], optional
        Steps of each sequence of [T, N, ...]; after them there is no target.
    pos_weight : float or array_like, float [K], optional
        w, to weigh precision against recall or frequent against rare classes; default 1.
    label_smoothing : float, default 0.0
        e, in [0, 1): y becomes ``(1 - e) * y + e / 2``.
    reduction : {"mean", "sum", "none"}
        "none": the loss of each element.

    Returns
    -------
    loss : float
        Mean over the elements that have a target, in nats. With "none": ndarray, float [..., K].
    dlogits : ndarray, float [..., K]
        Gradient of that loss, with "none" of the sum; zero where there is no target, whatever the logit.

    Raises
    ------
    ValueError
        If a shape does not fit, a target, length or weight is out of range, or there is no target to take the
        mean of.
    TypeError
        If the logits are neither float32 nor float64, or another argument is of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> logits = np.zeros((3, 2), np.float32)  # three steps of two sequences
    >>> targets = [[1, 0], [0, 1], [1, 0]]
    >>> loss, dlogits = fr.binary_cross_entropy(logits, targets, lengths=[3, 1], pos_weight=3.0)
    >>> round(loss, 6)
    1.386294
    >>> dlogits.tolist()
    [[-0.375, 0.125], [0.125, 0.0], [-0.375, 0.0]]
    """
    array = as_logits(logits, ("...", "K"))
    smoothing = as_number("label_smoothing", label_smoothing, least=0.0, below=1.0)
    wanted = _targets(targets, array.dtype, array.shape)
    counted = counted_elements("logits", array.shape, mask, lengths)
    if counted is not None:
        wanted = np.where(counted, wanted, array.dtype.type(NO_TARGET))
    count = int(np.count_nonzero(wanted != NO_TARGET))
    rows, width = math.prod(array.shape[:-1]), array.shape[-1]
    losses, dlogits = kernels.binary_cross_entropy(
        array.reshape(rows, width),
        wanted.reshape(rows, width),
        _weights(pos_weight, width, array.dtype),
        gradient_scale(reduction, count),
        smoothing,
    )
    return reduce_losses(losses, reduction, count, array.shape), dlogits.reshape(array.shape)


class Logistic(Linear):
    """A `Linear` layer whose outputs are logits of independent yes-or-no questions, with their logistic loss.

    ``losses`` and ``losses_and_gradients`` process rows in chunks: the logits are never stored at once. Its
    only precision is float32.

    Parameters
    ----------
    in_features, out_features, bias, dtype, seed
        As for `Linear`; ``out_features`` is the number of questions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Logistic
    >>> output = Logistic(3, 2, seed=0)
    >>> output.load_state_dict({"weight": np.zeros((2, 3)), "bias": np.zeros(2)})
    UnmatchedKeys(missing_keys=[], unexpected_keys=[])
    >>> h = np.ones((2, 3), np.float32)
    >>> losses, dh = output.losses_and_gradients(h, [[1, 0], [1, -1]], scale=0.5)
    >>> losses.astype(float).round(4).tolist(), output.gradients["bias"].tolist()
    ([[0.6931, 0.6931], [0.6931, 0.0]], [-0.5, 0.25])
    >>> output.probabilities(h).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """

    _has_precisions = False

    def probabilities(self, h: Any) -> Array:
        """Return the probability of each yes.

        Parameters
        ----------
        h : array_like, float [..., K]

        Returns
        -------
        p : ndarray, float [..., F]

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        p: Array = kernels.sigmoid(self(h))
        return p

    def losses(self, h: Any, targets: Any, *, pos_weight: Any = None) -> Array:
        """Return the logistic loss of each element.

        Parameters
        ----------
        h : array_like, float [M, K]
        targets : array_like, bool, int or float [M, F]
            In 0 .. 1; -1 means no target.
        pos_weight : float or array_like, float [F], optional
            See `binary_cross_entropy`.

        Returns
        -------
        losses : ndarray, float [M, F]
            In nats; 0 where there is no target.

        Raises
        ------
        ValueError
            If a shape does not fit, or a target or weight is out of range.
        """
        weight, bias = self.parameters["weight"], self.parameters.get("bias")
        h = as_floats("h", h, self.dtype, ("M", self.in_features))
        wanted = _targets(targets, self.dtype, (len(h), self.out_features))
        weights = _weights(pos_weight, self.out_features, self.dtype)
        losses, _ = kernels.linear_binary_cross_entropy(
            h, weight, bias, wanted, weights, 0.0, None, None, False
        )
        return losses

    def losses_and_gradients(
        self, h: Any, targets: Any, *, scale: float = 1.0, smoothing: float = 0.0, pos_weight: Any = None
    ) -> tuple[Array, Array]:
        """Return the logistic loss of each element and add the gradients of their scaled sum.

        Parameters
        ----------
        h, targets, pos_weight
            As for `losses`.
        scale : float, default 1.0
            Factor of the sum whose gradients are computed.
        smoothing : float, default 0.0
            Label smoothing e: a target y becomes ``(1 - e) * y + e / 2``.

        Returns
        -------
        losses : ndarray, float [M, F]
        dh : ndarray, float [M, K]

        Raises
        ------
        ValueError
            As for `losses`.
        """
        h = as_floats("h", h, self.dtype, ("M", self.in_features))
        losses, dh = kernels.linear_binary_cross_entropy(
            h,
            self.parameters["weight"],
            self.parameters.get("bias"),
            _targets(targets, self.dtype, (len(h), self.out_features)),
            _weights(pos_weight, self.out_features, self.dtype),
            scale,
            self.gradients["weight"],
            self.gradients.get("bias"),
            True,
            smoothing,
        )
        assert dh is not None
        return losses, dh


def _targets(targets: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Return targets in the dtype of the logits; the kernel checks their range."""
    array = as_array("targets", targets, dtype)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"targets: expected bool, integers or floats, got {array.dtype}")
    check_shape("targets", array, shape)
    return np.ascontiguousarray(array, dtype)


def _weights(pos_weight: Any, width: int, dtype: np.dtype[Any]) -> Array | None:
    """Return the weights of positive targets, [width] or [1]; the kernel checks that none is negative."""
    array = None if pos_weight is None else as_array("pos_weight", pos_weight, dtype)
    if array is not None and array.ndim == 0:
        return as_weights("pos_weight", array.reshape(1), 1, dtype)
    return as_weights("pos_weight", pos_weight, width, dtype)
