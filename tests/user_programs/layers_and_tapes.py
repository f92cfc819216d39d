"""Layers, their tapes, gradients and streams, with types."""

from __future__ import annotations

import numpy as np

import fastrnn as fr
from fastrnn.layers import Module, Parameters, Tape
from fastrnn.train import SGD, Optimizer, clip_gradient_norm


def step(model: Module, optimizer: Optimizer) -> float:
    norm: float = clip_gradient_norm(model, 1.0)
    optimizer.step()
    return norm


def main() -> float:
    x = np.random.default_rng(0).normal(size=(9, 4, 3)).astype(np.float32)
    rnn, output = fr.LSTM(3, 8, num_layers=2, seed=0), fr.Linear(8, 1, seed=1)
    optimizer = SGD([rnn, output], 0.1, momentum=0.9)
    y, (h, c), tape = rnn.forward(x, lengths=[9, 3, 5, 2])
    kept: Tape = tape
    out, out_tape = output.forward(y)
    loss, dout = fr.losses.mean_squared_error(out, np.zeros_like(out), lengths=[9, 3, 5, 2])
    dy = output.backward(out_tape, dout)
    dx, (dh, dc) = rnn.backward(kept, dy)
    parameters: Parameters = rnn.parameters
    for name, gradient in rnn.gradients.items():
        assert gradient.shape == parameters[name].shape
    with parameters.edit() as views:
        views["bias_ih_l0"][:] = 0.0
    stream = rnn.stream(batch_size=4)
    first = stream.step(x[0])
    forget = kept.layers[0].gates[:, :, 1]
    assert dx is not None
    numbers = np.array([first.sum(), h.sum(), c.sum(), dh.sum(), dc.sum(), dx.sum(), forget.sum()])
    return step(rnn, optimizer) + loss + float(numbers.sum())


if __name__ == "__main__":
    print(main())
