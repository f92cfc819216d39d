"""Texts whose length the model draws first and then counts down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._representation import constructor_call
from fastrnn.decode.categorical import sample_categorical
from fastrnn.decode.distribution import log_probabilities, subtract_max
from fastrnn.decode.stop_rule import CONTINUES, LENGTH, PLANNED_LENGTH, BatchRows, EosOrLength, Reasons

if TYPE_CHECKING:
    from fastrnn.decode.categorical import UniformStreams

__all__ = ["PlannedLength"]


class PlannedLength:
    """End each text at a length drawn at its start; the prompt counts.

    The first step feeds the start twice: alone, for the distribution of the length
    (``stream.length_logits``), then with the drawn length. Lengths that leave no symbol to generate, or fewer
    than `min_length`, are not drawn. The log-probability is that of the length among those that leave a
    symbol: `min_length` does not change it. Use one object for one batch.

    Parameters
    ----------
    min_length, max_length
        As for `EosOrLength`.
    likeliest : bool, default False
        Take the likeliest length instead of a random one.

    Raises
    ------
    ValueError
        As for `EosOrLength`, and if a prompt leaves no length to draw.

    References
    ----------
    Goodfellow, Bengio, Courville (2016), "Deep Learning", section 10.2.3.

    Examples
    --------
    >>> PlannedLength(max_length=100).max_length
    100
    """

    min_length: int
    max_length: int | None
    likeliest: bool

    eos = None

    def __init__(
        self, min_length: int = 0, max_length: int | None = None, *, likeliest: bool = False
    ) -> None:
        limits = EosOrLength(None, min_length, max_length)
        self.min_length, self.max_length, self.likeliest = limits.min_length, limits.max_length, likeliest
        self._steps = 0
        # For each text: symbols of the prompt, the drawn length, and its log-probability.
        self._prompts = self._lengths = np.empty(0, np.int64)
        self._decision = np.empty(0)

    def __repr__(self) -> str:
        return constructor_call(self)

    def read(
        self, stream: Any, ids: NDArray[np.int64], rows: BatchRows, uniforms: UniformStreams
    ) -> NDArray[Any]:
        """Feed the ids, each with the remaining length of its text; draw the lengths at the first step."""
        if self._steps == 0:
            stream.step(ids)
            self._prompts = -rows.lengths
            self._draw_lengths(np.asarray(stream.length_logits, dtype=np.float64), rows, uniforms)
        left = self._lengths[rows.text] - self._steps
        self._steps += 1
        logits: NDArray[Any] = stream.step(ids, np.maximum(left, 0))
        return logits

    def _draw_lengths(self, logits: NDArray[np.float64], rows: BatchRows, uniforms: UniformStreams) -> None:
        lengths, prompts = np.arange(1, logits.shape[1] + 1), self._prompts[:, None]
        least = prompts + max(1, self.min_length)
        if least.max() > len(lengths):
            raise ValueError(
                f"prompts, min_length: expected at most {len(lengths)} symbols together, the model's maximum "
                f"text length, got {least.max()}"
            )
        weights = np.exp(subtract_max(np.where(lengths >= least, logits, -np.inf)))
        chosen = (
            weights.argmax(axis=1) if self.likeliest else sample_categorical(weights, uniforms(rows.text))
        )
        self._lengths = chosen + 1
        possible = log_probabilities(np.where(lengths > prompts, logits, -np.inf))
        self._decision = possible[np.arange(len(chosen)), chosen]

    def before_symbol(
        self, stream: Any, rows: BatchRows, uniforms: UniformStreams
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """Add the length's log-probability at the first symbol."""
        first = rows.lengths == 0
        if not first.any():
            return None
        return np.full(len(first), CONTINUES, np.int8), np.where(first, self._decision[rows.text], 0.0)

    def after_symbol(self, symbols: NDArray[np.int64], rows: BatchRows) -> Reasons | None:
        """End at the drawn length, or at the maximum."""
        lengths = rows.lengths + 1
        reasons = np.full(len(symbols), CONTINUES, dtype=np.int8)
        if self.max_length is not None:
            reasons[lengths >= self.max_length] = LENGTH
        reasons[lengths + self._prompts[rows.text] >= self._lengths[rows.text]] = PLANNED_LENGTH
        return reasons if reasons.any() else None
