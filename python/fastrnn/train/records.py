"""What goes into and comes out of the training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size

if TYPE_CHECKING:
    from fastrnn.data.sentences import SentenceBatches

__all__ = ["Record", "TrainingDiverged", "Validation", "check_finite"]


class TrainingDiverged(ArithmeticError):
    """The loss or the gradient is no longer a finite number; the parameters were left as they were."""


@dataclass(frozen=True)
class Record:
    """What one step of training showed.

    Attributes
    ----------
    step : int
        Steps made so far, this one included.
    epoch : float
        Passes through the training data so far.
    loss : float
        Mean over the step's tokens, in nats a token, before the parameters moved; with dropout and label
        smoothing where training has them.
    gradient_norm : float
        Global Euclidean norm, before clipping.
    tokens_per_second : float
        Tokens of the step by its wall-clock time.
    learning_rate : float
        The step's learning rate.
    valid_loss : float or None
        Mean over the validation text, in nats a token, after the step, where one was due; of the averaged
        parameters where there are any.
    """

    step: int
    epoch: float
    loss: float
    gradient_norm: float
    tokens_per_second: float
    learning_rate: float
    valid_loss: float | None = None


@dataclass(frozen=True)
class Validation:
    """A text to validate on, and when.

    Parameters
    ----------
    data : ndarray, int, shape [tokens], or SentenceBatches
        One long text, or sentences.
    every : int, default 500
        Steps between two evaluations.
    patience : int, optional
        Training stops after this many evaluations in a row without a new lowest loss.
    batch_size : int, default 1
        Streams that one long text is read in; see `evaluate`. Sentences come in batches of their own size.
    """

    data: NDArray[np.int64] | SentenceBatches
    every: int = 500
    patience: int | None = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        as_size("every", self.every)
        if self.patience is not None:
            as_size("patience", self.patience)
        as_size("batch_size", self.batch_size)


def check_finite(what: str, value: float, step: int) -> None:
    """Let training end before a number that is none reaches the parameters.

    Raises
    ------
    TrainingDiverged
        If the value is NaN or infinite.
    """
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"step {step}: the {what} is {value}; training stopped before the parameters were touched. "
            "Try a lower learning rate, a warm-up or a smaller bound on the gradient norm"
        )
