"""The distribution from which the next symbol is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import as_integers, as_number, as_size
from fastrnn._foreign import of_others
from fastrnn.decode.truncation import ban, keep_likeliest, keep_typical, penalize_seen

__all__ = ["Sampling", "log_probabilities", "next_probabilities", "subtract_max"]


@dataclass(frozen=True)
class Sampling:
    """How the next symbol is drawn.

    Parameters
    ----------
    temperature : float, default 1.0
        Divides the logits: below 1 likely symbols become likelier; 0 always takes the likeliest.
    top_k : int, optional
        Draw only among the k likeliest symbols.
    top_p : float, optional
        Draw only among the fewest likeliest symbols whose probabilities sum to at least this, in (0, 1].
    typical : float, optional
        Draw only among the symbols whose information, -ln p, is closest to the distribution's entropy: the
        fewest whose probabilities sum to at least this, in (0, 1].
    repetition_penalty : float, default 1.0
        At least 1. Logits of symbols already in the sequence are divided by it if positive and multiplied by
        it if negative.
    banned : iterable of int, default ()
        Ids that are never drawn. Kept as a sorted tuple.

    Raises
    ------
    ValueError
        If a number is out of range.
    TypeError
        If a banned id is not an integer.

    Notes
    -----
    The options are applied in this order: penalty, ban, temperature, top-k, top-p, typical. Each works on the
    result of the previous one, normalised to sum to 1.

    Keskar et al. divide every logit by the penalty. For a negative logit that would be a reward, so it is
    multiplied here, as libraries now do. Adding a constant to all logits changes the effect of the penalty,
    although it does not change the distribution.

    References
    ----------
    Holtzman, Buys, Du, Forbes, Choi (2020), "The Curious Case of Neural Text Degeneration" (top-p).
    Meister, Pimentel, Wiher, Cotterell (2023), "Locally Typical Sampling".
    Keskar, McCann, Varshney, Xiong, Socher (2019), "CTRL: A Conditional Transformer Language Model for
    Controllable Generation", section 4.1 (repetition penalty).

    Examples
    --------
    >>> Sampling(temperature=0.8, top_k=10, banned=[3, 0]).banned
    (0, 3)
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    _: KW_ONLY
    typical: float | None = None
    repetition_penalty: float = 1.0
    banned: Iterable[int] = ()

    def __post_init__(self) -> None:
        as_number("temperature", self.temperature, least=0.0)
        if self.top_k is not None:
            as_size("top_k", self.top_k)
        for name, mass in (("top_p", self.top_p), ("typical", self.typical)):
            if mass is not None:
                as_number(name, mass, above=0.0, most=1.0)
        as_number("repetition_penalty", self.repetition_penalty, least=1.0)
        object.__setattr__(self, "banned", _as_banned(self.banned))

    @property
    def plain(self) -> bool:
        """Whether this is the model's own distribution, unchanged."""
        return self == _PLAIN


def _as_banned(ids: Iterable[int]) -> tuple[int, ...]:
    banned = tuple(sorted({*as_integers("banned", ids)}))
    if banned and banned[0] < 0:
        raise ValueError(f"banned: expected ids >= 0, got {banned[0]}")
    return banned


_PLAIN = Sampling()


def next_probabilities(
    logits: ArrayLike, sampling: Sampling | None = None, seen: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the probabilities with which the next symbol is drawn, from the logits of one step.

    Where symbols tie at a cut-off, those with the smaller ids are kept. A row of a batch has the same bits as
    alone.

    Parameters
    ----------
    logits : array_like of float, shape [V] or [N, V]
    sampling : Sampling, optional
        Default: the model's own distribution.
    seen : array_like of bool, shape as `logits`, optional
        Which symbols are already in the sequence; used by the repetition penalty only. Default: none.

    Returns
    -------
    probabilities : ndarray, float64, shape as `logits`
        Each row sums to 1.

    Raises
    ------
    ValueError
        If a shape is wrong, a logit is NaN, a whole row is minus infinity, a banned id is out of range, or
        the ban leaves nothing to draw.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.decode import Sampling, next_probabilities
    >>> next_probabilities(np.log([0.5, 0.125, 0.375]), Sampling(top_k=2)).round(6).tolist()
    [0.571429, 0.0, 0.428571]
    >>> next_probabilities([[2.0, 1.0], [0.0, 0.0]], Sampling(banned=[0])).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    values: NDArray[np.float64] = np.asarray(of_others("logits", logits), dtype=np.float64)
    if values.ndim not in (1, 2) or values.shape[-1] == 0:
        raise ValueError(f"logits: expected [V] or [N, V], got {list(values.shape)}")
    chosen = _PLAIN if sampling is None else sampling
    if chosen.repetition_penalty != 1.0 and seen is not None:
        values = penalize_seen(values, np.asarray(of_others("seen", seen)), chosen.repetition_penalty)
    below = subtract_max(values.reshape(-1, values.shape[-1]))
    if chosen.banned:
        below = subtract_max(ban(below, chosen.banned))
    if chosen.temperature == 0.0:
        greedy = np.zeros_like(below)
        greedy[np.arange(len(below)), below.argmax(axis=1)] = 1.0
        return greedy.reshape(values.shape)
    probabilities = _softmax(below, chosen.temperature)
    if chosen.top_k is not None or chosen.top_p is not None:
        probabilities = keep_likeliest(probabilities, chosen.top_k, chosen.top_p)
    if chosen.typical is not None:
        probabilities = keep_typical(probabilities, chosen.typical)
    return probabilities.reshape(values.shape)


def log_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the log-probability of each symbol under the model's own distribution, in nats.

    Parameters
    ----------
    logits : array_like, float [N, V]

    Returns
    -------
    log_probabilities : ndarray, float64, shape [N, V]

    Raises
    ------
    ValueError
        If a logit is NaN or a whole row is minus infinity.

    Examples
    --------
    >>> import numpy as np
    >>> log_probabilities(np.log([[0.5, 0.5], [3.0, 1.0]])).round(4).tolist()
    [[-0.6931, -0.6931], [-0.2877, -1.3863]]
    """
    below = subtract_max(logits if type(logits) is np.ndarray else np.asarray(of_others("logits", logits)))
    below -= np.log(np.add.reduce(np.exp(below), axis=1, keepdims=True))
    return below


def subtract_max(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return new logits [N, V] of the same distribution, shifted so that each row's highest is 0."""
    values = logits.astype(np.float64)
    highest = np.maximum.reduce(values, axis=1, keepdims=True)
    # One sum instead of two passes in the usual case; the sum of finite numbers may overflow.
    if not math.isfinite(np.add.reduce(highest, axis=None)) and not np.isfinite(highest).all():
        wrong = highest[~np.isfinite(highest)][0]
        raise ValueError(f"logits: the highest is {wrong}; the model's parameters are not usable")
    values -= highest
    return values


def _softmax(below: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the probabilities of logits whose highest is 0, overwriting the logits."""
    if temperature != 1.0:
        below /= temperature
    probabilities: NDArray[np.float64] = np.exp(below, out=below)
    probabilities /= np.add.reduce(probabilities, axis=1, keepdims=True)
    return probabilities
