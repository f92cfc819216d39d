"""The loop that generates a batch of texts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.decode.categorical import UniformStreams, sample_categorical
from fastrnn.decode.distribution import Sampling, next_probabilities, subtract_max
from fastrnn.decode.state_rows import select_stream_rows
from fastrnn.decode.stop_rule import CONTINUES, EOS, LENGTH, REASONS, BatchRows, RowIndex, StopRule

if TYPE_CHECKING:
    from fastrnn.language import LanguageModel

__all__ = ["Generated", "GenerationLoop"]


class Generated(NamedTuple):
    """A text that a model has generated.

    Attributes
    ----------
    ids : ndarray, int64, shape [symbols]
        Neither the prompt nor the symbol that ended it.
    stopped_by : {"eos", "length", "halt", "tau"}
    log_probability : float
        Of what was drawn, given the prompt, under the model's own distribution whatever the sampling; in
        nats. Includes the symbol or decision that ended the text, but not the cut at `max_length`.
    """

    ids: NDArray[np.int64]
    stopped_by: str
    log_probability: float


_ALL = slice(None)


class _Step(NamedTuple):
    """The symbols drawn at a step; their log-probabilities are ``terms - ln(sums)``."""

    texts: NDArray[np.intp]
    symbols: NDArray[np.int64]
    terms: NDArray[np.float64]
    sums: NDArray[np.float64]


class GenerationLoop:
    """A batch of texts being generated: arrays with an entry for each text, finished or not."""

    model: LanguageModel
    rule: StopRule
    uniforms: UniformStreams
    sampling: Sampling
    plain: bool
    prompts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __init__(
        self,
        model: LanguageModel,
        inputs: list[NDArray[np.int64]],
        sampling: Sampling,
        rule: StopRule,
        uniforms: UniformStreams,
    ) -> None:
        self.model, self.rule, self.uniforms = model, rule, uniforms
        self.sampling, self.plain = sampling, sampling.plain
        self.delays_eos: bool = rule.eos is not None and rule.min_length > 0
        self.prompts, self.sizes = _padded(inputs)
        self.seen: NDArray[np.bool_] | None = (
            _seen(model, inputs) if sampling.repetition_penalty != 1.0 else None
        )
        self.reasons: NDArray[np.int8] = np.full(
            len(inputs), LENGTH if rule.max_length == 0 else CONTINUES, dtype=np.int8
        )
        self.drop_last: NDArray[np.bool_] = np.zeros(
            len(inputs), dtype=np.bool_
        )  # the last symbol is not part of the text
        self.history: list[_Step] = []

    def run(self, **context: Any) -> list[Generated]:
        """Generate all texts to their ends; `context` is that of the stream."""
        if self.rule.max_length == 0:
            return self._texts()
        stream = self.model.stream(len(self.sizes), **context)
        texts, sizes = np.arange(len(self.sizes)), self.sizes
        ids = self.prompts[:, 0].copy()
        active: RowIndex = _ALL
        for step in itertools.count(1):
            rows = BatchRows(_ALL, texts, step - sizes)
            logits = self.rule.read(stream, ids, rows, self.uniforms)
            index = active if step >= self.prompts.shape[1] else self._feed_prompts(ids, rows, step)
            if index is not _ALL:
                rows, logits = BatchRows(index, texts[index], rows.lengths[index]), logits[index]
            if rows.text.size and self._generate_symbol(stream, logits, rows, ids):
                active = np.flatnonzero(self.reasons[texts] == CONTINUES)
                if not active.size:
                    break
                if 2 * len(active) < len(texts):
                    stream = select_stream_rows(self.model, stream, active)
                    texts, sizes, ids, active = texts[active], sizes[active], ids[active], _ALL
        return self._texts()

    def _feed_prompts(self, ids: NDArray[np.int64], rows: BatchRows, step: int) -> NDArray[np.intp]:
        """Put the prompts' next ids into `ids`; return the rows past their prompt that have not ended."""
        reading = rows.lengths < 0
        ids[reading] = self.prompts[rows.text[reading], step]
        return np.flatnonzero(~reading & (self.reasons[rows.text] == CONTINUES))

    def _generate_symbol(
        self, stream: Any, logits: NDArray[Any], rows: BatchRows, ids: NDArray[np.int64]
    ) -> bool:
        """Draw the next symbol of each of these rows, also into `ids`; return whether a text has ended."""
        decided = self.rule.before_symbol(stream, rows, self.uniforms)
        step = self._draw(logits, rows)
        reasons = self.rule.after_symbol(step.symbols, rows)
        if decided is not None:
            step, reasons = _apply_early_ends(step, reasons, *decided)
        if self.seen is not None:
            self.seen[rows.text, step.symbols] = True
        self.history.append(step)
        ids[rows.positions] = step.symbols
        if reasons is None:
            return False
        self.reasons[rows.text] = reasons
        self.drop_last[rows.text] = (reasons == EOS) | (False if decided is None else decided[0] != CONTINUES)
        return bool(reasons.any())

    def _draw(self, logits: NDArray[Any], rows: BatchRows) -> _Step:
        below = subtract_max(logits)
        weights = np.exp(below)
        sums = np.add.reduce(weights, axis=1)
        if not self.plain or self.delays_eos:
            weights = self._modified_probabilities(logits, rows)
        symbols = sample_categorical(weights, self.uniforms(rows.text))
        return _Step(rows.text, symbols, below[np.arange(len(symbols)), symbols], sums)

    def _modified_probabilities(self, logits: NDArray[Any], rows: BatchRows) -> NDArray[np.float64]:
        """Return the probabilities to draw from, where they are not the model's own."""
        if self.delays_eos:
            logits = logits.copy()
            logits[rows.lengths < self.rule.min_length, self.rule.eos] = -np.inf
        return next_probabilities(logits, self.sampling, None if self.seen is None else self.seen[rows.text])

    def _texts(self) -> list[Generated]:
        """Collect the symbols of each text from the steps."""
        count = len(self.reasons)
        if not self.history:
            return [Generated(np.empty(0, dtype=np.int64), REASONS[LENGTH], 0.0) for _ in range(count)]
        columns = [np.concatenate(column) for column in zip(*self.history, strict=True)]
        texts, symbols, terms, sums = columns
        # bincount adds in the order of the steps, whatever else is in the batch.
        totals = np.bincount(texts, weights=terms - np.log(sums), minlength=count).tolist()
        ends = np.bincount(texts, minlength=count).cumsum()
        ids = np.split(symbols[np.argsort(texts, kind="stable")], ends[:-1])
        return [
            Generated(text[:-1] if drop_last else text, REASONS[reason], total)
            for text, drop_last, reason, total in zip(ids, self.drop_last, self.reasons, totals, strict=True)
        ]


def _apply_early_ends(
    step: _Step, reasons: NDArray[np.int8] | None, early: NDArray[np.int8], decision: NDArray[np.float64]
) -> tuple[_Step, NDArray[np.int8]]:
    """Undo the draws of texts that ended before this symbol, and add the decisions' log-probabilities."""
    continues = early == CONTINUES
    terms, sums = np.where(continues, step.terms, 0.0) + decision, np.where(continues, step.sums, 1.0)
    reasons = early if reasons is None else np.where(continues, reasons, early)
    return step._replace(terms=terms, sums=sums), reasons


def _padded(inputs: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sizes = np.array([len(ids) for ids in inputs])
    prompts = np.zeros((len(inputs), sizes.max()), dtype=np.int64)
    for row, ids in zip(prompts, inputs, strict=True):
        row[: len(ids)] = ids
    return prompts, sizes


def _seen(model: LanguageModel, inputs: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Return which symbols each prompt contains, without the start."""
    seen = np.zeros((len(inputs), model.vocabulary_size), dtype=np.bool_)
    for row, ids in zip(seen, inputs, strict=True):
        row[ids if model.start is None else ids[1:]] = True
    return seen
