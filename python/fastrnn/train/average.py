"""What averages of parameters share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import _dispatch
from fastrnn.train.interrupts import defer_interrupts
from fastrnn.train.training_state import TrainingState

if TYPE_CHECKING:
    from fastrnn.models import LanguageModel

__all__ = ["Average", "write_parameters"]


class Average(ABC):
    """What averages share: the model that is trained, and a copy of it that holds the averaged parameters.

    The copy takes as much memory as the model's parameters, from the beginning on.

    Attributes
    ----------
    model : LanguageModel
        The one that is trained.
    updates : int
        Steps seen so far.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.updates = 0
        self._averaged = copy.deepcopy(model)

    @property
    def started(self) -> bool:
        """Whether there is an average already."""
        return self._started(self.updates)

    @property
    def averaged(self) -> LanguageModel:
        """A model with the averaged parameters, for inference; until there are any, the trained one."""
        return self._averaged if self.started else self.model

    @abstractmethod
    def update(self) -> None:
        """Take the trained parameters in; a trainer calls it after each step of the optimizer."""

    def observe(self, valid_loss: float) -> None:  # noqa: B027 - not all averages listen
        """Hear a validation loss. Only `NonMonotonicAverage` acts on it."""

    def copy_to(self, model: LanguageModel) -> None:
        """Give a model, be it the trained one, the averaged parameters.

        Raises
        ------
        ValueError
            If it has other parameters.
        """
        with defer_interrupts():
            model.load_state_dict(self.averaged.parameters)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the trained model have the averaged parameters inside a ``with`` block, then its own again.

        Training inside the block is lost at its end.
        """
        own = self.model.parameters.flat.copy()
        try:
            with defer_interrupts():
                write_parameters(self.model, self.averaged.parameters.flat)
            yield
        finally:
            with defer_interrupts():
                write_parameters(self.model, own)

    def state(self) -> TrainingState:
        """Give all that another average needs to go on with the same bits."""
        arrays = {"parameters": self._averaged.parameters.flat.copy()} if self.started else {}
        return TrainingState({"kind": type(self).__name__, "updates": self.updates}, arrays)

    def restore(self, state: TrainingState) -> None:
        """Go on from what `state` gave. Nothing changes where it does not fit.

        Raises
        ------
        ValueError
            If it is of an average of another kind, or of another model.
        """
        own = type(self).__name__
        if state.values["kind"] != own:
            raise ValueError(f"average: expected the state of {own}, got that of {state.values['kind']}")
        updates = int(state.values["updates"])
        if self._started(updates):
            flat, given = self._averaged.parameters.flat, state.arrays.get("parameters", np.empty(0))
            if given.shape != flat.shape or given.dtype != flat.dtype:
                expected, got = (f"{array.dtype} {list(array.shape)}" for array in (flat, given))
                raise ValueError(f"average: expected {expected}, got {got}")
            write_parameters(self._averaged, given)
        self.updates = updates

    def _started(self, updates: int) -> bool:
        """Whether there is an average after so many updates."""
        return True

    def _move(self, rate: float) -> None:
        """Move the average by a part of its way to the trained parameters.

        A step of gradient descent with ``g = p - average``: one native pass that allocates nothing, so that
        it cannot fail between a step of the optimizer and the count of steps.
        """
        average = self._averaged.parameters._writable_flat()
        _dispatch.kernels.sgd_step(average, self.model.parameters.flat, None, -rate, 0.0, -1.0, False)


def write_parameters(model: LanguageModel, values: NDArray[Any]) -> None:
    """Set all parameters of a model from one flat array of their dtype."""
    np.copyto(model.parameters._writable_flat(), values)
