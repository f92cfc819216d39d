"""Draw the steps of a batch of sequences one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.decode import Sampling
from fastrnn.models.generator_network import GeneratorNetwork

__all__ = ["RowRandom", "generate_steps"]


class RowRandom:
    """Random numbers for each sequence of a batch, from a generator of its own.

    The numbers of a sequence do not depend on how many others there are.

    Parameters
    ----------
    rows : int
    seed : int, numpy.random.Generator, numpy.random.RandomState or None
    """

    def __init__(self, rows: int, seed: Any) -> None:
        if isinstance(seed, np.random.RandomState):
            seed = int(seed.randint(2**31))
        elif isinstance(seed, np.random.Generator):
            seed = int(seed.integers(2**63))
        elif seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise TypeError(
                f"random_state: expected an int, a numpy.random.Generator or None, got {type(seed).__name__}"
            )
        elif seed is not None and seed < 0:
            raise ValueError(f"random_state: expected an int >= 0, got {seed}")
        spawned = np.random.SeedSequence(seed).spawn(rows)
        self._generators = [np.random.default_rng(sequence) for sequence in spawned]

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Keep the generators of some sequences."""
        self._generators = [self._generators[row] for row in rows]

    def uniform(self, columns: int) -> NDArray[np.float64]:
        """Return numbers in [0, 1), float64 [N, columns]."""
        return np.array([generator.random(columns) for generator in self._generators])

    def normal(self, columns: int) -> NDArray[np.float64]:
        """Return numbers of the standard normal distribution, float64 [N, columns]."""
        return np.array([generator.standard_normal(columns) for generator in self._generators])


def generate_steps(
    network: GeneratorNetwork,
    condition: Array | None,
    rows: int,
    prefix: Array | None,
    max_length: int,
    sampling: Sampling,
    seed: Any,
) -> list[Array]:
    """Return sequences that a network draws: ids, int64 [T], or float [T, width].

    Sequences that have ended leave the batch.

    Parameters
    ----------
    network : GeneratorNetwork
    condition : ndarray, float [rows, C], or None
    rows : int
    prefix : ndarray, int64 [T] or float [T, width], optional
        What each begins with; not part of the result.
    max_length : int
    sampling : Sampling
    seed : int, numpy.random.Generator, numpy.random.RandomState or None
    """
    steps, random = network.steps, RowRandom(rows, seed)
    stream = network.stream(rows, condition)
    inputs = steps.start(rows, network.dtype)
    for value in () if prefix is None else prefix:
        stream.step(inputs)
        inputs = steps.as_inputs(np.repeat(value[None], rows, axis=0))
    drawn: list[list[Array]] = [[] for _ in range(rows)]
    left = np.arange(rows)
    for step in range(max_length):
        may_end = step > 0 or prefix is not None
        values, ended = network.output.draw(stream.step(inputs), sampling, random, may_end=may_end)
        if ended.any():
            going = np.flatnonzero(~ended)
            left, values = left[going], values[going]
            if not len(left):
                break
            stream.keep(going)
            random.keep(going)
        for row, value in zip(left.tolist(), values, strict=True):
            drawn[row].append(value)
        inputs = steps.as_inputs(values)
    empty = np.empty((0,) if steps.kind == "tokens" else (0, steps.width), inputs.dtype)
    return [np.array(own) if own else empty for own in drawn]
