"""Softmax and cross-entropy."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from fastrnn._arrays import FLOAT_DTYPES, NO_TARGET, Array, Ids, as_array, as_floats, as_ids, check_shape
from fastrnn._checks import as_number
from fastrnn._dispatch import kernels
from fastrnn.layers.loss.counted import counted_elements
from fastrnn.layers.loss.reduction import gradient_scale, reduce_losses

__all__ = ["as_logits", "as_weights", "softmax_cross_entropy"]


@overload
def softmax_cross_entropy(
    logits: Any, targets: Any, *, mask: Any = None, lengths: Any = None, class_weight: Any = None,
    label_smoothing: float = 0.0, reduction: Literal["mean", "sum"] = "mean",
) -> tuple[float, Array]: ...  # fmt: skip


@overload
def softmax_cross_entropy(
    logits: Any, targets: Any, *, mask: Any = None, lengths: Any = None, class_weight: Any = None,
    label_smoothing: float = 0.0, reduction: Literal["none"],
) -> tuple[Array, Array]: ...  # fmt: skip


def softmax_cross_entropy(
    logits: Any,
    targets: Any,
    *,
    mask: Any = None,
    lengths: Any = None,
    class_weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[float | Array, Array]:
    """Return the mean cross-entropy of softmax(logits) and its gradient.

    Parameters
    ----------
    logits : array_like, float [..., V]
        float32 or float64; of a sequence [T, N, V].
    targets : array_like, int [...]
        In ``0 .. V - 1``; -1 means no target.
    mask : array_like, bool, optional
        False where there is no target: of the shape of `targets`, or of its first axes.
    lengths : array_like, int [N], optional
        Steps of each sequence of [T, N, ...]; after them there is no target.
    class_weight : array_like, float [V], optional
        At least 0. The weight of its target's class multiplies an element's loss, and counts in the mean as
        so many elements. Default: 1 each.
    label_smoothing : float, default 0.0
        e, in [0, 1): the target distribution is ``(1 - e) * onehot + e / V`` (Szegedy et al. 2016).
    reduction : {"mean", "sum", "none"}
        "none": the loss of each element.

    Returns
    -------
    loss : float
        Mean over the elements that have a target, in nats. With "none": ndarray, float [...].
    dlogits : ndarray, float [..., V]
        Gradient of that loss, with "none" of the sum; zero where there is no target, whatever the logits.

    Raises
    ------
    ValueError
        If a shape does not fit, a target, length or weight is out of range, or there is no target to take the
        mean of.
    TypeError
        If the logits are neither float32 nor float64, or another argument is of the wrong kind.

    Notes
    -----
    With `class_weight` and `label_smoothing` together, the whole smoothed loss is multiplied by the weight of
    the target's class; PyTorch weighs the part of each class by the weight of that class.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> loss, dlogits = fr.softmax_cross_entropy(np.zeros((2, 4)), [3, -1])
    >>> round(loss, 6), dlogits[0].tolist()
    (1.386294, [0.25, 0.25, 0.25, -0.75])
    """
    array = as_logits(logits, ("...", "V"))
    smoothing = as_number("label_smoothing", label_smoothing, least=0.0, below=1.0)
    width = array.shape[-1]
    ids = _as_targets(targets, array.shape[:-1], width)
    counted = counted_elements("targets", ids.shape, mask, lengths)
    if counted is not None:
        ids = np.where(counted, ids, NO_TARGET)
    weights = as_weights("class_weight", class_weight, width, array.dtype)
    real = ids[(ids >= 0) & (ids < width)]  # the kernel refuses the others
    count = len(real) if weights is None else float(weights[real].sum(dtype=np.float64))
    scale = gradient_scale(reduction, count if len(real) else int(np.count_nonzero(ids != NO_TARGET)))
    losses, dlogits = kernels.softmax_cross_entropy(
        array.reshape(ids.size, width), ids.reshape(-1), scale, smoothing, weights
    )
    return reduce_losses(losses, reduction, count, ids.shape), dlogits.reshape(array.shape)


def as_logits(logits: Any, pattern: tuple[str, ...]) -> Array:
    """Return logits as floats of a shape.

    Raises
    ------
    ValueError
        If they have another shape.
    TypeError
        If they are neither float32 nor float64.
    """
    array = as_array("logits", logits, np.dtype(np.float64))
    if array.dtype not in FLOAT_DTYPES:
        hint = "; write logits.astype(np.float32)" if array.dtype.kind in "fiuV" else ""
        raise TypeError(f"logits: expected float32 or float64, got {array.dtype}{hint}")
    return as_floats("logits", array, array.dtype, pattern)


def as_weights(name: str, weights: Any, width: int, dtype: np.dtype[Any]) -> Array | None:
    """Return weights [width] in the dtype of the logits; the kernel checks that none is negative.

    Raises
    ------
    ValueError
        If they have another shape.
    TypeError
        If they are no numbers.
    """
    if weights is None:
        return None
    if isinstance(weights, dict):
        raise TypeError(f"{name}: expected floats [{width}], a weight for each class in order, got a dict")
    array = as_array(name, weights, dtype)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected floats, got {array.dtype}")
    check_shape(name, array, (width,))
    return np.ascontiguousarray(array, dtype)


def _as_targets(targets: Any, shape: tuple[int, ...], width: int) -> Ids:
    """Return ids; -100 for none, and rows of one-hot vectors, are answered with the line to type."""
    if tuple(getattr(targets, "shape", ())) == (*shape, width):
        raise ValueError(
            f"targets: expected ids {list(shape)}, got {[*shape, width]}; of one-hot rows "
            "write targets.argmax(-1)"
        )
    ids = as_ids("targets", targets, shape)
    if (ids == -100).any():
        raise ValueError(
            "targets: expected ids, or -1 for none, got -100; write np.where(targets == -100, -1, targets)"
        )
    return ids
