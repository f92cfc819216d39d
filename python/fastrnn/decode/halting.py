"""Texts whose end the model decides by a coin of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.decode.stopping import GOES_ON, HALT, EosOrLength, Reasons, Rows

if TYPE_CHECKING:
    from fastrnn.decode.draws import Uniforms

__all__ = ["Halting"]


@dataclass(frozen=True)
class Halting(EosOrLength):
    """Besides, after each symbol the model tosses a coin whether the text ends there.

    The stream gives the probability of it after each step, ``stream.halt_probability`` [N]. Each text has at
    least one symbol besides its prompt.

    Parameters
    ----------
    eos, min_length, max_length
        As for `EosOrLength`.
    likeliest : bool, default False
        End where that is likelier than going on, instead of by chance.

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
        self, stream: Any, rows: Rows, uniforms: Uniforms
    ) -> tuple[Reasons, NDArray[np.float64]] | None:
        """End by the stream's probability."""
        halt = np.asarray(stream.halt_probability, dtype=np.float64)[rows.place]
        asked = np.flatnonzero(rows.lengths >= max(1, self.min_length))
        ends = np.zeros(len(halt), dtype=np.bool_)
        ends[asked] = (0.5 if self.likeliest else uniforms(rows.text[asked])) < halt[asked]
        with np.errstate(divide="ignore"):  # minus infinity is right where a certain end is put off
            decision = np.log(np.where(ends, halt, 1.0 - halt))
        decision[rows.lengths == 0] = 0.0
        return np.where(ends, HALT, GOES_ON).astype(np.int8), decision
