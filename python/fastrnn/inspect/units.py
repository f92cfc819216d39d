"""The ranking of units by how well their activation tracks a property of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, as_array
from fastrnn._checks import as_number, as_size
from fastrnn.inspect.trace import Trace

__all__ = ["UnitScore", "as_property", "chance_correlations", "correlations", "rank_units"]

Floats = NDArray[np.float64]
_ROWS = 4096  # steps of a signal that are converted to float64 at a time


class UnitScore(NamedTuple):
    """How well one unit tracks a property.

    Attributes
    ----------
    layer : str
    name : str
        The gate or state.
    unit : int
    correlation : float
        Pearson's, in [-1, 1], over the held-out steps; of a property of two values the point-biserial one. 0
        if the unit is constant.
    ranked_by : float
        The correlation over the other steps, by which the units were ranked.
    auc : float or None
        Of a property of two values, over the held-out steps: the probability that the unit is higher at a
        step of the higher value than at one of the lower; 0.5 is chance.
    threshold, accuracy : float or None
        The threshold of the unit that separates the two values best in the steps ranked by, and the fraction
        of held-out steps that it puts right.
    """

    layer: str
    name: str
    unit: int
    correlation: float
    ranked_by: float
    auc: float | None = None
    threshold: float | None = None
    accuracy: float | None = None


def rank_units(
    trace: Trace,
    property: Any,
    *,
    layers: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    held_out: float = 0.5,
    count: int | None = 20,
) -> list[UnitScore]:
    """Rank the units of a trace by how strongly they correlate with a property of the text.

    Among thousands of units some correlate with anything by chance, and the best of a ranking more than it
    deserves. So units are ranked by the first part of the steps, and their correlation is measured on the
    last part, which had no say. (Parts of a text in one piece each: neighbouring steps are too similar for a
    random split.) `chance_correlations` says what the best unit would reach with a property that has nothing
    to do with the text.

    Parameters
    ----------
    trace : Trace
    property : array_like, float, int or bool [T], or callable
        A number for each step; steps with NaN do not count. A callable gets the symbols: see
        `fastrnn.inspect.properties`.
    layers : sequence of str, optional
        Only these; default: all.
    names : sequence of str, optional
        Only the gates and states with these names; default: all.
    held_out : float, default 0.5
        The fraction of the steps, the last ones, on which the correlation is measured. 0: all steps are
        ranked by and measured on.
    count : int or None, default 20
        How many units to return, the best first; None: all.

    Returns
    -------
    scores : list of UnitScore
        In descending order of ``abs(ranked_by)``.

    Raises
    ------
    ValueError
        If the property has another length than the trace, is not finite, or is constant in one of the parts;
        if there is no such layer or name, the trace is not finite, or it is of numbers and the property
        callable.
    TypeError
        If the property is not numbers.

    References
    ----------
    Karpathy, Johnson, Li (2015), "Visualizing and Understanding Recurrent Networks". Radford, Jozefowicz,
    Sutskever (2017), "Learning to Generate Reviews and Discovering Sentiment".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> from fastrnn.inspect import properties, rank_units, trace
    >>> rnn = fr.LSTM(2, 8, seed=0)
    >>> x = np.random.default_rng(0).integers(2, size=200)  # ids
    >>> best, *_ = rank_units(trace(rnn, x), x == 1)
    >>> best.correlation > 0.9, best.auc
    (True, 1.0)
    """
    values = as_property(trace, property)
    part = as_number("held_out", held_out, least=0.0, below=1.0)
    most = None if count is None else as_size("count", count)
    ranked, measured = _split(values, part)
    both = np.where([ranked, measured], values, np.nan)
    found = []
    for layer, name, signal in _signals(trace, layers, names):
        own, held = correlations(signal, both)
        found += [UnitScore(layer, name, u, float(held[u]), float(own[u])) for u in range(len(own))]
    found.sort(key=lambda score: -abs(score.ranked_by))
    best = found[:most]
    levels = np.unique(values[~np.isnan(values)])
    if len(levels) != 2:
        return best
    return [_with_threshold(score, trace, values == levels[1], (ranked, measured)) for score in best]


def chance_correlations(
    trace: Trace,
    property: Any,
    *,
    layers: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    shifts: int = 20,
    seed: int = 0,
) -> Floats:
    """Return what the best unit reaches by chance: its correlation with the property moved along the text.

    The property is moved by a random number of steps, its end to the beginning: it keeps its shape, and loses
    its place in the text. A unit that is said to track the property should correlate far more than this.

    Parameters
    ----------
    trace, property, layers, names
        As for `rank_units`. NaN is left out where it comes to lie.
    shifts : int, default 20
    seed : int, default 0
        Of the random numbers of steps, each at least a tenth of T.

    Returns
    -------
    correlations : ndarray, float64 [shifts]
        For each shift the largest absolute correlation of all units, over all steps.

    Raises
    ------
    ValueError, TypeError
        As for `rank_units`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> x = np.random.default_rng(0).integers(2, size=500)
    >>> seen = fr.inspect.trace(fr.LSTM(2, 8, seed=0), x)
    >>> bool(fr.inspect.chance_correlations(seen, x == 1).max() < 0.3)
    True
    """
    values, times = as_property(trace, property), as_size("shifts", shifts)
    least = max(trace.steps // 10, 1)
    random = np.random.default_rng(as_size("seed", seed, least=0))
    steps = random.integers(least, max(trace.steps - least, least) + 1, size=times)
    moved = np.stack([np.roll(values, count) for count in steps])
    result = np.zeros(times)
    for _, _, signal in _signals(trace, layers, names):
        result = np.maximum(result, np.abs(correlations(signal, moved)).max(axis=1))
    return result


def correlations(signal: Array, values: Floats) -> Floats:
    """Return the correlations of all units with some properties, float64 [K, H]; 0 of constant units.

    Parameters
    ----------
    signal : ndarray, float [T, H]
    values : ndarray, float64 [K, T]
        Each with NaN at the steps that do not count for it.
    """
    inside = ~np.isnan(values)
    count = inside.sum(axis=1)[:, None]
    largest = np.nanmax(np.abs(values), axis=1)[:, None]
    values = values / np.where(largest > 0.0, largest, 1.0)  # whose squares are representable
    centred = np.where(inside, values - np.nanmean(values, axis=1)[:, None], 0.0)
    mean = signal.mean(axis=0, dtype=np.float64)
    total, squares, products = np.zeros((3, len(values), signal.shape[1]))
    for first in range(0, len(signal), _ROWS):
        rows = slice(first, first + _ROWS)
        wide, counted = signal[rows] - mean, inside[:, rows].astype(np.float64)
        total += counted @ wide
        products += centred[:, rows] @ wide
        squares += counted @ np.square(wide, out=wide)
    spread = squares - total * total / count
    # What is left of a constant unit is rounding.
    constant = spread <= 1e-13 * squares + count * (1e-12 * np.abs(mean)) ** 2
    norm = np.sqrt(np.where(constant, 1.0, spread) * np.square(centred).sum(axis=1)[:, None])
    return np.where(constant, 0.0, np.clip(products / norm, -1.0, 1.0))


def as_property(trace: Trace, property: Any) -> Floats:
    """Return the numbers of a property, float64 [T]."""
    if not isinstance(trace, Trace):
        raise TypeError(f"trace: expected a Trace, got {type(trace).__name__}")
    if callable(property):
        if trace.symbols is None:
            raise ValueError("property: expected an array, as the trace has no symbols, got a function")
        property = property(trace.symbols)
    array = as_array("property", property)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"property: expected numbers or bool, got {array.dtype}")
    if array.shape != (trace.steps,):
        raise ValueError(
            f"property: expected a number for each of {trace.steps} steps, got {list(array.shape)}"
        )
    values = array.astype(np.float64)
    if np.isinf(values).any():
        raise ValueError(
            f"property: expected finite numbers or NaN, got inf at step {int(np.isinf(values).argmax())}"
        )
    _check_varies(values, ~np.isnan(values))
    return values


def _check_varies(values: Floats, steps: NDArray[np.bool_], where: str = "", advice: str = "") -> None:
    """Raise ValueError if a property is constant in some steps."""
    own = values[steps]
    if not len(own) or own.min() == own.max():
        got = f"{own[0]:g} everywhere" if len(own) else "none"
        raise ValueError(f"property: expected different values{where}, got {got}{advice}")


def _split(values: Floats, part: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the steps to rank by and those to measure on; the same ones if nothing is held out."""
    known = ~np.isnan(values)
    if part == 0.0:
        return known, known
    first = np.arange(len(values)) < round(len(values) * (1 - part))
    for steps, where in ((known & first, "steps ranked by"), (known & ~first, "held-out steps")):
        _check_varies(values, steps, f" in the {where}", "; trace a longer text, or write held_out=0")
    return known & first, known & ~first


