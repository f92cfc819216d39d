"""What a report shows: gathered from a trace, in plain values for the page's script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.inspect.evaluation import named_layers
from fastrnn.inspect.lag_gradients import POSITIONS, lag_norms
from fastrnn.inspect.report_data import (
    Signal,
    choose_units,
    layer_widths,
    pack_losses,
    pack_signal,
    pack_symbols,
    packed,
    signals_of,
)
from fastrnn.inspect.text_trace import TextTrace
from fastrnn.inspect.trace import NextSteps, Trace
from fastrnn.inspect.tracking import Tracking, track
from fastrnn.language import LanguageModel
from fastrnn.layers.recurrent.engine.saturation import SATURATED, gate_saturation

__all__ = ["Contents"]

_TOP = 10  # likeliest next symbols
_CELLS = {"elman": "RNN", "slstm": "sLSTM", "mingru": "MinGRU", "minlstm": "MinLSTM", "jordan": "Jordan"}
_TITLES = {
    "line_position": "Position in the line",
    "at_line_start": "Start of a line",
    "word_position": "Position in the word",
    "at_word_start": "Start of a word",
    "word_number": "Words in the line",
    "is_upper": "Upper case",
    "is_letter": "Letters",
    "is_digit": "Digits",
    "is_space": "White space",
    "is_punctuation": "Punctuation",
}
# A page opens with the first of the properties, in their order, that a unit tracks at least so well.
_TRACKED = 0.5


@dataclass
class Contents:
    """All that a report shows of a trace.

    Parameters
    ----------
    model
        What was traced.
    text : TextTrace
    properties : mapping of str to ndarray, float64 [T]
    room : int
        Bytes for the values of gates and states.
    """

    model: Any
    text: TextTrace
    properties: Mapping[str, NDArray[np.float64]]
    room: int

    @property
    def seen(self) -> Trace:
        """The trace."""
        return self.text.trace

    @cached_property
    def signals(self) -> list[Signal]:
        """All gates and states."""
        return signals_of(self.seen, {name: spec.cell for name, spec in named_layers(self._reading.rnn)})

    @cached_property
    def tracking(self) -> Tracking:
        """How well units track the properties."""
        return track(self.signals, self.properties)

    @cached_property
    def units(self) -> dict[str, list[int]]:
        """The units of each layer that the page has room for."""
        return choose_units(self.signals, self.tracking.ranked, self.room)

    @property
    def left_out(self) -> dict[str, int]:
        """For each layer with units that the page has no room for, their number."""
        widths = layer_widths(self.signals)
        missing = {layer: widths[layer] - len(kept) for layer, kept in self.units.items()}
        return {layer: count for layer, count in missing.items() if count}

    @property
    def loss(self) -> float | None:
        """Mean loss of the symbols that were predicted, in nats."""
        if self.seen.loss is None or not np.isfinite(self.seen.loss).any():
            return None
        return float(np.nanmean(self.seen.loss))

    @property
    def _reading(self) -> Any:
        assert self.seen._reading is not None
        return self.seen._reading

    def to_plain(self) -> dict[str, Any]:
        """Return what the page's script reads."""
        traces = self._traces()
        return {
            "subtitle": self._subtitle(),
            "facts": self._facts(),
            "rounding": self._rounding(),
            "unitOfText": self._unit_of_text,
            "words": self.text.words,
            **self._symbols(),
            "traces": traces,
            "properties": [
                {"title": _title(name), "values": packed(values, "<f4")}
                for name, values in self.properties.items()
            ],
            "start": self._start(traces),
            "gradients": self._gradients(),
            "saturation": self._saturation(),
        }

    @property
    def _unit_of_text(self) -> str:
        return "Word" if self.text.words else "Character"

    def _subtitle(self) -> str:
        """Return the kind of the model and of its layers, such as "LSTM with 2 layers of 256 units"."""
        counts: dict[tuple[str, int, int], int] = {}
        for _, spec in named_layers(self._reading.rnn):
            key = (_CELLS.get(spec.cell, spec.cell.upper()), spec.directions, spec.hidden_size)
            counts[key] = counts.get(key, 0) + 1
        parts = []
        for (cell, directions, width), both in counts.items():
            count = both // directions
            layers = (
                f"{count} {'bidirectional ' if directions == 2 else ''}{'layer' if count == 1 else 'layers'}"
            )
            parts.append(f"{cell} with {layers} of {width:,} {'unit' if width == 1 else 'units'}")
        return f"{type(self.model).__name__}: {', '.join(parts)}"

    def _facts(self) -> list[list[str]]:
        what = self._unit_of_text.lower()
        facts = [
            ["Parameters", f"{self._reading.module.num_parameters:,}"],
            [f"{what.title()}s", f"{self.seen.steps:,}"],
        ]
        if self._reading.output is not None and self._reading.output.size:
            facts.append(["Symbols known", f"{self._reading.output.size:,}"])
        if self.loss is not None:
            perplexity = math.exp(min(self.loss, 700.0))
            facts += [
                ["Mean loss", f"{self.loss:.3f} nats"],
                ["Perplexity", f"{perplexity:,.2f}" if perplexity < 1e6 else f"{perplexity:.1e}"],
                [f"Bits per {what}", f"{self.loss / math.log(2):.3f}"],
            ]
        return facts

    def _rounding(self) -> str:
        rounding = (
            "Values are rounded to a byte: from 0 to 1 to 1/255, from \N{MINUS SIGN}1 to 1 to 1/127, others "
            "to 1/127 of the unit's largest. Losses, probabilities and correlations are float32."
        )
        if not self.left_out:
            return rounding
        few = ", ".join(
            f"{len(self.units[layer])} of {len(self.units[layer]) + count} in {layer}"
            for layer, count in self.left_out.items()
        )
        return f"{rounding} To keep the file small, it holds the units that track a property best: {few}."

    def _symbols(self) -> dict[str, Any]:
        """Return the symbols, their losses and the likeliest next ones."""
        assert self.seen.symbols is not None
        following = self._following()
        rows = [] if following is None or following.symbols is None else following.symbols
        table, ids, likeliest = pack_symbols(self.seen.symbols, chain.from_iterable(rows))
        found: dict[str, Any] = {
            "symbols": table,
            "ids": ids,
            "lineEnds": self.text.line_ends,
            "top": None,
            "losses": None,
        }
        if self.seen.loss is not None:
            found |= pack_losses(self.seen.loss)
        if following is not None:
            probabilities = packed(following.probabilities, "<f4")
            found["top"] = {"count": following.ids.shape[1], "ids": likeliest, "probabilities": probabilities}
        return found

    def _following(self) -> NextSteps | None:
        output = self._reading.output
        if output is None or output.probabilities is None or output.symbols is None:
            return None
        return self.seen.top(min(_TOP, output.size))

    def _traces(self) -> list[dict[str, Any]]:
        """Return the gates and states, without those of which no unit is kept."""
        signals = zip(self.signals, self.tracking.ranked, self.tracking.measured, strict=True)
        packed_signals = (pack_signal(one, self.units[one.layer], *both) for one, *both in signals)
        return [trace for trace in packed_signals if trace["units"]]

    def _start(self, traces: list[dict[str, Any]]) -> dict[str, int]:
        """Return the unit and the property with which the page opens."""
        start = {"trace": 0, "unit": traces[0]["units"][0], "property": 0}
        strongest = 0.0
        for number, score in enumerate(self.tracking.best(self.signals).values()):
            places = (
                place
                for place, one in enumerate(traces)
                if (one["layer"], one["name"]) == score[:2] and score.unit in one["units"]
            )
            place, correlation = next(places, None), abs(score.correlation)
            if place is not None and correlation > strongest:
                start = {"trace": place, "unit": score.unit, "property": number}
                strongest = correlation
                if correlation >= _TRACKED:
                    break
        return start

    def _gradients(self) -> dict[str, Any] | None:
        """Return the norms against lag, or why there are none; None for a model that predicts no symbols."""
        if not isinstance(self.model, LanguageModel):
            return None
        norms = lag_norms(self.model, self._reading)
        if isinstance(norms, str):
            return {"note": f"There are none: {norms}.", "lags": [], "layers": []}
        note = (
            "How far back a loss reaches: the norm of dL/dh, so many steps before the step that predicts a "
            f"symbol, L being the symbol's loss. Mean over up to {POSITIONS} positions in the text."
        )
        layers = [
            {"title": layer, "norms": [float(f"{norm:.4g}") for norm in row]}
            for layer, row in zip(self.seen.layers, norms, strict=True)
        ]
        return {"note": note, "lags": list(range(norms.shape[1])), "layers": layers}

    def _saturation(self) -> dict[str, Any]:
        rows = []
        for layer, spec in named_layers(self._reading.rnn):
            h = self.seen.states[layer]["h"]
            kept = [self.seen.gates[layer][name] for name in spec.gate_names]
            gates = np.stack(kept, axis=1) if kept else None
            for name, shares in gate_saturation(spec, gates, h, SATURATED).items():
                means = [
                    None if np.isnan(one).all() else float(one.mean()) for one in (shares.low, shares.high)
                ]
                rows.append({"label": f"{layer} {name}", "low": means[0], "high": means[1]})
        note = (
            f"The share of values near their ends, over all units and {self._unit_of_text.lower()}s: low is "
            "below 0.1 (\N{MINUS SIGN}0.9 where values may be negative), high is above 0.9. A saturated gate "
            "lets little gradient through."
        )
        return {"note": note, "rows": rows}


def _title(name: str) -> str:
    """Return the name of a property as a title."""
    title = _TITLES.get(name, name.replace("_", " "))
    return title[:1].upper() + title[1:]
