"""Attention over the steps of a sequence: scores, softmax and weighted mean, and their backward pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastrnn.reference._arrays import Floats, Integers, check_floats, check_shape


class AttentionGradients(NamedTuple):
    """What `attention_backward` returns: gradients with the shapes of queries, keys, values and score."""

    dqueries: Floats
    dkeys: Floats
    dvalues: Floats
    dscore: Floats | None


def attention_forward(
    queries: Floats,
    keys: Floats,
    values: Floats,
    lengths: Integers,
    score: Floats | None = None,
    scale: float = 1.0,
) -> tuple[Floats, Floats]:
    r"""Compute the context and the weights of every query.

    .. math::

        e_{ts} = v \cdot \tanh(q_t + k_s) \quad\text{or}\quad e_{ts} = \text{scale}\; q_t \cdot k_s

        w_{ts} = e^{e_{ts}} / \sum_{s'} e^{e_{ts'}}, \qquad c_t = \sum_s w_{ts} h_s

    Parameters
    ----------
    queries : ndarray [T, N, A], float32 or float64
        After their projection.
    keys : ndarray [S, N, A], dtype of `queries`
        After their projection and with the bias.
    values : ndarray [S, N, K], dtype of `queries`
    lengths : ndarray [N], any integer dtype
        Steps of each sequence; what follows is not read and has weight 0.
    score : ndarray [A], dtype of `queries`, optional
        v of additive scores; without, scores are multiplicative.
    scale : float, default 1
        Of multiplicative scores.

    Returns
    -------
    context : ndarray [T, N, K], dtype of `queries`
    weights : ndarray [T, N, S], dtype of `queries`

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    References
    ----------
    Bahdanau, Cho, Bengio (2015), section A.1.2; Luong, Pham, Manning (2015), equations 7 and 8.

    Examples
    --------
    >>> import numpy as np
    >>> ones = np.ones((3, 1, 2))
    >>> context, weights = attention_forward(ones[:1], ones, ones, np.array([2]))
    >>> context.tolist(), weights.tolist()
    ([[[1.0, 1.0]]], [[[0.5, 0.5, 0.0]]])
    """
    _check(queries, keys, values, lengths, score)
    T, N, _ = queries.shape
    context = np.zeros((T, N, values.shape[2]), queries.dtype)
    weights = np.zeros((T, N, len(keys)), queries.dtype)
    for n, length in enumerate(lengths):
        if length == 0:
            continue
        q, k = queries[:, n], keys[:length, n]
        e = scale * q @ k.T if score is None else np.tanh(q[:, None] + k) @ score
        w = np.exp(e - e.max(axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        weights[:, n, :length] = w
        context[:, n] = w @ values[:length, n]
    return context, weights


def attention_backward(
    queries: Floats,
    keys: Floats,
    values: Floats,
    lengths: Integers,
    weights: Floats,
    dcontext: Floats,
    dweights: Floats | None = None,
    score: Floats | None = None,
    scale: float = 1.0,
) -> AttentionGradients:
    r"""Compute the gradients of attention.

    .. math::

        dw_{ts} = dc_t \cdot h_s + \text{dweights}_{ts}

        de_{ts} = w_{ts} (dw_{ts} - \sum_{s'} w_{ts'} dw_{ts'})

    and, through additive scores, :math:`dz_{ts} = de_{ts} v (1 - \tanh^2(q_t + k_s))`.

    Parameters
    ----------
    queries, keys, values, lengths, score, scale
        As for `attention_forward`.
    weights : ndarray [T, N, S], dtype of `queries`
        From `attention_forward`.
    dcontext : ndarray [T, N, K], dtype of `queries`
    dweights : ndarray [T, N, S], dtype of `queries`, optional
        If the loss depends on the weights; not read after the ends.

    Returns
    -------
    AttentionGradients
        Zeros after the ends; dscore is None for multiplicative scores.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> ones = np.ones((3, 1, 2))
    >>> _, weights = attention_forward(ones[:1], ones, ones, np.array([2]))
    >>> attention_backward(ones[:1], ones, ones, np.array([2]), weights, ones[:1]).dvalues[:, 0, 0].tolist()
    [0.5, 0.5, 0.0]
    """
    _check(queries, keys, values, lengths, score)
    check_floats("dcontext", dcontext, (*queries.shape[:2], values.shape[2]), queries.dtype)
    check_floats("weights", weights, (*queries.shape[:2], len(keys)), queries.dtype)
    dqueries, dkeys, dvalues = np.zeros_like(queries), np.zeros_like(keys), np.zeros_like(values)
    dscore = None if score is None else np.zeros_like(score)
    for n, length in enumerate(lengths):
        q, k, h = queries[:, n], keys[:length, n], values[:length, n]
        w, dc = weights[:, n, :length], dcontext[:, n]
        dw = dc @ h.T
        if dweights is not None:
            dw = dw + dweights[:, n, :length]
        de = w * (dw - (w * dw).sum(axis=1, keepdims=True))
        dvalues[:length, n] = w.T @ dc
        if score is None:
            dqueries[:, n] = scale * de @ k
            dkeys[:length, n] = scale * de.T @ q
        else:
            y = np.tanh(q[:, None] + k)
            dz = de[..., None] * score * (1 - y * y)
            dqueries[:, n] = dz.sum(axis=1)
            dkeys[:length, n] = dz.sum(axis=0)
            dscore += (de[..., None] * y).sum(axis=(0, 1))
    return AttentionGradients(dqueries, dkeys, dvalues, dscore)


def _check(queries: Floats, keys: Floats, values: Floats, lengths: Integers, score: Floats | None) -> None:
    check_floats("queries", queries, ("T", "N", "A"))
    _, N, A = queries.shape
    check_floats("keys", keys, ("S", N, A), queries.dtype)
    check_floats("values", values, (len(keys), N, "K"), queries.dtype)
    check_shape("lengths", lengths, (N,))
    if score is not None:
        check_floats("score", score, (A,), queries.dtype)
