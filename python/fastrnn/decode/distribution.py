"""The distribution that the next symbol is drawn from."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Sampling", "next_probabilities"]


@dataclass(frozen=True)
class Sampling:
    """How the next symbol is drawn.

    Parameters
    ----------
    temperature : float, default 1.0
        Logits are divided by it: below 1 likely symbols become likelier, 0 always takes the likeliest.
    top_k : int, optional
        Draw only among the k likeliest symbols.
    top_p : float, optional
        Draw only among the likeliest symbols that together hold at least this probability, in (0, 1].

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    Holtzman, Buys, Du, Forbes, Choi (2020), "The Curious Case of Neural Text Degeneration" (top-p).

    Examples
    --------
    >>> Sampling(temperature=0.8, top_k=10)
    Sampling(temperature=0.8, top_k=10, top_p=None)
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature: expected a finite number >= 0, got {self.temperature}")
        if self.top_k is not None and operator.index(self.top_k) < 1:
            raise ValueError(f"top_k: expected 1 or more symbols, got {self.top_k}")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p: expected a probability in (0, 1], got {self.top_p}")


def next_probabilities(logits: ArrayLike, sampling: Sampling | None = None) -> NDArray[np.float64]:
    """Turn the logits of one step into the probabilities that a symbol is drawn with.

    Temperature first, then top-k, then top-p on what is left. Among equally likely symbols those with the
    smaller ids are kept.

    Parameters
    ----------
    logits : array_like of float, shape [V]
    sampling : Sampling, optional
        Default: the model's own distribution.

    Returns
    -------
    probabilities : ndarray, float64, shape [V]
        Sums to 1.

    Raises
    ------
    ValueError
        If a logit is NaN or all of them are minus infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.decode import Sampling, next_probabilities
    >>> next_probabilities(np.log([0.5, 0.125, 0.375]), Sampling(top_k=2)).round(6).tolist()
    [0.571429, 0.0, 0.428571]
    """
    chosen = sampling or Sampling()
    values: NDArray[np.float64] = np.asarray(logits, dtype=np.float64)
    highest = values.max()
    if not np.isfinite(highest):
        raise ValueError(f"logits: the highest is {highest}; the model's parameters are not usable")
    if chosen.temperature == 0.0:
        greedy = np.zeros_like(values)
        greedy[values.argmax()] = 1.0
        return greedy
    probabilities: NDArray[np.float64] = np.exp((values - highest) / chosen.temperature)
    probabilities /= probabilities.sum()
    kept = len(values) if chosen.top_k is None else min(chosen.top_k, len(values))
    if kept == len(values) and chosen.top_p is None:
        return probabilities
    order = np.argsort(-probabilities, kind="stable")
    if chosen.top_p is not None:
        sums = probabilities[order[:kept]].cumsum()
        kept = int(np.searchsorted(sums, chosen.top_p * sums[-1])) + 1
    probabilities[order[kept:]] = 0.0
    probabilities /= probabilities.sum()
    return probabilities
