"""When a text ends: what a rule is, and the one of an end symbol and a length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size

if TYPE_CHECKING:
    from fastrnn.decode.draws import Uniforms

__all__ = [
    "EOS",
    "GOES_ON",
    "HALT",
    "LENGTH",
    "PLANNED",
    "REASONS",
    "EosOrLength",
    "Place",
    "Reasons",
    "Rows",
    "StopRule",
]

# Why a text ended, as a number for each row of a batch, and by name.
GOES_ON, EOS, LENGTH, HALT, PLANNED = range(5)
REASONS = ("", "eos", "length", "halt", "tau")
Reasons: TypeAlias = NDArray[np.int8]
Place: TypeAlias = "NDArray[np.intp] | slice"


class Rows(NamedTuple):
    """Some rows of a batch; each array has shape [n]."""

    place: Place  # where in the stream's batch; slice(None) where all are
    text: NDArray[np.intp]  # which of all texts: a number that stays when others leave the batch
    lengths: NDArray[np.int64]  # symbols written; below 0 those of the prompt that are still to be read


class StopRule(Protocol):
    """Decides which rows end. One object serves one batch from its first step on, so it may keep a plan.

    Each step calls `read` for the whole batch, then the two others for the rows that have read their prompts.
    """

    @property
    def eos(self) -> int | None:
        """The id that ends a text."""

    @property
    def min_length(self) -> int:
        """As long as a text is shorter, `eos` is not drawn."""

    @property
    def max_length(self) -> int | None:
        """No text gets longer."""

    def read(self, stream: Any, ids: NDArray[np.int64], rows: Rows, uniforms: Uniforms) -> NDArray[Any]:
        """Feed each row of the stream its next id, and give the logits [N, V].

        A rule that plans lengths can feed more here: at the first step what they are drawn from, at every
        step what is left of them. ``rows.lengths`` is that after this step; a text that has ended stays in
        the batch for a while.
        """

    def before_symbol(
        self, stream: Any, rows: Rows, uniforms: Uniforms
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """Say which rows end instead of writing another symbol, and the log-probability of what was decided.

        It is called before every symbol, the first included, when the stream has read all before it. None:
        all go on, and nothing was decided.
        """

    def after_symbol(self, symbols: NDArray[np.int64], rows: Rows) -> Reasons | None:
        """Say which rows end with the symbols that they have just drawn; ``rows.lengths`` is that before.

        None: all go on.
        """


@dataclass(frozen=True)
class EosOrLength:
    """A text ends with the symbol `eos`, which is no part of it, or with `max_length` symbols.

    Parameters
    ----------
    eos : int, optional
    min_length : int, default 0
    max_length : int, optional

    Raises
    ------
    ValueError
        If a length is negative, or the least is above the greatest.

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

    def read(self, stream: Any, ids: NDArray[np.int64], rows: Rows, uniforms: Uniforms) -> NDArray[Any]:
        """Feed the ids."""
        logits: NDArray[Any] = stream.step(ids)
        return logits

    def before_symbol(
        self, stream: Any, rows: Rows, uniforms: Uniforms
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """Nothing is decided before a symbol."""
        return None

    def after_symbol(self, symbols: NDArray[np.int64], rows: Rows) -> Reasons | None:
        """End at `eos` or at the greatest length."""
        # Few texts end at any step: two cheap looks come before all else.
        full = None
        if self.max_length is not None and rows.lengths.max(initial=0) + 1 >= self.max_length:
            full = rows.lengths + 1 >= self.max_length
        if full is None and self.eos not in symbols.tolist():
            return None
        reasons = np.full(len(symbols), GOES_ON, dtype=np.int8)
        if full is not None:
            reasons[full] = LENGTH
        if self.eos is not None:
            reasons[symbols == self.eos] = EOS
        return reasons
