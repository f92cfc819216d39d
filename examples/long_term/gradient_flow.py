"""How far does a gradient flow back through time? Networks as they begin, on a task with a lag of 100 steps.

    python examples/long_term/gradient_flow.py --plot gradient-flow.png

The task is the adding problem: two of 101 numbers are marked, and after the last one their sum is to be
said. Its loss is read once, at the last step, and one backward pass gives the gradient with respect to the
state h of every step. How fast does its norm fall on the way back? The largest Lyapunov exponent of the
network, measured on another and longer input, predicts it. Nothing is trained here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastrnn as fr

Floats = NDArray[np.float64]

HIDDEN = 128  # units
LAG = 100  # steps between the first number and the loss
ROWS = 32  # sequences whose gradients are measured
RUN = 2000  # steps along which the exponent is measured
SETTLED = 10  # lags that the fit of the slope leaves out


def vanilla(hidden: int, seed: int) -> fr.RNN:
    """Return a tanh network with the usual initial weights, uniform in 1 / sqrt(H)."""
    return fr.RNN(2, hidden, dtype="float64", seed=seed)


def orthogonal(hidden: int, seed: int) -> fr.RNN:
    """Return a tanh network whose recurrent matrix is orthogonal."""
    rnn = vanilla(hidden, seed)
    fr.init.orthogonal(rnn, seed=seed)
    return rnn


def large(hidden: int, seed: int) -> fr.RNN:
    """Return a tanh network with three times the usual recurrent weights: it is chaotic."""
    rnn = vanilla(hidden, seed)
    with rnn.parameters.edit() as views:
        views["weight_hh_l0"][...] *= 3.0
    return rnn


def lstm(hidden: int, seed: int) -> fr.LSTM:
    """Return an LSTM with a forget gate that begins open: sigmoid(5) = 0.993."""
    rnn = fr.LSTM(2, hidden, dtype="float64", seed=seed)
    fr.init.forget_bias(rnn, 5.0)
    return rnn


def irnn(hidden: int, seed: int) -> fr.RNN:
    """Return a relu network that begins as the identity (Le, Jaitly and Hinton 2015)."""
    rnn = fr.RNN(2, hidden, nonlinearity="relu", dtype="float64", seed=seed)
    fr.init.identity(rnn)
    with rnn.parameters.edit() as views:  # the paper's: normal with a standard deviation of 0.001
        views["weight_ih_l0"][...] = 0.001 * np.random.default_rng(seed).normal(size=(hidden, 2))
    return rnn


NETWORKS: dict[str, Callable[[int, int], Any]] = {
    "tanh": vanilla,
    "tanh, orthogonal": orthogonal,
    "tanh, 3 W": large,
    "LSTM": lstm,
    "IRNN": irnn,
}


def adding_problem(steps: int, rows: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return numbers and marks [steps, rows, 2], and the sum of the two marked numbers [1, rows, 1]."""
    x = np.zeros((steps, rows, 2))
    x[:, :, 0] = random.random((steps, rows))
    for row in range(rows):
        x[random.choice(steps, 2, replace=False), row, 1] = 1.0
    return x, np.prod(x, axis=2).sum(axis=0)[None, :, None]


def measure(rnn: Any, seed: int, sizes: tuple[int, int, int]) -> tuple[Floats, float]:
    """Return norms of the gradient at lags 0, 1, ... [lags, rows], and the largest Lyapunov exponent."""
    lag, rows, run = sizes
    random = np.random.default_rng(seed)
    x, wanted = adding_problem(lag + 1, rows, random)
    readout = fr.Linear(rnn.hidden_size, 1, dtype="float64", seed=seed)
    y, _, tape = rnn.forward(x)
    said, readout_tape = readout.forward(y[-1:])
    _, dsaid = fr.losses.mean_squared_error(said, wanted)
    dy = np.zeros(y.shape)
    dy[-1:] = readout.backward(readout_tape, dsaid)
    norms = fr.inspect.state_gradients(rnn, tape, dy).against_lag()[0]
    other, _ = adding_problem(run, 1, random)
    other[:, 0, 1] = random.random(run) < 2 / lag  # marks as often as above
    return norms, float(fr.inspect.lyapunov_exponents(rnn, other, count=1)[0, 0])


def slope(norms: Floats) -> float:
    """Return the mean slope of the logarithm of the norms, in nats per step, by least squares."""
    logs = np.log(norms[SETTLED:])
    return float(np.polyfit(np.arange(SETTLED, len(norms)), logs.mean(axis=1), 1)[0])


def main() -> None:
    """Print a table of slopes and exponents, and draw the norms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="networks of each kind")
    parser.add_argument("--plot", metavar="FILE", help="the picture to write, with all seeds")
    parser.add_argument("--small", action="store_true", help="a run of a few seconds")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds: expected at least 1")
    hidden, sizes, seeds = HIDDEN, (LAG, ROWS, RUN), arguments.seeds
    if arguments.small:
        hidden, sizes, seeds = 16, (30, 4, 100), 2
    started = time.perf_counter()
    lag = sizes[0]
    curves: dict[str, Floats] = {}
    rates: dict[str, float] = {}
    print(f"{hidden} units, lag {lag}, {sizes[1]} sequences, {seeds} seeds: mean (least .. most)")
    print(f"{'':18}{'gradient left at the lag':>26}{'slope a step':>26}{'Lyapunov exponent':>26}")
    for name, make in NETWORKS.items():
        found = [measure(make(hidden, seed), seed, sizes) for seed in range(seeds)]
        curves[name] = np.concatenate([norms for norms, _ in found], axis=1)
        exponents = [exponent for _, exponent in found]
        rates[name] = float(np.mean(exponents))
        left = [float(np.log10(norms[lag] / norms[0]).mean()) for norms, _ in found]
        columns = (left, [slope(norms) for norms, _ in found], exponents)
        cells = [f"{np.mean(c):+.3f} ({min(c):+.3f} .. {max(c):+.3f})" for c in columns[1:]]
        powers = f"10^{np.mean(left):.1f} ({min(left):.1f} .. {max(left):.1f})"
        print(f"{name:18}{powers:>26}{cells[0]:>26}{cells[1]:>26}", flush=True)
    print(f"{time.perf_counter() - started:.0f} seconds")
    if arguments.plot:
        fr.plots.plot_gradient_norms(curves, rates, arguments.plot)


if __name__ == "__main__":
    main()
