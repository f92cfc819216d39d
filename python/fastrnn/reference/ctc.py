"""Connectionist temporal classification, in logarithms: the loss of labels without positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastrnn.reference._arrays import Floats, Integers, check_floats, check_ids


def ctc_loss(
    logits: Floats, targets: Sequence[Integers], lengths: Integers | None = None, blank: int = 0
) -> tuple[Floats, Floats]:
    r"""Compute -log of the probability of each row's target, and the gradient of the logits.

    The states are those of the target with a blank before, between and after its symbols,
    :math:`l' = (\_, l_1, \_, l_2, \ldots, l_L, \_)`. With :math:`y_t` the softmax of a frame,

    .. math::

        \alpha_t(s) = y_t(l'_s) \, (\alpha_{t-1}(s) + \alpha_{t-1}(s-1)
            + [l'_s \ne l'_{s-2}] \alpha_{t-1}(s-2))

        \beta_t(s) = \beta'_{t+1}(s) + \beta'_{t+1}(s+1) + [l'_s \ne l'_{s+2}] \beta'_{t+1}(s+2),
        \quad \beta'_t(s) = y_t(l'_s) \beta_t(s)

        L = -\ln p, \quad p = \sum_s \alpha_t(s) \beta_t(s) \text{ at any } t, \qquad
        \partial L / \partial a_{tv} = y_t(v) - \frac{1}{p} \sum_{s : l'_s = v} \alpha_t(s) \beta_t(s)

    Here alpha and beta are logarithms, so that products of many probabilities do not underflow.

    Parameters
    ----------
    logits : ndarray [T, N, V], float32 or float64
    targets : sequence of N ndarrays, any integer dtype
        The symbols of each row, without blanks.
    lengths : ndarray [N], any integer dtype, optional
        Frames of each row; by default T. Gradients of later frames are 0.
    blank : int
        Its id.

    Returns
    -------
    losses : ndarray [N], dtype of `logits`
        In nats; neither summed nor averaged. Infinite, with the gradient NaN, if no path exists.
    dlogits : ndarray [T, N, V], dtype of `logits`
        Of the sum of the losses.

    Raises
    ------
    TypeError
        If `logits` are not float32 or float64, or a target does not hold integers.
    ValueError
        If the shapes do not fit, or a symbol is the blank or out of range.

    References
    ----------
    Graves, Fernández, Gomez, Schmidhuber (2006), "Connectionist Temporal Classification", equations 6-16;
    beta here does not include its own frame.

    Examples
    --------
    >>> import numpy as np
    >>> losses, dlogits = ctc_loss(np.zeros((2, 1, 3)), [np.array([1])])
    >>> print(np.exp(-losses) * 9)  # of the 9 paths, (1, 1), (0, 1) and (1, 0)
    [3.]
    """
    check_floats("logits", logits, ("T", "N", "V"))
    steps, rows, size = logits.shape
    if len(targets) != rows:
        raise ValueError(f"targets: expected {rows}, got {len(targets)}")
    ends = [steps] * rows if lengths is None else [int(length) for length in lengths]
    losses, dlogits = np.zeros(rows, logits.dtype), np.zeros_like(logits)
    for n, (target, end) in enumerate(zip(targets, ends, strict=True)):
        check_ids("targets", target, size)
        if (target == blank).any():
            raise ValueError(f"targets: expected no blank, got one in row {n}")
        losses[n], dlogits[:end, n] = _row(logits[:end, n], target, blank)
    return losses, dlogits


def _row(logits: Floats, target: Integers, blank: int) -> tuple[float, Floats]:
    """Compute the loss and the gradient of one row: logits [T, V], target [L]."""
    states = np.full(2 * len(target) + 1, blank)
    states[1::2] = target
    log_y = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True) if logits.size else logits
    emitted = log_y[:, states]
    may_skip = np.zeros(len(states), np.bool_)
    may_skip[2:] = states[2:] != states[:-2]

    alpha = np.empty_like(emitted)
    past = np.full(len(states), -np.inf)
    past[0] = 0.0  # before the first frame
    for t in range(len(logits)):
        skipped = np.where(may_skip, _shifted(past, 2), -np.inf)
        past = alpha[t] = emitted[t] + _add(past, _shifted(past, 1), skipped)
    log_p = np.logaddexp.reduce(past[-2:])

    dlogits = np.exp(log_y)
    future = np.full(len(states), -np.inf)
    future[-2:] = 0.0  # after the last frame
    for t in reversed(range(len(logits))):
        posterior = np.exp(alpha[t] + future - log_p)
        np.subtract.at(dlogits[t], states, posterior)
        future = future + emitted[t]
        skipped = np.where(may_skip, future, -np.inf)
        future = _add(future, _shifted(future, -1), _shifted(skipped, -2))
    return -float(log_p), dlogits


def _shifted(values: Floats, places: int) -> Floats:
    """Move the values to the right, or to the left if `places` is negative; log 0 follows."""
    moved = np.full_like(values, -np.inf)
    if places > 0:
        moved[places:] = values[:-places]
    else:
        moved[:places] = values[-places:]
    return moved


def _add(a: Floats, b: Floats, c: Floats) -> Floats:
    total: Floats = np.logaddexp(np.logaddexp(a, b), c)
    return total
