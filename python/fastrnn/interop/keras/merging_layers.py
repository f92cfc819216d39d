"""Layers of Keras that make one array of several, and its operations on masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.keras.activations import Unsupported
from fastrnn.interop.keras.configuration import LayerConfig
from fastrnn.interop.keras.layer_weights import Weights
from fastrnn.interop.keras.operation import Built, Masks, Operation

__all__ = ["MERGING", "Builder"]

Builder: TypeAlias = Callable[[LayerConfig, Weights, Built], Operation]


class _Merge(Operation):
    """Several arrays become one."""

    reads_ids = True

    def __init__(
        self, name: str, function: Callable[[list[Array]], Array], built: Built, *, of_masks: bool = False
    ) -> None:
        super().__init__(name)
        self._function, self.of_masks = function, of_masks
        second = bool(built.version) and str(built.version).startswith("2")
        self._masked = np.logical_and if second else np.logical_or

    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        try:
            y = self._function(inputs)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        given = [mask for mask in masks if mask is not None]
        return [y], [reduce(self._masked, given) if given else None]


def _merging(function: Callable[[Array, Array], Array], *, mean: bool = False) -> Builder:
    def build(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
        def merge(inputs: list[Array]) -> Array:
            y = reduce(function, inputs)
            return y / y.dtype.type(len(inputs)) if mean else y

        return _Merge(layer.name, merge, built)

    return build


def _concatenate(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    axis = layer.config.get("axis", -1)
    if type(axis) is not int or not -8 < axis < 8 or axis == 0:
        raise Unsupported(f"has axis {axis!r:.40}")
    return _Merge(layer.name, lambda inputs: np.concatenate(inputs, axis=axis), built)


def _of_masks(function: Callable[..., Array]) -> Builder:
    """Return the builder of an operation on masks: a function of a layer's description and arrays."""

    def build(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
        constants = [call.constant for call in layer.calls]

        def run(inputs: list[Array]) -> Array:
            if len(inputs) == 1 and constants and constants[0] is not None:
                inputs = [*inputs, inputs[0].dtype.type(constants[0])]
            return function(layer.config, *inputs)

        return _Merge(layer.name, run, built, of_masks=True)

    return build


def _axis(config: Mapping[str, Any]) -> int:
    axis = config.get("axis", -1)
    if type(axis) is not int or not -8 < axis < 8:
        raise ValueError(f"axis: expected a number, got {axis!r:.40}")
    return axis


#: The builder of each kind of layer, by the name of Keras's class.
MERGING: Mapping[str, Builder] = {
    "Add": _merging(np.add),
    "Subtract": _merging(np.subtract),
    "Multiply": _merging(np.multiply),
    "Average": _merging(np.add, mean=True),
    "Maximum": _merging(np.maximum),
    "Minimum": _merging(np.minimum),
    "Concatenate": _concatenate,
    "NotEqual": _of_masks(lambda config, one, two: np.not_equal(one, two)),
    "Any": _of_masks(lambda config, x: x.any(axis=_axis(config), keepdims=bool(config.get("keepdims")))),
    "ExpandDims": _of_masks(lambda config, x: np.expand_dims(x, _axis(config))),
    "ZerosLike": _of_masks(lambda config, x: np.zeros(x.shape, bool)),
    "LogicalOr": _of_masks(lambda config, one, two: np.logical_or(one, two)),
    "LogicalAnd": _of_masks(lambda config, one, two: np.logical_and(one, two)),
}
