"""Inputs and outputs of the training loop: validation data, step records and divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size
from fastrnn.data.examples import ExampleBatches
from fastrnn.data.sentences import SentenceBatches
from fastrnn.train.diagnosis import Diagnosis, TrainingWarning

__all__ = ["Record", "TrainingDiverged", "Validation", "check_finite"]


class TrainingDiverged(ArithmeticError):
    """A loss or the gradient is not finite.

    If it is the loss or the gradient of a step, the step changed no parameters; if it is the validation loss,
    the parameters are those after the step that the message names.
    """


@dataclass(frozen=True)
class Record:
    """Results of one training step.

    Attributes
    ----------
    step : int
        Steps taken so far, this one included.
    epoch : float
        Passes through the training data so far.
    loss : float
        Mean over the step's tokens, in nats per token, before the update; includes the effect of dropout and
        label smoothing. Of examples: over the targets, in the unit of the loss.
    gradient_norm : float
        Global Euclidean norm, before clipping.
    tokens_per_second : float
        Tokens, or targets, of the step divided by its wall-clock time.
    learning_rate : float
        The step's learning rate.
    valid_loss : float or None
        Mean over the validation data, in nats per token, after the step; computed with the averaged
        parameters if there are any. None if no validation was due.
    diagnosis : Diagnosis or None
        None if none was due; see ``diagnose_every`` of `Trainer`.
    warnings : tuple of TrainingWarning
        What this step made known about the training; most often empty.
    """

    step: int
    epoch: float
    loss: float
    gradient_norm: float
    tokens_per_second: float
    learning_rate: float
    valid_loss: float | None = None
    diagnosis: Diagnosis | None = None
    warnings: tuple[TrainingWarning, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold, without a diagnosis and warnings if there are none."""
        values = {
            name: value for name, value in asdict(self).items() if name not in ("diagnosis", "warnings")
        }
        if self.diagnosis is not None:
            values["diagnosis"] = self.diagnosis.to_json()
        if self.warnings:
            values["warnings"] = [warning.to_json() for warning in self.warnings]
        return values

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Record:
        """Return the record that `to_json` described.

        Raises
        ------
        ValueError, TypeError
            If its diagnosis or a warning has a wrong form.
        """
        diagnosis, warnings = value.get("diagnosis"), value.get("warnings", ())
        named = {
            "diagnosis": None if diagnosis is None else Diagnosis.from_json(diagnosis),
            "warnings": tuple(map(TrainingWarning.from_json, warnings)),
        }
        return cls(**{**value, **named})


@dataclass(frozen=True)
class Validation:
    """Validation data, and how often to evaluate it.

    Parameters
    ----------
    data : ndarray, int, shape [tokens], SentenceBatches or ExampleBatches
        One long text, sentences, or examples if the training data is.
    every : int, default 500
        Steps between evaluations.
    patience : int, optional
        Training stops after this many consecutive evaluations without a new lowest loss.
    batch_size : int, default 1
        Number of streams for one long text, see `evaluate`. Batches have their own batch size.

    Raises
    ------
    ValueError
        If a number is out of range, or the text has nothing to predict.
    """

    data: NDArray[np.int64] | SentenceBatches | ExampleBatches
    every: int = 500
    patience: int | None = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        as_size("every", self.every)
        if self.patience is not None:
            as_size("patience", self.patience)
        as_size("batch_size", self.batch_size)
        if not isinstance(self.data, (SentenceBatches, ExampleBatches)) and np.shape(self.data) in (
            (0,),
            (1,),
        ):
            raise ValueError(f"data: expected at least 2 tokens, one to predict, got {len(self.data)}")

    def check_ids(self, vocabulary_size: int) -> None:
        """Check that a model can read the data, before hours of training depend on it.

        Raises
        ------
        ValueError
            If an id is not below the size of its vocabulary, or below 0.
        """
        data = self.data
        if isinstance(data, ExampleBatches):  # of which the network's layers check their own
            return
        extremes = data.extremes if isinstance(data, SentenceBatches) else (np.min(data), np.max(data))
        for number in map(int, extremes):
            if not 0 <= number < vocabulary_size:
                raise ValueError(f"validation: {number} is out of range for {vocabulary_size} symbols")


def check_finite(what: str, value: float, step: int, *, kept: str = "it changed no parameters") -> None:
    """Check that a value is finite.

    Parameters
    ----------
    what : str
    value : float
    step : int
    kept : str
        What the message says of the parameters; by default the value is checked before a step changes them.

    Raises
    ------
    TrainingDiverged
        If the value is NaN or infinite.
    """
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"step {step}: the {what} is {value}; {kept}. "
            "Try a lower learning rate, a warm-up or a lower limit on the gradient norm"
        )
