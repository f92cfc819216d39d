"""When a text ends: the protocol of a stop rule, and the rule of an end symbol and a maximum length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size

if TYPE_CHECKING:
    from fastrnn.decode.categorical import UniformStreams

__all__ = [
    "CONTINUES",
    "EOS",
    "HALT",
    "LENGTH",
    "PLANNED_LENGTH",
    "REASONS",
    "BatchRows",
    "EosOrLength",
    "Reasons",
    "RowIndex",
    "StopRule",
]

# Why a text ended, as a number for each row of a batch, and by name.
CONTINUES, EOS, LENGTH, HALT, PLANNED_LENGTH = range(5)
REASONS = ("", "eos", "length", "halt", "tau")
Reasons: TypeAlias = NDArray[np.int8]
RowIndex: TypeAlias = "NDArray[np.intp] | slice"


class BatchRows(NamedTuple):
    """Some rows of a batch; each array has shape [n]."""

    positions: RowIndex  # rows of the stream's batch; slice(None) for all
    text: NDArray[np.intp]  # number of the text; stays the same when other texts leave the batch
    lengths: NDArray[np.int64]  # symbols generated; negative while that many of the prompt are unread


class StopRule(Protocol):
    """Decides which rows end. One object serves one batch, so it may keep state between the steps.

    Each step calls `read` for the whole batch, then the other two for the rows that have read their prompts.
    """

    @property
    def eos(self) -> int | None:
        """The id that ends a text."""

    @property
    def min_length(self) -> int:
        """Minimum length: `eos` is not drawn before it."""

    @property
    def max_length(self) -> int | None:
        """Maximum length."""

    def read(
        self, stream: Any, ids: NDArray[np.int64], rows: BatchRows, uniforms: UniformStreams
    ) -> NDArray[Any]:
        """Feed each row of the stream its next id and return the logits [N, V].

        A rule that draws lengths first can also draw them here, at the first step, and feed what is left of
        them at every step. ``rows.lengths`` is the length after this step. A text that has ended stays in the
        batch for some steps.
        """

    def before_symbol(
        self, stream: Any, rows: BatchRows, uniforms: UniformStreams
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """Return which rows end before another symbol, and the log-probability of each decision.

        Called before every symbol, including the first, when the stream has read all before it. None: all
        rows continue, and nothing was decided.
        """

    def after_symbol(self, symbols: NDArray[np.int64], rows: BatchRows) -> Reasons | None:
        """Return which rows end with the symbols just drawn; ``rows.lengths`` does not count them yet.

        None: all rows continue.
        """


@dataclass(frozen=True)
class EosOrLength:
    """End a text with the symbol `eos`, which is not part of it, or at `max_length` symbols.

    Parameters
    ----------
    eos : int, optional
    min_length : int, default 0
    max_length : int, optional

    Raises
    ------
    ValueError
        If a length is negative, or `min_length` is above `max_length`.

    Examples
    --------
    >>> EosOrLength(min_length=5, max_length=3)
    Traceback (most recent call last):
    ValueError: min_length: expected 0 .. max_length (3), got 5
    """

    eos: int | None = None
    min_length: int = 0
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.max_length is not None:
            as_size("max_length", self.max_length, least=0)
        as_size("min_length", self.min_length, least=0)
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(
                f"min_length: expected 0 .. max_length ({self.max_length}), got {self.min_length}"
            )

    def read(
        self, stream: Any, ids: NDArray[np.int64], rows: BatchRows, uniforms: UniformStreams
    ) -> NDArray[Any]:
        """Feed the ids."""
        logits: NDArray[Any] = stream.step(ids)
        return logits

    def before_symbol(
        self, stream: Any, rows: BatchRows, uniforms: UniformStreams
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """Return None: nothing is decided before a symbol."""
        return None

    def after_symbol(self, symbols: NDArray[np.int64], rows: BatchRows) -> Reasons | None:
        """End at `eos` or at the maximum length."""
        # Few texts end at any one step, so two cheap checks come first.
        full = None
        if self.max_length is not None and rows.lengths.max(initial=0) + 1 >= self.max_length:
            full = rows.lengths + 1 >= self.max_length
        if full is None and self.eos not in symbols.tolist():
            return None
        reasons = np.full(len(symbols), CONTINUES, dtype=np.int8)
        if full is not None:
            reasons[full] = LENGTH
        if self.eos is not None:
            reasons[symbols == self.eos] = EOS
        return reasons
