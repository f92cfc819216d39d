"""What all optimisers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn.layers.base.module import sparse_parts
from fastrnn.layers.base.sparse import dense_parts

if TYPE_CHECKING:
    from fastrnn.layers import Module

__all__ = ["Optimizer"]


class Optimizer(ABC):
    """What the optimisers share: the module they train, their moments and the count of steps.

    Attributes
    ----------
    learning_rate : float
        Used by `step` where it is given no other.
    steps : int
        Steps made so far.
    moments : dict of str to ndarray
        Running averages, each of the length and dtype of the module's flat parameter buffer.
    """

    moment_names: tuple[str, ...] = ()

    def __init__(self, module: Module, learning_rate: float, weight_decay: float) -> None:
        self.module = module
        self.learning_rate = as_number("learning_rate", learning_rate, least=0.0)
        self.weight_decay = as_number("weight_decay", weight_decay, least=0.0)
        if sparse_parts(module) and (self.moment_names or self.weight_decay):
            raise ValueError(
                "module: has a sparse embedding, of which a step touches some rows; expected SGD without "
                f"momentum and weight decay, got {type(self).__name__}"
            )
        self.steps = 0
        flat = module.parameters.flat
        self.moments: dict[str, NDArray[Any]] = {name: np.zeros_like(flat) for name in self.moment_names}

    def step(self, learning_rate: float | None = None, *, gradient_scale: float = 1.0) -> None:
        """Move the module's parameters once, by its gradients.

        Parameters
        ----------
        learning_rate : float, optional
            For this step alone; default is the attribute.
        gradient_scale : float, default 1.0
            What the gradients are multiplied with as they are read; they stay as they are.
        """
        given = (self.learning_rate if learning_rate is None else learning_rate, gradient_scale)
        parameters, gradients = self.module.parameters._writable_flat(), self.module.gradients.flat
        sparse = sparse_parts(self.module)
        # Taken out before anything moves: where there is no memory for it, nothing has changed.
        taken = [(part.matrix(parameters)[part.rows], part.matrix(gradients)[part.rows]) for part in sparse]
        self.steps += 1
        dense = zip(dense_parts(parameters, sparse), dense_parts(gradients, sparse), strict=True)
        for values, slopes in (*dense, *taken):
            self._update(values.reshape(-1), slopes.reshape(-1), *given)
        for part, (values, _) in zip(sparse, taken, strict=True):
            part.matrix(parameters)[part.rows] = values

    def state_dict(self) -> dict[str, Any]:
        """Give copies of the moments, and ``"steps"``."""
        return {"steps": self.steps, **{name: moment.copy() for name, moment in self.moments.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the state that `state_dict` gave. Nothing changes where it does not fit.

        Raises
        ------
        ValueError
            If a moment is missing or unknown, or has another shape or dtype.
        """
        if set(state) != {"steps", *self.moments}:
            raise ValueError(
                f"optimizer state: expected {sorted({'steps', *self.moments})}, got {sorted(state)}"
            )
        for name, moment in self.moments.items():
            given = np.asarray(state[name])
            if given.shape != moment.shape or given.dtype != moment.dtype:
                raise ValueError(
                    f"optimizer state {name}: expected {moment.dtype} {list(moment.shape)}, "
                    f"got {given.dtype} {list(given.shape)}"
                )
        for name, moment in self.moments.items():
            moment[...] = state[name]
        self.steps = int(state["steps"])

    @abstractmethod
    def _update(
        self,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
        learning_rate: float,
        gradient_scale: float,
    ) -> None:
        """Change the parameters in place; of a module with sparse gradients, a part of them at a time."""
