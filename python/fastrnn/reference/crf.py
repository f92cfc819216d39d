"""The linear-chain conditional random field: log partition, marginals, likelihood, gradients, best path."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastrnn.reference._arrays import Floats, Integers, check_floats, check_shape


class CrfGradients(NamedTuple):
    """What `crf_loss` returns after the losses: gradients of emissions, transitions, start and end."""

    demissions: Floats
    dtransitions: Floats
    dstart: Floats
    dend: Floats


def crf_loss(
    emissions: Floats,
    scores: tuple[Floats, Floats, Floats],
    targets: Integers,
    lengths: Integers,
    scale: float = 1.0,
) -> tuple[Floats, CrfGradients]:
    r"""Compute the negative log-likelihood of each sequence's tags and its gradients.

    .. math::

        s(y) = b_{y_0} + \sum_t e_{t, y_t} + \sum_{t > 0} A_{y_{t-1}, y_t} + c_{y_{L-1}}

        L = \ln \sum_y e^{s(y)} - \ln \sum_{y \sim \mathrm{targets}} e^{s(y)}

    The second sum has one path if all targets are known. The gradient of a score is how often the paths of
    the first sum use it, in expectation, less the same of the second.

    Parameters
    ----------
    emissions : ndarray [T, N, K], float32 or float64
    scores : tuple of ndarray
        Transitions A [K, K] (from, to), start b [K] and end c [K]; -inf forbids.
    targets : ndarray [T, N], any integer dtype
        In 0 .. K - 1, or -1 for a tag that is not known.
    lengths : ndarray [N], any integer dtype
        Steps of each sequence; with 0 the loss is 0.
    scale : float
        Factor of the gradients, but not of the losses.

    Returns
    -------
    losses : ndarray [N], dtype of `emissions`
        In nats.
    gradients : CrfGradients
        Zero after the end of a sequence.

    References
    ----------
    Lafferty, McCallum, Pereira (2001), "Conditional Random Fields: Probabilistic Models for Segmenting and
    Labeling Sequence Data".

    Examples
    --------
    >>> import numpy as np
    >>> zeros = np.zeros((2, 2)), np.zeros(2), np.zeros(2)
    >>> losses, gradients = crf_loss(np.zeros((3, 1, 2)), zeros, np.array([[0], [1], [0]]), np.array([3]))
    >>> losses.round(6).tolist(), gradients.demissions[:, 0, 0].round(6).tolist()
    ([2.079442], [-0.5, 0.5, -0.5])
    """
    _check(emissions, scores, lengths)
    check_shape("targets", targets, emissions.shape[:2])
    losses = np.zeros(emissions.shape[1], emissions.dtype)
    gradients = CrfGradients(np.zeros_like(emissions), *map(np.zeros_like, scores))
    for n, length in enumerate(lengths):
        if length == 0:
            continue
        rows, known = emissions[:length, n], targets[:length, n]
        fitting = np.where(
            (known[:, None] == -1) | (known[:, None] == np.arange(rows.shape[1])), rows, -np.inf
        )
        all_paths, free = _forward_backward(rows, *scores)
        fitting_paths, clamped = _forward_backward(fitting, *scores)
        losses[n] = all_paths - fitting_paths
        gradients.demissions[:length, n] = scale * (free.demissions - clamped.demissions)
        for gradient, one, two in zip(gradients[1:], free[1:], clamped[1:], strict=True):
            gradient += scale * (one - two)
    return losses, gradients


def crf_marginals(
    emissions: Floats, scores: tuple[Floats, Floats, Floats], lengths: Integers
) -> tuple[Floats, Floats]:
    """Compute the probability of each tag at each step [T, N, K], and the log partition [N].

    Parameters
    ----------
    emissions, scores, lengths
        As for `crf_loss`.

    Returns
    -------
    marginals : ndarray [T, N, K], dtype of `emissions`
        Zero after the end of a sequence.
    log_partition : ndarray [N], dtype of `emissions`
    """
    _check(emissions, scores, lengths)
    marginals, log_partition = np.zeros_like(emissions), np.zeros(emissions.shape[1], emissions.dtype)
    for n, length in enumerate(lengths):
        if length:
            log_partition[n], expected = _forward_backward(emissions[:length, n], *scores)
            marginals[:length, n] = expected.demissions
    return marginals, log_partition


def crf_viterbi(
    emissions: Floats, scores: tuple[Floats, Floats, Floats], lengths: Integers
) -> tuple[list[Integers], Floats]:
    """Find the path with the largest score of each sequence (Viterbi 1967).

    Parameters
    ----------
    emissions, scores, lengths
        As for `crf_loss`.

    Returns
    -------
    paths : list of ndarray, int64 [length]
    scores : ndarray [N], dtype of `emissions`
    """
    _check(emissions, scores, lengths)
    transitions, start, end = scores
    paths, best = [], np.zeros(emissions.shape[1], emissions.dtype)
    for n, length in enumerate(lengths):
        path = np.zeros(length, np.int64)
        came_from = []
        for t in range(length):
            if t == 0:
                delta = start + emissions[0, n]
                continue
            through = delta[:, None] + transitions
            came_from.append(through.argmax(axis=0))
            delta = through.max(axis=0) + emissions[t, n]
        if length:
            path[-1], best[n] = (delta + end).argmax(), (delta + end).max()
        for t in range(length - 1, 0, -1):
            path[t - 1] = came_from[t - 1][path[t]]
        paths.append(path)
    return paths, best


def _forward_backward(
    emissions: Floats, transitions: Floats, start: Floats, end: Floats
) -> tuple[float, CrfGradients]:
    """Return the log partition of one sequence [L, K], and the expected use of each score."""
    alpha, beta = np.empty_like(emissions), np.empty_like(emissions)
    alpha[0], beta[-1] = start + emissions[0], end
    for t in range(1, len(emissions)):
        alpha[t] = np.logaddexp.reduce(alpha[t - 1][:, None] + transitions, axis=0) + emissions[t]
    for t in range(len(emissions) - 2, -1, -1):
        beta[t] = np.logaddexp.reduce(transitions + emissions[t + 1] + beta[t + 1], axis=1)
    log_partition = np.logaddexp.reduce(alpha[-1] + end)
    marginals = np.exp(alpha + beta - log_partition)
    pairs = alpha[:-1, :, None] + transitions + (emissions[1:] + beta[1:])[:, None, :]
    expected = np.exp(pairs - log_partition).sum(axis=0)
    return float(log_partition), CrfGradients(marginals, expected, marginals[0], marginals[-1])


def _check(emissions: Floats, scores: tuple[Floats, Floats, Floats], lengths: Integers) -> None:
    check_floats("emissions", emissions, ("T", "N", "K"))
    K = emissions.shape[2]
    for name, score, shape in zip(("transitions", "start", "end"), scores, ((K, K), (K,), (K,)), strict=True):
        check_floats(name, score, shape, emissions.dtype)
    check_shape("lengths", lengths, emissions.shape[1:2])
