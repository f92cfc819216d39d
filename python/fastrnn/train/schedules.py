"""Learning rate schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastrnn._checks import as_number, as_size
from fastrnn._plain import as_count, as_fields, as_finite, optional
from fastrnn._representation import constructor_call

__all__ = ["ConstantSchedule", "CosineSchedule", "PlateauSchedule", "StepSchedule"]


class ConstantSchedule:
    """Constant learning rate after a linear warm-up.

    Parameters
    ----------
    learning_rate : float
        The rate after the warm-up.
    warmup : int, default 0
        Steps over which the rate rises: step ``s``, counted from 1, has ``learning_rate * s / warmup``.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> schedule = ConstantSchedule(0.1, warmup=4)
    >>> [schedule.rate(step) for step in (1, 2, 4, 100)]
    [0.025, 0.05, 0.1, 0.1]
    """

    def __init__(self, learning_rate: float, *, warmup: int = 0) -> None:
        self.learning_rate: float = as_number("learning_rate", learning_rate, above=0.0)
        self.warmup: int = as_size("warmup", warmup, least=0)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step; steps count from 1."""
        if step < self.warmup:
            return self.learning_rate * step / self.warmup
        return self.learning_rate * self._factor(step)

    def observe(self, valid_loss: float) -> None:
        """Take note of a validation loss. Only `PlateauSchedule` acts on it."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `observe` has changed, as values that JSON can hold."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned."""

    def _factor(self, step: int) -> float:
        return 1.0

    def __repr__(self) -> str:
        return constructor_call(self)


class StepSchedule(ConstantSchedule):
    """Learning rate that is multiplied by a factor at regular intervals, from a given step.

    Parameters
    ----------
    learning_rate : float
        The first rate.
    every : int
        Steps between decays.
    factor : float, default 0.5
        In (0, 1].
    start : int, default 0
        The first decay comes ``every`` steps after this step.
    warmup : int, default 0
        As for `ConstantSchedule`.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Zaremba, Sutskever, Vinyals (2014), "Recurrent Neural Network Regularization" (constant for some epochs,
    then divided at each epoch).

    Examples
    --------
    >>> schedule = StepSchedule(1.0, every=10, factor=0.5, start=20)
    >>> [schedule.rate(step) for step in (1, 30, 31, 41)]
    [1.0, 1.0, 0.5, 0.25]

    Zaremba's small model, with 1,000 steps per epoch: four epochs at 1, then halved at each epoch:

    >>> schedule = StepSchedule(1.0, every=1000, factor=0.5, start=3000)
    >>> [schedule.rate(epoch * 1000 + 1) for epoch in range(7)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.25, 0.125]
    """

    every: int
    start: int

    def __init__(
        self, learning_rate: float, *, every: int, factor: float = 0.5, start: int = 0, warmup: int = 0
    ) -> None:
        super().__init__(learning_rate, warmup=warmup)
        self.every, self.start = as_size("every", every), as_size("start", start, least=0)
        self.factor: float = as_number("factor", factor, above=0.0, most=1.0)

    def _factor(self, step: int) -> float:
        return float(self.factor ** (max(step - 1 - self.start, 0) // self.every))


class CosineSchedule(ConstantSchedule):
    """Learning rate that falls along half a cosine to a minimum, after a linear warm-up.

    Parameters
    ----------
    learning_rate : float
        The highest rate.
    steps : int
        Total training steps. The first after the warm-up has the highest rate, the last one a little more
        than the minimum; later steps have the minimum.
    minimum : float, default 0.0
        The rate that would come after the last step.
    warmup : int, default 0
        As for `ConstantSchedule`.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Loshchilov, Hutter (2017), "SGDR: Stochastic Gradient Descent with Warm Restarts".

    Examples
    --------
    >>> schedule = CosineSchedule(0.5, steps=100)
    >>> [round(schedule.rate(step), 6) for step in (1, 51, 100, 101)]
    [0.5, 0.25, 0.000123, 0.0]
    """

    def __init__(self, learning_rate: float, *, steps: int, minimum: float = 0.0, warmup: int = 0) -> None:
        super().__init__(learning_rate, warmup=warmup)
        self.steps: int = as_size("steps", steps)
        self.minimum: float = as_number("minimum", minimum, least=0.0, most=self.learning_rate)

    def _factor(self, step: int) -> float:
        first = max(self.warmup, 1)
        done = min((step - first) / max(self.steps + 1 - first, 1), 1.0)
        last = self.minimum / self.learning_rate
        return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * done))


class PlateauSchedule(ConstantSchedule):
    """Learning rate that is multiplied by a factor when the validation loss stops falling.

    Parameters
    ----------
    learning_rate : float
        The first rate.
    factor : float, default 0.5
        In (0, 1].
    patience : int, default 0
        Evaluations without a new lowest loss to tolerate before the rate is lowered.
    minimum : float, default 0.0
        Lower limit of the rate.
    warmup : int, default 0
        As for `ConstantSchedule`.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> schedule = PlateauSchedule(1.0, factor=0.5)
    >>> for valid_loss in (2.0, 1.9, 1.95):
    ...     schedule.observe(valid_loss)
    >>> schedule.rate(100)
    0.5
    """

    def __init__(
        self,
        learning_rate: float,
        *,
        factor: float = 0.5,
        patience: int = 0,
        minimum: float = 0.0,
        warmup: int = 0,
    ) -> None:
        super().__init__(learning_rate, warmup=warmup)
        self.factor: float = as_number("factor", factor, above=0.0, most=1.0)
        self.patience: int = as_size("patience", patience, least=0)
        self.minimum: float = as_number("minimum", minimum, least=0.0, most=self.learning_rate)
        self._decays, self._waited, self._lowest = 0, 0, math.inf

    def observe(self, valid_loss: float) -> None:
        """Take note of a validation loss; lower the rate if patience has run out."""
        if valid_loss < self._lowest:
            self._lowest, self._waited = valid_loss, 0
            return
        self._waited += 1
        if self._waited > self.patience:
            self._decays, self._waited = self._decays + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the decays so far, the evaluations waited since, and the lowest loss (None: none yet)."""
        lowest = self._lowest if math.isfinite(self._lowest) else None
        return {"decays": self._decays, "waited": self._waited, "lowest": lowest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned."""
        fields = {"decays": as_count, "waited": as_count, "lowest": optional(as_finite)}
        given = as_fields("schedule", state, fields)
        self._decays, self._waited = given["decays"], given["waited"]
        self._lowest = math.inf if given["lowest"] is None else given["lowest"]

    def _factor(self, step: int) -> float:
        return max(float(self.factor**self._decays), self.minimum / self.learning_rate)
