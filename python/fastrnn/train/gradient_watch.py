"""The watch over gradients in training: when to warn that they vanish or explode, and what of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fastrnn.layers import Recurrent, Stack
from fastrnn.layers.description import parts_of
from fastrnn.train.diagnosis import TrainingWarning

if TYPE_CHECKING:
    from fastrnn.train.records import Record

__all__ = ["GradientWatch"]

# Vanishing: the network sees less than this fraction of the window, in this many diagnoses in a row, over at
# least this many steps, as a new LSTM sees few steps back until it has learnt to keep something.
_FRACTION, _DIAGNOSES, _STEPS = 0.1, 4, 500
# Exploding, where nothing clips: gradients grow this much on their way back, or their norm is this many times
# the usual. Where the norm is clipped: it is this many times the limit in most steps.
_GROWTH, _SPIKE, _FAR_ABOVE = 20.0, 20.0, 10.0
# The usual norm is a geometric mean over about this many steps, known after some.
_MEMORY, _KNOWN = 50, 5

_UNGATED = ("an LSTM or GRU", "orthogonal or identity recurrent weights")
_GATED = ("a larger bias of the forget gate",)
_SHORTER = "a shorter window, which costs less and loses little"


class GradientWatch(NamedTuple):
    """What the steps so far say of the size of the gradients, and of what has been warned.

    Attributes
    ----------
    steps : int
        Steps watched.
    log_norm : float
        Mean logarithm of the gradient's norm over the last steps.
    far_above : float
        Fraction of the last steps in which the norm was many times the limit.
    short, short_since, window : int
        Diagnoses in a row of a network that sees little of its window, the step of the first, and the largest
        window of them.
    warned : tuple of str
        What has been warned of: each once.
    """

    steps: int = 0
    log_norm: float = 0.0
    far_above: float = 0.0
    short: int = 0
    short_since: int = 0
    window: int = 0
    warned: tuple[str, ...] = ()

    def observed(
        self, record: Record, rnn: Recurrent[Any] | Stack, clip_norm: float | None, *, clipped: bool
    ) -> tuple[GradientWatch, tuple[TrainingWarning, ...]]:
        """Return the watch after a step, and what there is to warn of.

        Parameters
        ----------
        record : Record
        rnn : Recurrent or Stack
            The layers, on which the advice depends.
        clip_norm : float or None
            The limit on the norm.
        clipped : bool
            Whether there is a limit of any kind.
        """
        found = [self._vanishing(record, rnn), self._exploding(record, clip_norm, clipped=clipped)]
        warnings = tuple(one for one in found if one is not None and one.about not in self.warned)
        warned = (*self.warned, *(one.about for one in warnings))
        return self._counted(record, clip_norm, warned), warnings

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return {**self._asdict(), "warned": list(self.warned)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GradientWatch:
        """Return the watch that `to_json` described."""
        return cls(**{**value, "warned": tuple(value["warned"])})

    def _counted(self, record: Record, clip_norm: float | None, warned: tuple[str, ...]) -> GradientWatch:
        weight = 1.0 / min(self.steps + 1, _MEMORY)
        short, since, window = self._shortness(record)
        log = math.log(max(record.gradient_norm, 1e-300))
        far = clip_norm is not None and record.gradient_norm > _FAR_ABOVE * clip_norm
        return GradientWatch(
            steps=self.steps + 1,
            log_norm=self.log_norm + weight * (log - self.log_norm),
            far_above=self.far_above + weight * (far - self.far_above),
            short=short,
            short_since=since,
            window=window,
            warned=warned,
        )

    def _shortness(self, record: Record) -> tuple[int, int, int]:
        """Return `short`, `short_since` and `window` after a step."""
        diagnosis, same = record.diagnosis, (self.short, self.short_since, self.window)
        if diagnosis is None:
            return same
        window = max(self.window, diagnosis.window)
        if diagnosis.horizon >= _FRACTION * window:
            return 0, 0, 0
        if diagnosis.horizon >= _FRACTION * diagnosis.window:  # the rest of an epoch's text: too short to say
            return same
        return self.short + 1, self.short_since or record.step, window

    def _vanishing(self, record: Record, rnn: Recurrent[Any] | Stack) -> TrainingWarning | None:
        diagnosis = record.diagnosis
        if diagnosis is None:
            return None
        short, since, _ = self._shortness(record)
        if short == self.short or short < _DIAGNOSES or record.step - since < _STEPS:
            return None
        ungated = [part for part in parts_of(rnn) if part.gates == 1]
        advice = (*(_UNGATED if ungated else _GATED), _SHORTER)
        if diagnosis.horizon == 0.0:
            message = "gradients vanish: none reaches the states at all, whose units are saturated or dead"
            return TrainingWarning(
                "vanishing_gradients", record.step, message, ("a lower learning rate", *advice)
            )
        message = (
            f"gradients vanish: less than 1/1000 is left after {diagnosis.horizon:.0f} of the "
            f"{diagnosis.window} steps back, so hardly anything further back is learnt"
        )
        return TrainingWarning("vanishing_gradients", record.step, message, advice)

    def _exploding(self, record: Record, clip_norm: float | None, *, clipped: bool) -> TrainingWarning | None:
        diagnosis, norm, usual = record.diagnosis, record.gradient_norm, math.exp(self.log_norm)
        advice = ["a lower learning rate", "smaller or orthogonal recurrent weights", "a shorter window"]
        if clip_norm is not None and self.steps >= _MEMORY and self.far_above > 0.5:
            found = f"in most steps their norm is more than {_FAR_ABOVE:.0f} times the limit {clip_norm:g}"
        elif clipped:
            return None
        elif diagnosis is not None and diagnosis.growth > _GROWTH:
            found = f"they grow {diagnosis.growth:.3g} times over {diagnosis.window} steps back"
        elif self.steps >= _KNOWN and norm > _SPIKE * usual:
            found = f"their norm is {norm:.3g}, usually {usual:.2g}"
        else:
            return None
        if not clipped:
            found += ", and nothing clips them"
            advice.insert(0, "clipping the gradient's norm")
        return TrainingWarning(
            "exploding_gradients", record.step, f"gradients explode: {found}", tuple(advice)
        )
