"""Changes to a distribution before sampling: repetition penalty, banned symbols, top-k, top-p, typical."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["ban", "keep_likeliest", "keep_typical", "penalize_seen"]


def penalize_seen(
    values: NDArray[np.float64], seen: NDArray[np.bool_], penalty: float
) -> NDArray[np.float64]:
    """Lower the logits of symbols already seen; see `Sampling`."""
    if seen.shape != values.shape or seen.dtype != np.bool_:
        raise ValueError(f"seen: expected bool {list(values.shape)}, got {seen.dtype} {list(seen.shape)}")
    return np.where(seen, np.where(values > 0.0, values / penalty, values * penalty), values)


def ban(logits: NDArray[np.float64], banned: Iterable[int]) -> NDArray[np.float64]:
    """Set the logits [N, V] of banned symbols to minus infinity, in place."""
    columns = list(banned)
    if columns[-1] >= logits.shape[1]:
        raise ValueError(f"banned: {columns[-1]} is out of range for {logits.shape[1]} symbols")
    logits[:, columns] = -np.inf
    if np.isneginf(logits.max(axis=1)).any():
        raise ValueError("banned: nothing is left to draw")
    return logits


def keep_likeliest(
    probabilities: NDArray[np.float64], top_k: int | None, top_p: float | None
) -> NDArray[np.float64]:
    """Keep the likeliest symbols of each row: at most `top_k`, of these as few as reach `top_p` of their sum.

    Parameters
    ----------
    probabilities : ndarray, float64, shape [N, V]
    top_k : int, optional
    top_p : float, optional

    Returns
    -------
    probabilities : ndarray, float64, shape [N, V]
        The kept ones in their original proportions; each row sums to 1.

    Examples
    --------
    >>> import numpy as np
    >>> keep_likeliest(np.array([[0.25, 0.5, 0.125, 0.125]]), 3, 0.5).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return _keep_first(probabilities, order if top_k is None else order[:, :top_k], top_p)


def keep_typical(probabilities: NDArray[np.float64], mass: float) -> NDArray[np.float64]:
    """Keep the symbols of each row whose -ln p is closest to the row's entropy, as few as reach `mass`.

    Parameters
    ----------
    probabilities : ndarray, float64, shape [N, V]
        Each row sums to 1.
    mass : float
        In (0, 1].

    Returns
    -------
    probabilities : ndarray, float64, shape [N, V]
        As for `keep_likeliest`.

    References
    ----------
    Meister, Pimentel, Wiher, Cotterell (2023), "Locally Typical Sampling", equation 10.

    Examples
    --------
    The entropy is 1.36 nats. The likeliest symbol carries 0.69, so the next one, with 1.61, is more typical.

    >>> import numpy as np
    >>> keep_typical(np.array([[0.5, 0.2, 0.1, 0.1, 0.1]]), 0.15).tolist()
    [[0.0, 1.0, 0.0, 0.0, 0.0]]
    """
    # A symbol of probability 0 adds nothing to the entropy and is the last to be kept.
    possible = probabilities > 0.0
    information = -np.log(probabilities, out=np.full_like(probabilities, -np.inf), where=possible)
    terms = np.multiply(probabilities, information, out=np.zeros_like(probabilities), where=possible)
    entropy = terms.sum(axis=1, keepdims=True)
    return _keep_first(probabilities, np.argsort(np.abs(information - entropy), axis=1, kind="stable"), mass)


def _keep_first(
    probabilities: NDArray[np.float64], order: NDArray[np.intp], mass: float | None
) -> NDArray[np.float64]:
    """Keep the first of the symbols in `order` [N, K]: all, or as few as reach `mass` of their sum."""
    # Indices into the flat array: many times cheaper than indexing two axes.
    flat = order + np.arange(0, probabilities.size, probabilities.shape[1])[:, None]
    taken = probabilities.take(flat)
    if mass is not None:
        sums = taken.cumsum(axis=1)
        # A symbol is kept while the sum of those before it is below the mass.
        taken[:, 1:] *= sums[:, :-1] < mass * sums[:, -1:]
    taken /= taken.sum(axis=1, keepdims=True)
    kept = np.zeros_like(probabilities)
    kept.put(flat, taken)
    return kept
