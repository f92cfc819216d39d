"""The loop that writes a batch of texts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.decode.distribution import Sampling, below_highest, next_probabilities
from fastrnn.decode.draws import Uniforms, draw
from fastrnn.decode.states import regroup
from fastrnn.decode.stopping import EOS, GOES_ON, LENGTH, REASONS, Place, Rows, StopRule

if TYPE_CHECKING:
    from fastrnn.models import LanguageModel

__all__ = ["Generated", "Writing"]


class Generated(NamedTuple):
    """A text that a model has written.

    Attributes
    ----------
    ids : ndarray, int64, shape [symbols]
        Neither the prompt nor the symbol that ended it.
    stopped_by : {"eos", "length", "halt", "tau"}
    log_probability : float
        Of what was drawn, given the prompt, under the model's own distribution whatever the sampling; in
        nats. The symbol or decision that ended the text is part of it, the cut at `max_length` is not.
    """

    ids: NDArray[np.int64]
    stopped_by: str
    log_probability: float


_ALL = slice(None)


class _Step(NamedTuple):
    """What a step has drawn; log-probabilities are ``terms - ln(sums)``."""

    texts: NDArray[np.intp]
    symbols: NDArray[np.int64]
    terms: NDArray[np.float64]
    sums: NDArray[np.float64]


class Writing:
    """A batch being written: arrays of an entry for each text, whatever rows the stream still has."""

    def __init__(
        self,
        model: LanguageModel,
        fed: list[NDArray[np.int64]],
        sampling: Sampling,
        rule: StopRule,
        uniforms: Uniforms,
    ) -> None:
        self.model, self.rule, self.uniforms = model, rule, uniforms
        self.sampling, self.plain = sampling, sampling.plain
        self.withholds_eos = rule.eos is not None and rule.min_length > 0
        self.prompts, self.sizes = _padded(fed)
        self.seen = _seen(model, fed) if sampling.repetition_penalty != 1.0 else None
        self.reasons = np.full(len(fed), LENGTH if rule.max_length == 0 else GOES_ON, dtype=np.int8)
        self.spare = np.zeros(len(fed), dtype=np.bool_)  # has a last symbol that is no part of it
        # What was drawn, step by step. Log-probabilities are left as their terms until the end.
        self.history: list[_Step] = []

    def run(self) -> list[Generated]:
        """Write all texts to their ends."""
        if self.rule.max_length == 0:
            return self._texts()
        stream, texts, sizes = self.model.stream(len(self.sizes)), np.arange(len(self.sizes)), self.sizes
        ids = self.prompts[:, 0].copy()
        going: Place = _ALL
        for step in itertools.count(1):
            rows = Rows(_ALL, texts, step - sizes)
            logits = self.rule.read(stream, ids, rows, self.uniforms)
            place = going if step >= self.prompts.shape[1] else self._read_on(ids, rows, step)
            if place is not _ALL:
                rows, logits = Rows(place, texts[place], rows.lengths[place]), logits[place]
            if rows.text.size and self._write(stream, logits, rows, ids):
                going = np.flatnonzero(self.reasons[texts] == GOES_ON)
                if not going.size:
                    break
                if 2 * len(going) < len(texts):
                    stream = regroup(self.model, stream, going)
                    texts, sizes, ids, going = texts[going], sizes[going], ids[going], _ALL
        return self._texts()

    def _read_on(self, ids: NDArray[np.int64], rows: Rows, step: int) -> NDArray[np.intp]:
        """Put the next ids of prompts into `ids`; give the rows that have read theirs and have not ended."""
        reading = rows.lengths < 0
        ids[reading] = self.prompts[rows.text[reading], step]
        return np.flatnonzero(~reading & (self.reasons[rows.text] == GOES_ON))

    def _write(self, stream: Any, logits: NDArray[Any], rows: Rows, ids: NDArray[np.int64]) -> bool:
        """Write the next symbol of each of these rows, into `ids` too; say whether a text has ended."""
        decided = self.rule.before_symbol(stream, rows, self.uniforms)
        step = self._draw(logits, rows)
        reasons = self.rule.after_symbol(step.symbols, rows)
        if decided is not None:
            step, reasons = _undone(step, reasons, *decided)
        if self.seen is not None:
            self.seen[rows.text, step.symbols] = True
        self.history.append(step)
        ids[rows.place] = step.symbols
        if reasons is None:
            return False
        self.reasons[rows.text] = reasons
        self.spare[rows.text] = (reasons == EOS) | (False if decided is None else decided[0] != GOES_ON)
        return bool(reasons.any())

    def _draw(self, logits: NDArray[Any], rows: Rows) -> _Step:
        below = below_highest(logits)
        weights = np.exp(below)
        sums = np.add.reduce(weights, axis=1)
        if not self.plain or self.withholds_eos:
            weights = self._changed(logits, rows)
        symbols = draw(weights, self.uniforms(rows.text))
        return _Step(rows.text, symbols, below[np.arange(len(symbols)), symbols], sums)

    def _changed(self, logits: NDArray[Any], rows: Rows) -> NDArray[np.float64]:
        """Give the probabilities where they are not the model's own."""
        if self.withholds_eos:
            logits = logits.copy()
            logits[rows.lengths < self.rule.min_length, self.rule.eos] = -np.inf
        return next_probabilities(logits, self.sampling, None if self.seen is None else self.seen[rows.text])

    def _texts(self) -> list[Generated]:
        """Sort what was drawn, step by step, by texts."""
        count = len(self.reasons)
        if not self.history:
            return [Generated(np.empty(0, dtype=np.int64), REASONS[LENGTH], 0.0) for _ in range(count)]
        columns = [np.concatenate(column) for column in zip(*self.history, strict=True)]
        texts, symbols, terms, sums = columns
        # bincount adds one after the other, whoever else is in the batch.
        totals = np.bincount(texts, weights=terms - np.log(sums), minlength=count).tolist()
        ends = np.bincount(texts, minlength=count).cumsum()
        ids = np.split(symbols[np.argsort(texts, kind="stable")], ends[:-1])
        return [
            Generated(one[:-1] if spare else one, REASONS[reason], total)
            for one, spare, reason, total in zip(ids, self.spare, self.reasons, totals, strict=True)
        ]


def _undone(
    step: _Step, reasons: NDArray[np.int8] | None, early: NDArray[np.int8], decision: NDArray[np.float64]
) -> tuple[_Step, NDArray[np.int8]]:
    """Take back what was drawn by texts that had ended before, and count the decisions in."""
    goes_on = early == GOES_ON
    terms, sums = np.where(goes_on, step.terms, 0.0) + decision, np.where(goes_on, step.sums, 1.0)
    reasons = early if reasons is None else np.where(goes_on, reasons, early)
    return step._replace(terms=terms, sums=sums), reasons


def _padded(fed: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sizes = np.array([len(ids) for ids in fed])
    prompts = np.zeros((len(fed), sizes.max()), dtype=np.int64)
    for row, ids in zip(prompts, fed, strict=True):
        row[: len(ids)] = ids
    return prompts, sizes


def _seen(model: LanguageModel, fed: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Say which symbols each prompt has; the start is no part of a text."""
    seen = np.zeros((len(fed), model.vocabulary_size), dtype=np.bool_)
    for row, ids in zip(seen, fed, strict=True):
        row[ids if model.start is None else ids[1:]] = True
    return seen
