"""The base class of optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn._memory import named_memory
from fastrnn._plain import as_count
from fastrnn.layers.base.module import sparse_parts
from fastrnn.layers.base.sparse import dense_parts

if TYPE_CHECKING:
    from fastrnn.layers import Module

__all__ = ["Optimizer"]


class Optimizer(ABC):
    """Base class of optimisers: the module being trained, the moments and the step count.

    Attributes
    ----------
    learning_rate : float
        Default for `step`.
    steps : int
        Steps taken so far.
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
        with named_memory("moments", "use SGD without momentum, or a smaller model"):
            self.moments: dict[str, NDArray[Any]] = {name: np.zeros_like(flat) for name in self.moment_names}

    def step(self, learning_rate: float | None = None, *, gradient_scale: float = 1.0) -> None:
        """Update the module's parameters once, from its gradients.

        Parameters
        ----------
        learning_rate : float, optional
            For this step only; the default is the attribute.
        gradient_scale : float, default 1.0
            Factor applied to the gradients as they are read; the gradients themselves do not change.
        """
        given = (self.learning_rate if learning_rate is None else learning_rate, gradient_scale)
        parameters, gradients = self.module.parameters._writable_flat(), self.module.gradients.flat
        sparse = sparse_parts(self.module)
        # Copied before any change: if memory runs out here, nothing has changed.
        copies = [(part.matrix(parameters)[part.rows], part.matrix(gradients)[part.rows]) for part in sparse]
        self.steps += 1
        dense = zip(dense_parts(parameters, sparse), dense_parts(gradients, sparse), strict=True)
        for values, gradient in (*dense, *copies):
            self._update(values.reshape(-1), gradient.reshape(-1), *given)
        for part, (values, _) in zip(sparse, copies, strict=True):
            part.matrix(parameters)[part.rows] = values

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the moments, and ``"steps"``."""
        return {"steps": self.steps, **{name: moment.copy() for name, moment in self.moments.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned. If the state does not fit, nothing changes.

        Raises
        ------
        ValueError
            If a moment is missing or unknown, or has another shape or dtype.
        """
        if set(state) != {"steps", *self.moments}:
            raise ValueError(
                f"optimizer state: expected {sorted({'steps', *self.moments})}, got {sorted(state)}"
            )
        steps = as_count("optimizer state steps", state["steps"])
        for name, moment in self.moments.items():
            given = np.asarray(state[name])
            if given.shape != moment.shape or given.dtype != moment.dtype:
                raise ValueError(
                    f"optimizer state {name}: expected {moment.dtype} {list(moment.shape)}, "
                    f"got {given.dtype} {list(given.shape)}"
                )
        for name, moment in self.moments.items():
            moment[...] = state[name]
        self.steps = steps

    @abstractmethod
    def _update(
        self,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
        learning_rate: float,
        gradient_scale: float,
    ) -> None:
        """Update parameters in place; with sparse gradients, called once for each dense part and row set."""
