"""Losses: each returns the mean over real elements and its gradient, in one native call.

=====================================  ====================================  =========  ==================
loss                                   of                                    unit       its own options
=====================================  ====================================  =========  ==================
`softmax_cross_entropy`                logits [..., V], ids [...]            nats       class_weight,
                                                                                        label_smoothing
`binary_cross_entropy`                 logits and probabilities [..., K]     nats       pos_weight,
                                                                                        label_smoothing
`mean_squared_error`                   predictions and targets [...]         squared
`mean_absolute_error`                  predictions and targets [...]         as they
`huber`                                predictions and targets [...]         squared    delta
`quantile`                             predictions [..., Q], targets [...]   as they    quantiles
`ctc`                                  logits [T, N, V], symbols of rows     nats       blank, ...
=====================================  ====================================  =========  ==================

All but `ctc` take the same arguments besides: ``mask=`` or ``lengths=`` say which elements are real, and
``reduction=`` is "mean", "sum" or "none". What is not real has no gradient, whatever it holds. Of no real
element there is no mean, which is an error; the sum is 0.

Examples
--------
>>> import fastrnn as fr
>>> loss, dpredictions = fr.losses.mean_squared_error([1.0, 4.0], [0.0, 4.0])
>>> loss, dpredictions.tolist()
(0.5, [1.0, 0.0])
"""

from typing import Any

from fastrnn.layers import (
    binary_cross_entropy,
    huber,
    mean_absolute_error,
    mean_squared_error,
    softmax_cross_entropy,
)
from fastrnn.layers import ctc_loss as ctc
from fastrnn.layers import quantile_loss as quantile

__all__ = [
    "binary_cross_entropy",
    "ctc",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "quantile",
    "softmax_cross_entropy",
]

# What other libraries call them, and the line to type.
_SOFTMAX = "softmax_cross_entropy(logits, targets), where a target of -1 is none"
_BINARY = "binary_cross_entropy(logits, targets), which takes logits, not probabilities"
_SQUARED = "mean_squared_error(predictions, targets)"
_ABSOLUTE = "mean_absolute_error(predictions, targets)"
_HUBER = "huber(predictions, targets, delta=1.0)"
_CTC = "ctc(logits, targets, lengths)"
_OTHER_NAMES = {
    "cross_entropy": _SOFTMAX,
    "CrossEntropyLoss": _SOFTMAX,
    "sparse_categorical_crossentropy": _SOFTMAX,
    "categorical_crossentropy": "softmax_cross_entropy(logits, targets.argmax(-1))",
    "nll_loss": f"{_SOFTMAX}: log-probabilities are logits too",
    "NLLLoss": f"{_SOFTMAX}: log-probabilities are logits too",
    "bce_loss": _BINARY,
    "BCELoss": _BINARY,
    "bce_with_logits": _BINARY,
    "BCEWithLogitsLoss": _BINARY,
    "binary_cross_entropy_with_logits": _BINARY,
    "binary_crossentropy": _BINARY,
    "mse": _SQUARED,
    "mse_loss": _SQUARED,
    "MSELoss": _SQUARED,
    "squared_error": _SQUARED,
    "mae": _ABSOLUTE,
    "l1_loss": _ABSOLUTE,
    "L1Loss": _ABSOLUTE,
    "absolute_error": _ABSOLUTE,
    "huber_loss": _HUBER,
    "HuberLoss": _HUBER,
    "smooth_l1_loss": f"{_HUBER}; with beta, divide loss and gradient of huber(..., delta=beta) by beta",
    "SmoothL1Loss": f"{_HUBER}; with beta, divide loss and gradient of huber(..., delta=beta) by beta",
    "quantile_loss": "quantile(predictions, targets, quantiles)",
    "pinball_loss": "quantile(predictions, targets, quantiles)",
    "ctc_loss": _CTC,
    "CTCLoss": _CTC,
}


def __getattr__(name: str) -> Any:
    line = _OTHER_NAMES.get(name)
    hint = f"; write fr.losses.{line}" if line else f"; there are {', '.join(__all__)}"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return list(__all__)
