"""Texts that end when the model's halt output says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.decode.stop_rule import CONTINUES, HALT, BatchRows, EosOrLength, Reasons

if TYPE_CHECKING:
    from fastrnn.decode.categorical import UniformStreams

__all__ = ["Halting"]


@dataclass(frozen=True)
class Halting(EosOrLength):
    """End as `EosOrLength` does, and also with the model's halt probability after each symbol.

    The stream provides that probability after each step, ``stream.halt_probability`` [N]. Each text has at
    least one symbol after its prompt.

    Parameters
    ----------
    eos, min_length, max_length
        As for `EosOrLength`.
    likeliest : bool, default False
        End where that is likelier than continuing, instead of at random.

    References
    ----------
    Goodfellow, Bengio, Courville (2016), "Deep Learning", section 10.2.3: the three ways in which a recurrent
    network's text may end.

    Examples
    --------
    >>> Halting(max_length=100)
    Halting(eos=None, min_length=0, max_length=100, likeliest=False)
    """

    likeliest: bool = False

    def before_symbol(
        self, stream: Any, rows: BatchRows, uniforms: UniformStreams
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """End rows with the stream's halt probability."""
        halt = np.asarray(stream.halt_probability, dtype=np.float64)[rows.positions]
        asked = np.flatnonzero(rows.lengths >= max(1, self.min_length))
        ends = np.zeros(len(halt), dtype=np.bool_)
        ends[asked] = (0.5 if self.likeliest else uniforms(rows.text[asked])) < halt[asked]
        with np.errstate(divide="ignore"):  # minus infinity is right where min_length delays a certain end
            decision = np.log(np.where(ends, halt, 1.0 - halt))
        decision[rows.lengths == 0] = 0.0
        return np.where(ends, HALT, CONTINUES).astype(np.int8), decision
