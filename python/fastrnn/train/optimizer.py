"""The base class of optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn._foreign import of_others
from fastrnn._memory import named_memory
from fastrnn._plain import as_count
from fastrnn._representation import constructor_call
from fastrnn.layers.base.module import Module, sparse_parts, trained_parts
from fastrnn.layers.base.precision import check_trainable
from fastrnn.train.modules import Modules, as_modules

__all__ = ["Moments", "Optimizer"]

Moments = dict[str, NDArray[Any]]


class Optimizer(ABC):
    """Base class of optimisers: the modules being trained, the moments and the step count.

    A frozen parameter (`Module.freeze`) is not changed and its moments stand still; when it is unfrozen its
    own steps go on from where they were, as in PyTorch. Of an embedding with a sparse gradient, a step
    changes the rows that the gradient has, and their moments, and no others.

    Attributes
    ----------
    modules : tuple of Module
        The modules being trained.
    learning_rate : float
        Default for `step`.
    steps : int
        Steps taken so far.
    moments : dict of str to ndarray
        Running averages, each of the length and dtype of a module's flat parameter buffer; with several
        modules a name begins with the module's number: ``"0.first"``.
    """

    moment_names: tuple[str, ...] = ()

    def __init__(self, module: Modules, learning_rate: float, weight_decay: float) -> None:
        self.modules: tuple[Module, ...] = as_modules(module)
        for each in self.modules:
            check_trainable(each)
        self.learning_rate: float = as_number("learning_rate", learning_rate, least=0.0)
        self.weight_decay: float = as_number("weight_decay", weight_decay, least=0.0)
        if self.weight_decay and any(map(sparse_parts, self.modules)):
            raise ValueError(
                "weight_decay: expected 0 with a sparse embedding, of which a step changes only some rows, "
                f"got {self.weight_decay}"
            )
        self.steps: int = 0
        with named_memory("moments", "use SGD without momentum, or a smaller model"):
            self._moments: list[Moments] = [
                {name: np.zeros_like(module.parameters.flat) for name in self.moment_names}
                for module in self.modules
            ]
        self.moments: Moments = self._named(self._moments)
        # For each parameter, the steps in which it was frozen.
        self._skipped = [np.zeros(len(module.parameters), np.int64) for module in self.modules]

    @property
    def module(self) -> Module:
        """The module being trained, if it is only one."""
        if len(self.modules) > 1:
            raise AttributeError("module: this optimizer trains several; use its modules")
        return self.modules[0]

    def step(self, learning_rate: float | None = None, *, gradient_scale: float = 1.0) -> None:
        """Update the parameters of all modules once, from their gradients.

        Parameters
        ----------
        learning_rate : float, optional
            For this step only; the default is the attribute.
        gradient_scale : float, default 1.0
            Factor applied to the gradients as they are read; the gradients themselves do not change.
        """
        given = (self.learning_rate if learning_rate is None else learning_rate, gradient_scale)
        work = []
        # Sparse rows are copied before any change: if memory runs out here, nothing has changed.
        for module, moments, skipped in zip(self.modules, self._moments, self._skipped, strict=True):
            parameters, gradients = module.parameters._writable_flat(), module.gradients.flat
            for part in trained_parts(module, skipped.tolist()):
                targets = {"": parameters, **moments}
                values = {name: part.read(flat) for name, flat in targets.items()}
                work.append((part, targets, values, part.read(gradients)))
        self.steps += 1
        for part, targets, values, gradient in work:
            own = {name: moment for name, moment in values.items() if name}
            self._update(values[""], gradient, own, self.steps - part.mark, *given)
            for name, flat in targets.items():
                part.write(flat, values[name])
        for module, skipped in zip(self.modules, self._skipped, strict=True):
            frozen = module.frozen
            if frozen:
                skipped += [name in frozen for name in module.parameters]

    def zero_grad(self) -> None:
        """Set the gradients of all modules to zero."""
        for module in self.modules:
            module.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the moments, and ``"steps"``.

        If parameters were frozen, also ``"skipped"``: for each parameter, the steps in which it was frozen.
        """
        skipped = self._named([{"skipped": counts} for counts in self._skipped])
        arrays = {**self.moments, **{name: counts for name, counts in skipped.items() if counts.any()}}
        return {"steps": self.steps, **{name: array.copy() for name, array in arrays.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned. If the state does not fit, nothing changes.

        Raises
        ------
        ValueError
            If a moment is missing or unknown, or has another shape or dtype.
        """
        counts = self._named([{"skipped": skipped} for skipped in self._skipped])
        if set(state) - set(counts) != {"steps", *self.moments}:
            raise ValueError(
                f"optimizer state: expected {sorted({'steps', *self.moments})}, got {sorted(state)}"
            )
        steps = as_count("optimizer state steps", state["steps"])
        arrays = {**self.moments, **{name: own for name, own in counts.items() if name in state}}
        state = {name: of_others(f"optimizer state {name}", value) for name, value in state.items()}
        for name, array in arrays.items():
            given = np.asarray(state[name])
            if given.shape != array.shape or given.dtype != array.dtype:
                raise ValueError(
                    f"optimizer state {name}: expected {array.dtype} {list(array.shape)}, "
                    f"got {given.dtype} {list(given.shape)}"
                )
            if name in counts and ((given < 0) | (given > steps)).any():
                raise ValueError(f"optimizer state {name}: expected 0 .. {steps} steps, got {given}")
        for own in counts.values():
            own[...] = 0
        for name, array in arrays.items():
            array[...] = state[name]
        self.steps = steps

    def _named(self, parts: list[Moments]) -> Moments:
        """Return the arrays of all modules under the names that `state_dict` has for them."""
        if len(parts) == 1:
            return dict(parts[0])
        return {f"{index}.{name}": array for index, part in enumerate(parts) for name, array in part.items()}

    def __repr__(self) -> str:
        return constructor_call(self, module=self.modules[0] if len(self.modules) == 1 else [*self.modules])

    @abstractmethod
    def _update(
        self,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
        moments: Moments,
        step: int,
        learning_rate: float,
        gradient_scale: float,
    ) -> None:
        """Update parameters and moments in place, all flat; called once for each part of each module.

        ``step`` counts the steps of these parameters from 1.
        """
