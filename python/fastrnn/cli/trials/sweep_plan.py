"""A sweep: a command, its fixed options, and the options of each trial."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from fastrnn.cli.trials.random_values import RandomValue

__all__ = ["Sweep"]


@dataclass(frozen=True)
class Sweep:
    """What the file of a sweep says; its length is the number of trials, and it yields their options.

    Parameters
    ----------
    command : str
        "train", or "fit" and a task.
    fixed : dict
        The options that all trials have, by name.
    grid : dict
        For each option, the values of which all combinations are tried.
    random : dict
        For each option, how it is drawn.
    draws : int
        How often; each draw is tried with every combination of the grid.
    seed : int
        Of the draws.

    Examples
    --------
    >>> from fastrnn.cli.trials.sweep_plan import Sweep
    >>> list(Sweep("train", grid={"cell": ["gru", "lstm"]}))
    [{'cell': 'gru'}, {'cell': 'lstm'}]
    """

    command: str
    fixed: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    random: dict[str, RandomValue] = field(default_factory=dict)
    draws: int = 1
    seed: int = 0

    def __len__(self) -> int:
        return self.draws * math.prod(map(len, self.grid.values()))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the options that each trial tries; more draws leave the first ones as they are."""
        for draw in range(self.draws):
            rng = np.random.default_rng([self.seed, draw])
            drawn = {name: each.draw(rng.random()) for name, each in self.random.items()}
            for values in product(*self.grid.values()):
                yield {**dict(zip(self.grid, values, strict=True)), **drawn}

    @property
    def tried(self) -> list[str]:
        """Names of the options that are tried."""
        return [*self.grid, *self.random]