def _signals(
    trace: Trace, layers: Sequence[str] | None, names: Sequence[str] | None
) -> Iterator[tuple[str, str, Array]]:
    """Yield layer, name and array of the gates and states that are chosen; the states of each layer first."""
    known = list(
        dict.fromkeys(name for layer in trace.layers for name in (*trace.states[layer], *trace.gates[layer]))
    )
    for what, wanted, there in (("layers", layers, list(trace.layers)), ("names", names, known)):
        if isinstance(wanted, str):
            raise TypeError(f"{what}: expected a sequence of str, got a str; write ({wanted!r},)")
        for one in wanted or ():
            if one not in there:
                raise ValueError(f"{what}: expected some of {', '.join(there)}, got {one!r}")
    for layer in trace.layers if layers is None else layers:
        for name, signal in {**trace.states[layer], **trace.gates[layer]}.items():
            if names is not None and name not in names:
                continue
            if not np.isfinite(signal).all():
                raise ValueError(f"trace: expected finite numbers, got others in {name} of {layer}")
            yield layer, name, signal


def _with_threshold(
    score: UnitScore,
    trace: Trace,
    holds: NDArray[np.bool_],
    parts: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> UnitScore:
    """Return a score with what is known of a property of two values."""
    ranked, measured = parts
    signal = trace.signal(score.layer, score.name)[:, score.unit].astype(np.float64)
    rising = score.ranked_by >= 0
    threshold = best_threshold(signal[ranked], holds[ranked], rising=rising)
    said = signal[measured] > threshold if rising else signal[measured] <= threshold
    return score._replace(
        auc=area_under_curve(signal[measured], holds[measured]),
        threshold=threshold,
        accuracy=float((said == holds[measured]).mean()),
    )


def area_under_curve(values: Floats, holds: NDArray[np.bool_]) -> float:
    """Return the probability that a value where a property holds is above one where not; ties count half.

    Examples
    --------
    >>> area_under_curve(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    0.875
    """
    others = np.sort(values[~holds])
    below = np.searchsorted(others, values[holds], side="left") + np.searchsorted(
        others, values[holds], side="right"
    )
    return float(below.mean() / (2 * len(others)))


def best_threshold(values: Floats, holds: NDArray[np.bool_], *, rising: bool) -> float:
    """Return the threshold that puts most steps right: a property holds above it, or not `rising` up to it.

    Examples
    --------
    >>> best_threshold(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, True, False, True]), rising=True)
    0.5
    """
    order = np.argsort(values, kind="stable")
    own, positive = values[order], holds[order] if rising else ~holds[order]
    # Right, if the first k are said not to hold: those of them that do not, and those after that do.
    right = (
        np.concatenate([[0], np.cumsum(~positive)])
        + positive.sum()
        - np.concatenate([[0], np.cumsum(positive)])
    )
    between = np.concatenate([[True], own[1:] > own[:-1], [True]])  # no threshold parts equal values
    k = int(np.where(between, right, -1).argmax())
    if k == 0:
        return float(np.nextafter(own[0], -np.inf))
    return float(own[-1]) if k == len(own) else float((own[k - 1] + own[k]) / 2)
