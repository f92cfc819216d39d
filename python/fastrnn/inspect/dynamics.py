"""How a recurrent layer stretches its states: norms and products of Jacobians, Lyapunov exponents."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size
from fastrnn.inspect.scaled_product import ScaledProduct
from fastrnn.inspect.trajectory import Trajectory

__all__ = ["jacobian_norms", "jacobian_product", "lyapunov_exponents"]

Floats = NDArray[np.float64]


def jacobian_norms(layer: Any, x: Any, state: Any = None, *, context: Any = None) -> Floats:
    """Return the largest singular value of each step's Jacobian.

    That of step t is ds_t / ds_(t-1), where s is the whole state: h of all layers, and c and the past outputs
    where there are any. Vectors are multiplied with it on the native kernels, in float64; there are never
    more than one step's Jacobians in memory.

    Parameters
    ----------
    layer : Recurrent
        With one direction and without zoneout. Dropout is left out, as in inference.
    x, state, context
        As for a call of the layer.

    Returns
    -------
    ndarray, float64 [T, N]
        [T] for a single sequence.

    Raises
    ------
    ValueError
        If the layer is bidirectional or has a zoneout, an argument has a wrong shape, or a state is not
        finite.
    TypeError
        If `layer` is not a recurrent layer, or an argument has a wrong dtype.

    References
    ----------
    Pascanu, Mikolov, Bengio (2013), "On the difficulty of training Recurrent Neural Networks", section 2.1.

    Examples
    --------
    A tanh network contracts most where its units are saturated:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.RNN(1, 20, seed=0)
    >>> x = np.array([[0], [0], [50], [0]], np.float32)
    >>> fr.inspect.jacobian_norms(rnn, x).round(2).tolist()
    [1.14, 1.15, 0.51, 0.91]
    """
    run = Trajectory(layer, x, state, context)
    norms = np.empty((run.steps, run.rows))
    everything = np.broadcast_to(np.eye(run.size), (run.rows, run.size, run.size))
    for begin, end, before in run.backwards(1):
        norms[begin] = np.linalg.norm(run.pull_back(begin, end, before, everything), 2, axis=(1, 2))
    return norms[:, 0] if run.alone else norms


def jacobian_product(layer: Any, x: Any, state: Any = None, *, context: Any = None) -> Floats:
    """Return the logarithms of the singular values of ds_T / ds_0, the product of all steps' Jacobians.

    The product is never formed: it would under- or overflow. Orthonormal vectors are multiplied with one
    Jacobian after the other, from the last to the first, and made orthonormal again after each; what this
    takes away are triangular matrices, whose product is kept with a scale for each row. Singular values of
    any size come out with a small relative error, as far as one step's Jacobian tells them apart (1e16).

    Parameters
    ----------
    layer, x, state, context
        As for `jacobian_norms`, with the same errors.

    Returns
    -------
    ndarray, float64 [N, d]
        Natural logarithms, the largest first; -inf for a singular value of zero. [d] for a single sequence; d
        is the size of the state: of one layer H, of an LSTM 2*H.

    Examples
    --------
    In 200 steps nothing is left of the first state, in any direction:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.GRU(2, 8, seed=0)
    >>> x = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    >>> fr.inspect.jacobian_product(rnn, x).round(0)[[0, 1, -1]].tolist()
    [-105.0, -112.0, -235.0]
    """
    run = Trajectory(layer, x, state, context)
    vectors = np.broadcast_to(np.eye(run.size), (run.rows, run.size, run.size))
    products = [ScaledProduct(run.size) for _ in range(run.rows)]
    for begin, end, before in run.backwards(1):
        q, r = np.linalg.qr(run.pull_back(begin, end, before, vectors).swapaxes(1, 2))
        for product, factor in zip(products, r, strict=True):
            product.multiply_left(factor)
        vectors = q.swapaxes(1, 2)
    logs = np.stack([product.log_singular_values() for product in products])
    return logs[0] if run.alone else logs


def lyapunov_exponents(
    layer: Any,
    x: Any,
    state: Any = None,
    count: int | None = None,
    *,
    context: Any = None,
    settle: int | None = None,
    every: int = 1,
) -> Floats:
    """Return the largest Lyapunov exponents of a layer along a run, in nats per step.

    The mean rates at which small changes of the state grow or decay: the norm of a gradient that flows k
    steps back changes by a factor of about ``exp(k * exponents[0])``. Above 0 the run is chaotic and
    gradients explode, below 0 they vanish. As for `jacobian_product`, `count` orthonormal vectors are
    multiplied with the transposed Jacobians, in float64, and made orthonormal again; the exponents are the
    mean logarithms of the lengths that this takes away.

    Parameters
    ----------
    layer, x, state, context
        As for `jacobian_norms`. The longer the run, the smaller the error.
    count : int, optional
        How many; by default all d, the size of the state. The time grows with it.
    settle : int, optional
        Steps at the end of the run that do not count, while the vectors find their directions; by default a
        tenth of the run.
    every : int, default 1
        Steps from one orthonormalisation to the next. More are faster, but exponents that are more than ``36
        / every`` below the largest are lost in rounding.

    Returns
    -------
    ndarray, float64 [N, count]
        The largest first; -inf where a direction is lost at once. [count] for a single sequence.

    Raises
    ------
    ValueError
        As for `jacobian_norms`, or if `count` is above d or `settle` leaves no step.
    TypeError
        As for `jacobian_norms`.

    References
    ----------
    Benettin, Galgani, Giorgilli, Strelcyn (1980), "Lyapunov characteristic exponents for smooth dynamical
    systems". Engelken, Wolf, Abbott (2023), "Lyapunov spectra of chaotic recurrent neural networks".

    Examples
    --------
    Without a nonlinearity, they are the logarithms of the eigenvalues' moduli:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.RNN(1, 6, nonlinearity="identity", dtype="float64", seed=0)
    >>> x = np.zeros((2000, 1))
    >>> fr.inspect.lyapunov_exponents(rnn, x, count=2, settle=1000).round(4).tolist()
    [-0.4732, -0.7328]
    >>> W = rnn.parameters["weight_hh_l0"]
    >>> np.log(np.abs(fr.inspect.eigenvalues(W)[:2])).round(4).tolist()
    [-0.4732, -0.7328]
    """
    run = Trajectory(layer, x, state, context)
    count = run.size if count is None else as_size("count", count, most=run.size)
    settle = run.steps // 10 if settle is None else as_size("settle", settle, least=0, most=run.steps - 1)
    every = as_size("every", every)
    start = np.linalg.qr(np.random.default_rng(0).normal(size=(run.size, count)))[0].T
    vectors = np.broadcast_to(start, (run.rows, count, run.size))
    sums, counted = np.zeros((run.rows, count)), 0
    for begin, end, before in run.backwards(every):
        q, r = np.linalg.qr(run.pull_back(begin, end, before, vectors).swapaxes(1, 2))
        vectors = q.swapaxes(1, 2)
        if end <= run.steps - settle or begin == 0:
            with np.errstate(divide="ignore"):
                sums += np.log(np.abs(np.diagonal(r, axis1=1, axis2=2)))
            counted += end - begin
    exponents = -np.sort(-sums / counted, axis=1)
    return exponents[0] if run.alone else exponents
