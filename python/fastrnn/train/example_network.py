"""A network of a user's own as a trainer sees it: with a loss of its outputs on batches of examples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastrnn.data.examples import ExampleBatches
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import random_state, set_random_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastrnn.data.batching import Batch

__all__ = ["ExampleNetwork", "Loss", "generators_of", "network_of"]

#: ``loss(y, targets)``, or with ``lengths=``: returns the mean loss, and its gradient with respect to y.
Loss: TypeAlias = Callable[..., tuple[float, Any]]

_LINE = "Trainer(model, fastrnn.data.ExampleBatches(x, targets), loss=fastrnn.losses.mean_squared_error)"


class ExampleNetwork:
    """A module and a loss, with the methods of a language model that a trainer calls.

    Parameters
    ----------
    module : Module
        With a call, ``forward`` and ``backward``: a layer, a `Composite`, a class of a user's own.
    loss : callable
        Of `fastrnn.losses`, or one like them.
    data : ExampleBatches
        Says how targets and batches are laid out.

    Raises
    ------
    TypeError
        If the module has no passes, or the loss takes no lengths where it needs them.
    """

    module: Module
    loss_of_outputs: Callable[..., Any]
    data: ExampleBatches

    def __init__(self, module: Module, loss: Loss, data: ExampleBatches) -> None:
        for name in ("__call__", "forward", "backward"):
            if not hasattr(module, name):
                kind = type(module).__name__
                raise TypeError(f"model: expected a module with __call__, forward and backward, got {kind}")
        if not callable(loss):
            raise TypeError(f"loss: expected a function of fastrnn.losses or one like it, got {loss!r}")
        self.module, self.loss_of_outputs, self.data = module, loss, data
        self._generators = generators_of(module)
        self._takes_lengths = _takes(loss, "lengths")

    def of(self, module: Module) -> ExampleNetwork:
        """Return another module, such as the averaged one, with the same loss and data."""
        return self if module is self.module else ExampleNetwork(module, self.loss_of_outputs, self.data)

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self.module.zero_grad()

    def loss(self, batch: Batch) -> float:
        """Return the mean loss over a batch, without dropout."""
        module: Any = self.module
        result = module(batch.inputs, **_lengths(batch.lengths))
        return self._loss(result[0] if isinstance(result, tuple) else result, batch.targets, batch.lengths)[0]

    def loss_and_gradients(
        self,
        inputs: NDArray[Any],
        targets: NDArray[Any],
        state: None = None,
        *,
        lengths: NDArray[np.int64] | None = None,
        scale: float = 1.0,
    ) -> tuple[float, None]:
        """Return the mean loss over a batch, and None for the state; add to the module's gradients.

        Parameters
        ----------
        inputs, targets, lengths
            Of a batch.
        state : None
            No batch continues another.
        scale : float, default 1.0
            Factor of the gradients.
        """
        module: Any = self.module
        result = module.forward(inputs, **_lengths(lengths))
        if not isinstance(result, tuple) or len(result) < 2:
            raise TypeError(
                f"{type(module).__name__}.forward: expected y, or y and more, and a tape at the end, "
                f"got {type(result).__name__}"
            )
        loss, dy = self._loss(result[0], targets, lengths)
        module.backward(result[-1], dy if scale == 1.0 else dy * dy.dtype.type(scale))
        return loss, None

    def random_state(self) -> dict[str, Any]:
        """Return the state of all generators as plain values, ready for ``json.dumps``."""
        return {"generators": [random_state(one) for one in self._generators]}

    def set_random_state(self, state: Mapping[str, Any]) -> None:
        """Set the state of all generators to one that `random_state` returned.

        Raises
        ------
        ValueError
            If it is not a state, or that of another network.
        """
        states = state.get("generators")
        if not isinstance(states, list) or len(states) != len(self._generators):
            raise ValueError(
                f"random state: expected those of {len(self._generators)} generators, got {states!r:.80}"
            )
        for generator, own in zip(self._generators, states, strict=True):
            set_random_state(generator, own)

    def _loss(self, y: Any, targets: Any, lengths: Any) -> tuple[float, Any]:
        """Return the loss of time-major outputs, and its gradient in the layout of y."""
        swapped = self.data.batch_first and self.data.per_step
        if swapped:
            y, targets = y.swapaxes(0, 1), targets.swapaxes(0, 1)
        needed = lengths is not None and self.data.per_step
        if needed and not self._takes_lengths and targets.dtype.kind != "i":
            raise TypeError(
                "loss: expected one that takes lengths, as the sequences of a batch differ in length"
            )
        loss, dy = self.loss_of_outputs(
            y, targets, **_lengths(lengths if needed and self._takes_lengths else None)
        )
        if np.ndim(loss):
            raise TypeError(
                f"loss: expected one that returns a number, got {list(np.shape(loss))}; leave out reduction="
            )
        return float(loss), dy.swapaxes(0, 1) if swapped else dy


def network_of(model: Any, data: Any, loss: Loss | None) -> Any:
    """Return what a trainer trains: a language model itself, another module with its loss.

    Raises
    ------
    TypeError, ValueError
        If the model, the data and the loss do not belong together; the message has the line to write.
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
    if not hasattr(data, "batch"):
        kinds = "ChunkedText, SentenceBatches or ExampleBatches"
        raise TypeError(f"data: expected {kinds}, got {type(data).__name__}; write {_LINE}")
    if isinstance(data, ExampleBatches):
        if loss is None:
            raise ValueError(f"loss: expected one for ExampleBatches, got None; write {_LINE}")
        return ExampleNetwork(model, loss, data)
    if loss is not None:
        raise TypeError(
            f"data: expected ExampleBatches with a loss, got {type(data).__name__}; write {_LINE}"
        )
    if not hasattr(model, "loss_and_gradients"):
        kind = type(model).__name__
        raise TypeError(
            f"model: expected a LanguageModel for {type(data).__name__}, got {kind}; write {_LINE}"
        )
    return model


def generators_of(module: Module) -> list[np.random.Generator]:
    """Return the generators of a module and of the modules within it, each once."""
    found: dict[int, np.random.Generator] = {}
    todo = [module]
    while todo:
        one = todo.pop()
        own = [value for value in vars(one).values() if isinstance(value, np.random.Generator)]
        found.update((id(generator), generator) for generator in own)
        todo += reversed(one._modules) if isinstance(one, ModuleGroup) else []
    return [*found.values()]


def _lengths(lengths: Any) -> dict[str, Any]:
    """Return the keyword that a call needs: a network without recurrent layers takes none."""
    return {} if lengths is None else {"lengths": lengths}


def _takes(function: Loss, name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of compiled functions
        return True
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)
