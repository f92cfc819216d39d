"""Gates, states and symbols as compact plain values for the script of the report."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.inspect.shown_symbols import describe_symbol

__all__ = [
    "Signal",
    "choose_units",
    "layer_widths",
    "pack_losses",
    "pack_signal",
    "pack_symbols",
    "packed",
    "signals_of",
]

_GATES = {
    "lstm": {
        "i": "input gate",
        "f": "forget gate",
        "g": "new values",
        "o": "output gate",
        "r": "relevance gate",
    },
    "gru": {"r": "reset gate", "z": "update gate", "n": "new state", "hn": "recurrent part of the new state"},
    "slstm": {
        "i": "input gate",
        "log_f": "log of the forget gate",
        "z": "new values",
        "o": "output gate",
    },
    "mingru": {"z": "update gate", "n": "new state"},
    "minlstm": {"f": "forget gate", "i": "input gate", "n": "new state", "share": "share of the new state"},
}
_STATES = {"h": "hidden state", "c": "cell state", "n": "normaliser", "m": "stabiliser"}


class Signal(NamedTuple):
    """One gate or state of one layer.

    Attributes
    ----------
    layer, name, title : str
    values : ndarray, float [T, H]
    gate : bool
    """

    layer: str
    name: str
    title: str
    values: Array
    gate: bool

    @property
    def is_signed(self) -> bool:
        """Whether a value is negative; the scale then has its zero in the middle."""
        return bool((self.values < 0).any())

    @property
    def bound(self) -> float | None:
        """1 if all values lie in -1 .. 1; None without a common bound."""
        return 1.0 if bool((np.abs(self.values) <= 1).all()) else None


def signals_of(trace: Any, cells: Mapping[str, str]) -> list[Signal]:
    """Return all gates and states of a trace, layer by layer; `cells` names the cell of each layer."""
    found = []
    for layer in trace.layers:
        for name, values in trace.gates[layer].items():
            title = _GATES.get(cells[layer], {}).get(name, "new value")
            found.append(Signal(layer, name, title, values, gate=True))
        for name, values in trace.states[layer].items():
            found.append(Signal(layer, name, _STATES.get(name, "state"), values, gate=False))
    return found


def packed(values: Any, dtype: str) -> str:
    """Return numbers as base64 of their little-endian bytes.

    Examples
    --------
    >>> packed([1, 2], "<u2")
    'AQACAA=='
    """
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")


def layer_widths(signals: Sequence[Signal]) -> dict[str, int]:
    """Return the number of units of each layer; its h may have fewer, if it is projected."""
    widths: dict[str, int] = {}
    for signal in signals:
        widths[signal.layer] = max(widths.get(signal.layer, 0), signal.values.shape[1])
    return widths


def choose_units(
    signals: Sequence[Signal], correlations: Sequence[NDArray[np.float64]], max_bytes: int
) -> dict[str, list[int]]:
    """Return the units of each layer that fit a size: all, or those that track a property best.

    Parameters
    ----------
    signals : sequence of Signal
    correlations : sequence of ndarray, float64 [properties, H]
        Of each signal.
    max_bytes : int
        Of all values as base64, a byte each before it.

    Returns
    -------
    units : dict of str to list of int
        For each layer, in ascending order; at least one.
    """
    steps = len(signals[0].values)
    each = max(1, int(max_bytes * 3 / 4 / (steps * len(signals))))
    units = {}
    for layer, width in layer_widths(signals).items():
        best = np.zeros(width)
        for signal, own in zip(signals, correlations, strict=True):
            if signal.layer == layer and len(own) and own.shape[1] == width:
                best = np.maximum(best, np.nan_to_num(np.abs(own)).max(axis=0))
        chosen = np.argsort(-best, kind="stable")[:each]
        units[layer] = sorted(int(unit) for unit in chosen)
    return units


def pack_signal(
    signal: Signal, units: Sequence[int], ranked: NDArray[np.float64], measured: NDArray[np.float64]
) -> dict[str, Any]:
    """Return one gate or state, each value rounded to a byte: 1/255 of 0 .. 1, or 1/127 of the largest.

    Parameters
    ----------
    signal : Signal
    units : sequence of int
    ranked, measured : ndarray, float64 [properties, H]
        Correlations; see `Tracking`.
    """
    width = signal.values.shape[1]
    kept = [unit for unit in units if unit < width]
    values = signal.values[:, kept].T.astype(np.float64)
    levels = 127 if signal.is_signed else 255
    top = np.full(len(kept), signal.bound) if signal.bound else np.abs(values).max(axis=1)
    scale = np.where(top > 0, top, 1.0) / levels
    rounded = np.rint(values / scale[:, None])
    return {
        "layer": signal.layer,
        "name": signal.name,
        "title": signal.title,
        "kind": "diverging" if signal.is_signed else "sequence",
        "bounded": signal.bound is not None,
        "width": width,
        "units": kept,
        "scale": packed(scale, "<f4"),
        "values": packed(rounded, "i1" if signal.is_signed else "u1"),
        "ranked": packed(ranked[:, kept], "<f4"),
        "correlations": packed(measured[:, kept], "<f4"),
    }


def pack_symbols(symbols: Sequence[str], others: Iterable[str]) -> tuple[list[dict[str, Any]], str, str]:
    """Return the table of all symbols, the text as places in it, and the other symbols as places.

    Parameters
    ----------
    symbols : sequence of str
        The text.
    others : iterable of str
    """
    places: dict[str, int] = {}

    def place(symbol: str) -> int:
        return places.setdefault(symbol, len(places))

    text = packed([place(symbol) for symbol in symbols], "<u4")
    rest = packed([place(symbol) for symbol in others], "<u4")
    table = [describe_symbol(symbol) for symbol in places]
    return table, text, rest


def pack_losses(losses: NDArray[np.float64]) -> dict[str, Any]:
    """Return the losses, and the loss at which the colour is full: the 98th percentile, at least 1 nat."""
    known = losses[np.isfinite(losses)]
    top = max(1.0, math.ceil(2 * float(np.quantile(known, 0.98))) / 2) if len(known) else 1.0
    return {"losses": packed(losses, "<f4"), "lossTop": top}
