"""What every model with ``fit`` is: an estimator with a network, a generator, and a file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn.models.base.examples import Examples
from fastrnn.models.base.fitting import SCHEDULES, FitSettings
from fastrnn.models.base.scikit_estimator import ScikitEstimator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["FittedModel", "validation_examples"]


class FittedModel(ScikitEstimator, ABC):
    """The base class of models whose fitted state is a network: their files, seeds and training loop."""

    network_: Any
    history_: dict[str, list[float]]
    n_iter_: int

    def __init__(self, **settings: Any) -> None:
        """Store the settings; a dataclass makes its own."""

    @abstractmethod
    def _settings(self) -> FitSettings:
        """Check the settings; return those of the training loop."""

    @abstractmethod
    def _make_network(self, rng: np.random.Generator) -> Any:
        """Return the network that the settings and the learned attributes describe."""

    def _new_network(self, rng: np.random.Generator) -> Any:
        """Return that network in the precision of the settings; a model without that setting has float32."""
        return self._make_network(rng)

    @abstractmethod
    def _learned(self) -> dict[str, Any]:
        """Return the learned attributes as plain values, ready for ``json.dumps``."""

    @abstractmethod
    def _restore(self, values: Mapping[str, Any]) -> None:
        """Set the learned attributes from plain values that come from a file, checking each."""

    def _tensors(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps besides the network's parameters, as arrays by name."""
        return {}

    def _restore_tensors(self, tensors: dict[str, NDArray[Any]]) -> None:
        """Set what `_tensors` returned, checking each, once there is a network."""
        if tensors:
            raise ValueError(f"tensors: unknown {', '.join(tensors)}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one safetensors file; `load` of its class reads it.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        OSError
            If the file cannot be written; an existing one stays as it was.
        """
        from fastrnn.models.base.model_file import write_model

        self._check_fitted("save")
        write_model(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the model of a file that `save` wrote.

        Raises
        ------
        CheckpointError
            If the file is damaged, or holds a model of another kind.
        OSError
            If the file cannot be read.
        """
        from fastrnn.models.base.model_file import read_model

        return read_model(path, cls)

    def _generator(self) -> np.random.Generator:
        """Return the generator of `random_state`; a seed makes the same one each time."""
        state: Any = getattr(self, "random_state", None)
        if isinstance(state, np.random.RandomState):
            return np.random.default_rng(state.randint(2**31))
        if state is None or isinstance(state, (int, np.integer, np.random.Generator)):
            return np.random.default_rng(state)
        raise TypeError(
            f"random_state: expected an int, a numpy.random.Generator or None, got {type(state).__name__}"
        )

    def _training_settings(self) -> FitSettings:
        """Check the settings of the training loop."""
        own: Any = self  # a dataclass with these fields
        as_number("validation_fraction", own.validation_fraction, above=0.0, below=1.0)
        return FitSettings(
            epochs=as_size("epochs", own.epochs),
            batch_size=as_size("batch_size", own.batch_size),
            learning_rate=as_number("learning_rate", own.learning_rate, above=0.0),
            schedule=as_choice("schedule", own.schedule, SCHEDULES),
            weight_decay=as_number("weight_decay", own.weight_decay, least=0.0),
            clip_norm=None if own.clip_norm is None else as_number("clip_norm", own.clip_norm, above=0.0),
            early_stopping=as_flag("early_stopping", own.early_stopping),
            n_iter_no_change=as_size("n_iter_no_change", own.n_iter_no_change),
            verbose=as_flag("verbose", own.verbose),
        )


def validation_examples(validation: Any, encode: Callable[[Any, Any], Examples]) -> Examples:
    """Encode a pair (X, y) for validation; what is wrong with them is not said of the training data.

    Raises
    ------
    TypeError, ValueError
        If it is no pair, or as `encode` does.
    """
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError(f"validation: expected a pair (X, y), got {type(validation).__name__}")
    try:
        return encode(*validation)
    except ValueError as error:
        raise ValueError(f"validation: {error}") from error
    except TypeError as error:
        raise TypeError(f"validation: {error}") from error
