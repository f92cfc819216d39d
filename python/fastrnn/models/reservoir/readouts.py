"""How the readout of an echo state model is learned: settings, accumulation, solution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_number
from fastrnn.models.reservoir.passes import Pass
from fastrnn.models.reservoir.ridge import LeaveOneOut, Moments, Readout
from fastrnn.models.reservoir.rls import RecursiveLeastSquares

__all__ = ["Accumulator", "LearnedReadout", "ReadoutSettings", "accumulate", "check_one_pass", "solve"]

READOUTS = ("ridge", "rls")
Accumulator = Moments | RecursiveLeastSquares


@dataclass(frozen=True, kw_only=True)
class ReadoutSettings:
    """The settings of the readout, checked; `EchoStateModel` documents them.

    Attributes
    ----------
    readout : {"ridge", "rls"}
    ridges : tuple of float
        One, or the candidates; empty: candidates are chosen by the data ("loo").
    forgetting : float
    """

    readout: str
    ridges: tuple[float, ...]
    forgetting: float

    @classmethod
    def of(cls, model: Any) -> ReadoutSettings:
        """Check the settings of a model.

        Raises
        ------
        ValueError, TypeError
            If one is out of range or of a wrong kind; the message names it.
        """
        readout = as_choice("readout", model.readout, READOUTS)
        forgetting = as_number("forgetting", model.forgetting, above=0.0, most=1.0)
        if readout == "rls":
            return cls(readout=readout, ridges=(_of_rls(model.ridge),), forgetting=forgetting)
        if forgetting != 1.0:
            raise ValueError(f"forgetting: expected 1 with readout='ridge', got {forgetting:g}; use 'rls'")
        return cls(readout=readout, ridges=_as_ridges(model.ridge), forgetting=forgetting)

    @property
    def chooses(self) -> bool:
        """Whether the ridge is chosen by the leave-one-out error."""
        return len(self.ridges) != 1

    def accumulator(self, states: int, targets: int) -> Accumulator:
        """Return what the rows of training are added to."""
        if self.readout == "rls":
            return RecursiveLeastSquares(states, targets, ridge=self.ridges[0], forgetting=self.forgetting)
        return Moments(states, targets)


class LearnedReadout(NamedTuple):
    """A readout, the ridge that it has, and the leave-one-out error of each candidate."""

    readout: Readout
    ridge: float
    errors: dict[float, float]


def solve(settings: ReadoutSettings, accumulator: Accumulator, again: Pass) -> LearnedReadout:
    """Return the readout of what was accumulated; `again` is the pass to repeat where a ridge is chosen.

    Raises
    ------
    ValueError
        If the system is singular.
    """
    if isinstance(accumulator, RecursiveLeastSquares):
        return LearnedReadout(accumulator.readout, settings.ridges[0], {})
    if not settings.chooses:
        return LearnedReadout(accumulator.solve(settings.ridges[0]), settings.ridges[0], {})
    factorisation = accumulator.factorise()
    ridges = settings.ridges or factorisation.candidates()
    if 0.0 in ridges:
        factorisation.check_rank()
    left_out = LeaveOneOut(factorisation, ridges)
    left_out.add_all(again.blocks())
    errors = dict(zip(ridges, left_out.errors.tolist(), strict=True))
    return LearnedReadout(factorisation.solve(left_out.best), left_out.best, errors)


def accumulate(
    accumulator: Accumulator, blocks: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> tuple[int, float]:
    """Add blocks of rows; return their number, and for RLS the summed error before each row was learned."""
    rows, error = 0, 0.0
    for z, y in blocks:
        rows += len(z)
        if isinstance(accumulator, RecursiveLeastSquares):
            error += accumulator.add(z, y)
        else:
            accumulator.add(z, y)
    return rows, error


def check_one_pass(settings: ReadoutSettings) -> None:
    """Refuse to choose a ridge where the earlier data are gone.

    Raises
    ------
    ValueError
        If there are several candidates.
    """
    if settings.chooses:
        raise ValueError(
            "ridge: expected one number in partial_fit, as the choice among several reads all data twice; "
            "use fit, or take its ridge_"
        )


def _as_ridges(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):
        as_choice("ridge", value, ("loo",))
        return ()
    if np.ndim(value) == 0:
        return (as_number("ridge", value, least=0.0),)
    ridges = tuple(as_number(f"ridge[{i}]", one, least=0.0) for i, one in enumerate(value))
    if len(ridges) < 2:
        raise ValueError(f"ridge: expected a number, 'loo' or at least 2 candidates, got {len(ridges)}")
    return ridges


def _of_rls(value: Any) -> float:
    if isinstance(value, str) or np.ndim(value):
        raise ValueError(f"ridge: expected a number above 0 with readout='rls', got {value!r}")
    return as_number("ridge", value, above=0.0)
