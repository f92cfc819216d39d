"""Texts whose length the model draws first, and counts down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.decode.distribution import below_highest, log_probabilities
from fastrnn.decode.draws import draw
from fastrnn.decode.stopping import GOES_ON, LENGTH, PLANNED, EosOrLength, Reasons, Rows

if TYPE_CHECKING:
    from fastrnn.decode.draws import Uniforms

__all__ = ["PlannedLength"]


class PlannedLength:
    """A text gets as long as the model has drawn from its start, the prompt included.

    The first step feeds the start twice: alone, for the distribution of the length
    (``stream.length_logits``), then with the length that was drawn. Lengths that leave no symbol to write, or
    fewer than `min_length`, are not drawn. The log-probability is that of the length among those that leave a
    symbol: `min_length` does not change it. An object serves one batch.

    Parameters
    ----------
    min_length, max_length
        As for `EosOrLength`.
    likeliest : bool, default False
        Take the likeliest length instead of one by chance.

    Raises
    ------
    ValueError
        As for `EosOrLength`, and when a prompt leaves no length to draw.

    References
    ----------
    Goodfellow, Bengio, Courville (2016), "Deep Learning", section 10.2.3.

    Examples
    --------
    >>> PlannedLength(max_length=100).max_length
    100
    """

    eos = None

    def __init__(
        self, min_length: int = 0, max_length: int | None = None, *, likeliest: bool = False
    ) -> None:
        limits = EosOrLength(None, min_length, max_length)
        self.min_length, self.max_length, self.likeliest = limits.min_length, limits.max_length, likeliest
        self._steps = 0
        # Of each text: symbols of the prompt, the length that was drawn, and its log-probability.
        self._prompts = self._lengths = np.empty(0, np.int64)
        self._decision = np.empty(0)

    def read(self, stream: Any, ids: NDArray[np.int64], rows: Rows, uniforms: Uniforms) -> NDArray[Any]:
        """Feed the ids, each with what is left of its text's length; at the first step draw the lengths."""
        if self._steps == 0:
            stream.step(ids)
            self._prompts = -rows.lengths
            self._plan(np.asarray(stream.length_logits, dtype=np.float64), rows, uniforms)
        left = self._lengths[rows.text] - self._steps
        self._steps += 1
        logits: NDArray[Any] = stream.step(ids, np.maximum(left, 0))
        return logits

    def _plan(self, logits: NDArray[np.float64], rows: Rows, uniforms: Uniforms) -> None:
        lengths, prompts = np.arange(1, logits.shape[1] + 1), self._prompts[:, None]
        least = prompts + max(1, self.min_length)
        if least.max() > len(lengths):
            raise ValueError(
                f"prompts, min_length: expected {len(lengths)} symbols at most together, as the model's "
                f"longest text has, got {least.max()}"
            )
        weights = np.exp(below_highest(np.where(lengths >= least, logits, -np.inf)))
        chosen = weights.argmax(axis=1) if self.likeliest else draw(weights, uniforms(rows.text))
        self._lengths = chosen + 1
        possible = log_probabilities(np.where(lengths > prompts, logits, -np.inf))
        self._decision = possible[np.arange(len(chosen)), chosen]

    def before_symbol(
        self, stream: Any, rows: Rows, uniforms: Uniforms
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """Count the length's log-probability in at the first symbol."""
        first = rows.lengths == 0
        if not first.any():
            return None
        return np.full(len(first), GOES_ON, np.int8), np.where(first, self._decision[rows.text], 0.0)

    def after_symbol(self, symbols: NDArray[np.int64], rows: Rows) -> Reasons | None:
        """End at the length that was drawn, or at the greatest."""
        written = rows.lengths + 1
        reasons = np.full(len(symbols), GOES_ON, dtype=np.int8)
        if self.max_length is not None:
            reasons[written >= self.max_length] = LENGTH
        reasons[written + self._prompts[rows.text] >= self._lengths[rows.text]] = PLANNED
        return reasons if reasons.any() else None
