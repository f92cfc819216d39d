"""Tasks whose answer depends on a few steps long before: adding problem, copy memory, temporal order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import Seed, as_generator, as_size

__all__ = ["adding_problem", "copy_memory", "temporal_order"]


def adding_problem(
    count: int, length: int = 100, *, seed: Seed = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sequences of random numbers of which two are marked, and the sum of those two.

    The first marked step is drawn uniformly from the first half of the steps, the second from the others.
    The sum has mean 1 and variance 1/6: who ignores the marks and answers 1 has that mean squared error.

    Parameters
    ----------
    count : int
        N, at least 1.
    length : int, default 100
        T, at least 2.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    X : ndarray, float64 [N, T, 2]
        A number from [0, 1), and the mark: 1 at two steps, 0 at the others.
    y : ndarray, float64 [N]

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or not an integer, or the seed is of another kind.

    References
    ----------
    Hochreiter, Schmidhuber (1997), "Long Short-Term Memory", experiment 4. The form is that of Le, Jaitly,
    Hinton (2015), "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", section 4.1,
    with a mark in each half as in Arjovsky, Shah, Bengio (2016), "Unitary Evolution Recurrent Neural
    Networks", section 5.2.

    Examples
    --------
    >>> X, y = adding_problem(1, 4, seed=0)
    >>> X[0].round(2).tolist()
    [[0.64, 1.0], [0.27, 0.0], [0.04, 0.0], [0.02, 1.0]]
    >>> y.round(2).tolist()
    [0.65]
    """
    rows, steps = as_size("count", count), as_size("length", length, least=2)
    random = as_generator(seed)
    X = np.zeros((rows, steps, 2))
    X[..., 0] = random.random((rows, steps))
    first, second = random.integers(0, steps // 2, rows), random.integers(steps // 2, steps, rows)
    every = np.arange(rows)
    X[every, first, 1] = X[every, second, 1] = 1.0
    return X, X[every, first, 0] + X[every, second, 0]


def copy_memory(
    count: int, delay: int = 100, *, length: int = 10, symbols: int = 8, seed: Seed = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sequences of ids whose first ones are to be repeated after a delay.

    ``length`` random symbols, ``delay - 1`` blanks, a marker, ``length`` blanks. The answer is blank up to
    and including the marker's step, and then the symbols. With K symbols the best answer without memory is
    the blank and then a guess: a cross-entropy of ``length * ln K / (delay + 2 length)`` nats a step.

    Parameters
    ----------
    count : int
        N, at least 1.
    delay : int, default 100
        Steps from the last symbol to the marker, at least 1.
    length : int, default 10
        Symbols to remember, at least 1.
    symbols : int, default 8
        K, at least 2: the symbols are ``0 .. K - 1``, K is the blank and K + 1 the marker.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    X, y : ndarray, int64 [N, T]
        T = delay + 2 length.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or not an integer, or the seed is of another kind.

    References
    ----------
    Hochreiter, Schmidhuber (1997), "Long Short-Term Memory". The form is that of Arjovsky, Shah, Bengio
    (2016), "Unitary Evolution Recurrent Neural Networks", section 5.1.

    Examples
    --------
    >>> X, y = copy_memory(1, delay=3, length=2, symbols=4, seed=0)
    >>> X.tolist(), y.tolist()
    ([[3, 2, 4, 4, 5, 4, 4]], [[4, 4, 4, 4, 4, 3, 2]])
    """
    rows, between = as_size("count", count), as_size("delay", delay)
    kept, blank = as_size("length", length), as_size("symbols", symbols, least=2)
    X = np.full((rows, between + 2 * kept), blank)
    y = X.copy()
    X[:, :kept] = as_generator(seed).integers(0, blank, (rows, kept))
    X[:, kept + between - 1] = blank + 1
    y[:, -kept:] = X[:, :kept]
    return X, y


def temporal_order(
    count: int, length: int = 100, *, relevant: int = 2, seed: Seed = None
) -> tuple[list[str], list[str]]:
    """Return texts with a few letters X and Y far apart, and these letters in their order.

    A text begins with ``E`` and ends with ``B``; between them are letters from ``abcd``, and at two or three
    places ``X`` or ``Y``, each with probability 1/2.

    Parameters
    ----------
    count : int
        N, at least 1.
    length : int, default 100
        The fewest letters of a text, at least 20; each length up to a tenth more has the same probability.
    relevant : {2, 3}
        How many letters matter. With 2 (experiment 6a) their places are drawn from 10 % to 20 % and 50 % to
        60 % of `length`; with 3 (6b) from 10 % to 20 %, 33 % to 43 % and 66 % to 76 %.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    X : list of str
    y : list of str
        Such as ``"XY"``: 4 classes, or 8.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or not an integer, or the seed is of another kind.

    References
    ----------
    Hochreiter, Schmidhuber (1997), "Long Short-Term Memory", experiments 6a and 6b. There the classes are
    called Q, R, S, U (XX, XY, YX, YY), and Q, R, S, U, V, A, B, C.

    Examples
    --------
    >>> temporal_order(2, 20, seed=0)
    (['EcbbXaaadcdXcdccccdbdB', 'EcdaXdacabbYbaaaaccB'], ['XX', 'XY'])
    """
    rows, least = as_size("count", count), as_size("length", length, least=20)
    places = {2: (0.1, 0.5), 3: (0.1, 0.33, 0.66)}[as_size("relevant", relevant, least=2, most=3)]
    random, X, y = as_generator(seed), [], []
    for _ in range(rows):
        steps = random.integers(least, least + least // 10 + 1)
        letters = ["abcd"[i] for i in random.integers(0, 4, steps)]
        letters[0], letters[-1] = "E", "B"
        order = ["XY"[i] for i in random.integers(0, 2, len(places))]
        for place, letter in zip(places, order, strict=True):
            letters[random.integers(round(place * least), round((place + 0.1) * least) + 1)] = letter
        X.append("".join(letters))
        y.append("".join(order))
    return X, y
