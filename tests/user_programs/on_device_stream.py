"""What a program on a device writes: a small network that runs one step at a time, without allocating."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import fastrnn as fr

Floats = NDArray[np.float32]


class Filter:
    """A recurrent filter of an audio signal: kept state, one frame in, one frame out."""

    def __init__(self, network: fr.Sequential) -> None:
        self._stream = network.stream()
        self._fallback = network.stream()

    def process(self, frames: Floats) -> Iterator[float]:
        """Yield the output of each frame."""
        for frame in frames:
            y: Floats = self._stream.step(frame)
            yield float(y[0])

    def restart(self) -> None:
        """Begin a new signal."""
        self._stream.reset()


network = fr.Sequential({"rnn": fr.LSTM(1, 8, seed=0), "output": fr.Linear(8, 1, seed=1)})
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "filter.safetensors")
    network.save(path)
    network = fr.Sequential.load(path)

signal = np.sin(np.arange(64, dtype=np.float32) / 4)[:, None]
device = Filter(network)
first = list(device.process(signal))
device.restart()
second = list(device.process(signal))

rnn = fr.GRU(3, 8, seed=0)
stream = rnn.stream(batch_size=2)
out: Floats = np.empty((2, 8), np.float32)
for x_t in np.zeros((10, 2, 3), np.float32):
    stream.step(x_t, out)
saved = stream.state
branch = stream.copy()
stream.reset()
stream.state = saved
at_once, _ = network(signal)
equal = np.allclose(first, at_once[:, 0], rtol=0, atol=0)
print(
    f"the same after a restart: {first == second}; as in one call: {equal}; {len(network)} parts; {out.shape}"
)
