"""The base class of parameter averages."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
from numpy.typing import NDArray

from fastrnn import _dispatch
from fastrnn._memory import named_memory
from fastrnn._plain import as_count
from fastrnn._representation import constructor_call
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.train.training_state import TrainingState

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from fastrnn.language import LanguageModel
    from fastrnn.layers.base.module import Module

    ModelT = TypeVar("ModelT", bound=Module, default=LanguageModel)
else:  # without the bound and the default, which only type checkers read
    from typing import TypeVar

    ModelT = TypeVar("ModelT")

__all__ = ["Average", "ModelT", "write_parameters"]


class Average(ABC, Generic[ModelT]):
    """Base class of parameter averages: the trained model and a copy that holds the averaged parameters.

    The copy takes as much memory as the model's parameters, from the start.

    Attributes
    ----------
    model : Module
        The model being trained.
    updates : int
        Steps seen so far.
    """

    def __init__(self, model: ModelT) -> None:
        self.model: ModelT = model
        self.updates: int = 0
        with named_memory("averaged parameters", "train without an average, or a smaller model"):
            self._averaged = copy.deepcopy(model)

    @property
    def started(self) -> bool:
        """Whether averaging has started."""
        return self._started(self.updates)

    @property
    def averaged(self) -> ModelT:
        """A model with the averaged parameters, for inference; before averaging starts, the trained model."""
        return self._averaged if self.started else self.model

    def __repr__(self) -> str:
        return constructor_call(self)

    @abstractmethod
    def update(self) -> None:
        """Include the current parameters in the average; a trainer calls this after each optimizer step."""

    def observe(self, valid_loss: float) -> None:
        """Take note of a validation loss. Only `NonMonotonicAverage` acts on it."""

    def copy_to(self, model: Module) -> None:
        """Copy the averaged parameters into a model, which may be the trained one.

        Raises
        ------
        ValueError
            If the model's parameters do not match.
        """
        with defer_interrupts():
            model.load_state_dict(self.averaged.parameters)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the averaged parameters in the trained model inside a ``with`` block.

        The model's own parameters are restored at the end: training inside the block is lost.
        """
        with named_memory("parameters", "evaluate without the average, or use a smaller model"):
            own = self.model.parameters.flat.copy()
        try:
            with defer_interrupts():
                write_parameters(self.model, self.averaged.parameters.flat)
            yield
        finally:
            with defer_interrupts():
                write_parameters(self.model, own)

    def state(self) -> TrainingState:
        """Return everything that a new average needs to continue with the same bits."""
        arrays = {"parameters": self._averaged.parameters.flat.copy()} if self.started else {}
        return TrainingState({"kind": type(self).__name__, "updates": self.updates}, arrays)

    def restore(self, state: TrainingState) -> None:
        """Continue from a state that `state` returned. If the state does not fit, nothing changes.

        Raises
        ------
        ValueError
            If the state belongs to another kind of average or another model.
        """
        own = type(self).__name__
        if state.values["kind"] != own:
            raise ValueError(f"average: expected the state of {own}, got that of {state.values['kind']}")
        updates = as_count("updates", state.values["updates"])
        if self._started(updates):
            flat, given = self._averaged.parameters.flat, state.arrays.get("parameters", np.empty(0))
            if given.shape != flat.shape or given.dtype != flat.dtype:
                expected, got = (f"{array.dtype} {list(array.shape)}" for array in (flat, given))
                raise ValueError(f"average: expected {expected}, got {got}")
            write_parameters(self._averaged, given)
        self.updates = updates

    def _started(self, updates: int) -> bool:
        """Return whether averaging has started after this number of updates."""
        return True

    def _move(self, rate: float) -> None:
        """Move the average toward the trained parameters by a fraction ``rate`` of the difference.

        This is a gradient step with ``g = p - average`` and learning rate ``-rate``: one native pass that
        allocates nothing, so that it cannot fail between an optimizer step and the update of the step count.
        """
        average = self._averaged.parameters._writable_flat()
        _dispatch.kernels.sgd_step(average, self.model.parameters.flat, None, -rate, 0.0, -1.0, False)


def write_parameters(model: Module, values: NDArray[Any]) -> None:
    """Set all parameters of a model from one flat array of their dtype."""
    np.copyto(model.parameters._writable_flat(), values)
