"""What a layer of an imported model does: arrays and masks in, arrays and masks out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from fastrnn._arrays import Array, widen_bfloat16
from fastrnn.interop.keras.activations import Unsupported
from fastrnn.interop.keras.hdf5_file import Unreadable
from fastrnn.interop.keras.layer_weights import Weights

__all__ = ["Built", "Masks", "Operation", "Pointwise", "checked_weights"]

#: For each array, which steps are not masked, bool [N, T]; None: all.
Masks: TypeAlias = "list[Any]"


class Built:
    """What is the same for all layers of a file, and what was noted of them.

    Attributes
    ----------
    version : str or None
        Of Keras.
    dtype : numpy.dtype
        In which all layers compute.
    notes : list of str
    """

    version: str | None
    dtype: np.dtype[Any]

    def __init__(self, version: str | None, dtype: np.dtype[Any]) -> None:
        self.version, self.dtype = version, dtype
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)


class Operation(ABC):
    """A layer of a model.

    Attributes
    ----------
    name : str
    module : Module or None
        The layer here that computes it, if there is one.
    stepwise : bool
        Whether it computes each step alone.
    masks : bool
        Whether it makes a mask.
    of_masks : bool
        Whether it is an operation on masks.
    reads_ids : bool
        Whether integers are left as they are.
    kept : object
        The state that is kept between calls, if it keeps one.
    """

    name: str
    module: Any

    stepwise = False
    masks = False
    of_masks = False
    reads_ids = False
    kept: Any = None

    def __init__(self, name: str, module: Any = None) -> None:
        self.name, self.module = name, module

    @abstractmethod
    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        """Return the outputs and their masks."""

    def parts(self) -> list[tuple[str, Any]]:
        """Return the parts of a `Sequential` that compute the same, each with what follows its name.

        Raises
        ------
        Unsupported
            If there are none.
        """
        raise Unsupported(f"{self.name} has no counterpart in a Sequential")

    def within(self) -> Iterator[Operation]:
        """Yield each operation that keeps a state: this one, or those within it."""
        yield self


class Pointwise(Operation):
    """A function of one array; the mask stays, or ends.

    Parameters
    ----------
    name : str
    function : callable
        Of the array, or with `reads_mask` of the array and its mask.
    module : Module, optional
    parts : callable, optional
        Returns the parts of a `Sequential`; then each step is computed alone, and the mask stays.
    keeps_mask : bool, default False
        Whether the mask stays where there are no such parts.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Array],
        module: Any = None,
        *,
        parts: Callable[[], list[tuple[str, Any]]] | None = None,
        keeps_mask: bool = False,
        reads_mask: bool = False,
    ) -> None:
        super().__init__(name, module)
        self._function, self._parts, self._reads = function, parts, reads_mask
        self.stepwise: bool = parts is not None
        self._keeps = keeps_mask or self.stepwise

    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        """Apply the function."""
        if len(inputs) != 1:
            raise ValueError(f"{self.name}: expected one input, got {len(inputs)}")
        try:
            y = self._function(inputs[0], masks[0]) if self._reads else self._function(inputs[0])
        except (ValueError, TypeError) as error:
            raise type(error)(f"{self.name}: {error}") from None
        return [y], [masks[0] if self._keeps else None]

    def parts(self) -> list[tuple[str, Any]]:
        """Return the parts of a `Sequential`."""
        try:
            return self._parts() if self._parts else super().parts()
        except Unsupported as reason:
            raise Unsupported(f"{self.name} {str(reason).removeprefix(self.name).strip()}") from None


def checked_weights(weights: Weights, names: list[str], built: Built) -> list[Array]:
    """Return a layer's weights in the file's dtype.

    Raises
    ------
    Unsupported
        If there is another number of them, or one is not of floats.
    """
    if len(weights) != len(names):
        raise Unsupported(f"expected {len(names)} weights, {', '.join(names)}; the file has {len(weights)}")
    result = []
    for name, array in zip(names, weights, strict=True):
        if isinstance(array, Unreadable):
            raise Unsupported(f"{name} {array}")
        stored = "bfloat16" if array.dtype.kind == "V" else array.dtype.name
        if array.dtype.kind not in "fV":
            raise Unsupported(f"{name}: expected floats, got {array.dtype}, as of a quantized layer")
        if stored != built.dtype.name:
            built.note(f"weights of {stored} became {built.dtype.name}")
        if array.dtype.kind == "V":
            array = widen_bfloat16(array.view("<u2"))
        result.append(array.astype(built.dtype))
    return result
