"""Verification of every peer's answer against the reference, before it is timed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastrnn.cli.benchmark.cases import Problem
from fastrnn.cli.benchmark.peers import numpy_reference
from fastrnn.cli.benchmark.task import Answer

__all__ = ["Disagreement", "expected_answer", "verify"]

#: Smallest divisor of a relative difference.
_SMALLEST = 1e-30


class Disagreement(Exception):
    """A peer's answer differs from the reference's; the message names the array and the difference."""


def expected_answer(problem: Problem) -> Answer:
    """Return the NumPy reference's answer, computed in float64."""
    task = numpy_reference.prepare(problem.in_dtype(np.float64))
    return task.answer(task.run())


def verify(who: str, answer: Answer, expected: Mapping[str, object], tolerance: float) -> float:
    """Compare an answer with the expected one.

    Parameters
    ----------
    who : str
        The peer and the problem, for the message.
    answer, expected : mapping of str to ndarray
    tolerance : float
        Largest allowed difference in an array, relative to the largest expected magnitude in it.

    Returns
    -------
    difference : float
        The largest relative difference found.

    Raises
    ------
    Disagreement
        If names or shapes differ, a value differs by more than the tolerance, or a value is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> verify("me", {"y": np.array([1.0, 4.0])}, {"y": np.array([1.0, 4.1])}, 0.1) < 0.03
    True
    >>> verify("me", {"y": np.array([1.0, 4.0])}, {"y": np.array([1.0, 5.0])}, 0.1)
    Traceback (most recent call last):
    ...
    fastrnn.cli.benchmark.verify.Disagreement: me: y differs from the reference by 1 at [1]: 4 instead of 5; \
relative to the largest magnitude 0.2, allowed 0.1
    """
    if set(answer) != set(expected):
        raise Disagreement(f"{who}: expected {sorted(expected)}, got {sorted(answer)}")
    worst = 0.0
    for name, value in expected.items():
        worst = max(worst, _compare(f"{who}: {name}", answer[name], np.asarray(value), tolerance))
    return worst


def _compare(what: str, got: np.ndarray, wanted: np.ndarray, tolerance: float) -> float:
    if got.shape != wanted.shape:
        raise Disagreement(f"{what}: expected shape {list(wanted.shape)}, got {list(got.shape)}")
    if not wanted.size:
        return 0.0
    error = np.abs(got.astype(np.float64) - wanted)
    relative = error / max(float(np.abs(wanted).max()), _SMALLEST)
    where = np.unravel_index(int(np.argmax(np.where(np.isnan(relative), np.inf, relative))), wanted.shape)
    worst = float(relative[where])
    if not worst <= tolerance:
        raise Disagreement(
            f"{what} differs from the reference by {error[where]:.6g} at {[int(i) for i in where]}: "
            f"{got[where]:.6g} instead of {wanted[where]:.6g}; "
            f"relative to the largest magnitude {worst:.6g}, allowed {tolerance:g}"
        )
    return worst
