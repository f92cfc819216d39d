"""Layers of Keras that are not recurrent, as operations of inference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_number
from fastrnn.interop.keras.activations import Unsupported, function_of, part_of
from fastrnn.interop.keras.configuration import LayerConfig
from fastrnn.interop.keras.layer_weights import Weights
from fastrnn.interop.keras.merging_layers import MERGING, Builder
from fastrnn.interop.keras.operation import Built, Masks, Operation, Pointwise, checked_weights
from fastrnn.layers import Activation, Embedding, Linear

__all__ = ["BUILDERS", "Distributed", "embedding"]

# In inference.
_WITHOUT_EFFECT = (
    *("Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout"),
    *("ActivityRegularization", "Identity"),
)


def embedding(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    """Return an Embedding; with mask_zero, id 0 is masked."""
    (table,) = checked_weights(weights, ["embeddings"], built)
    _expect("embeddings", table, tuple(layer.config.get(key) for key in ("input_dim", "output_dim")))
    module = Embedding(*table.shape, dtype=built.dtype.name, seed=0)
    module.load_state_dict({"weight": table})
    return _Lookup(layer.name, module, bool(layer.config.get("mask_zero", False)))


class _Lookup(Operation):
    """An embedding."""

    reads_ids = True

    def __init__(self, name: str, module: Embedding, mask_zero: bool) -> None:
        super().__init__(name, module)
        self.masks = mask_zero

    def parts(self) -> list[tuple[str, Any]]:
        return [("", self.module)]

    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        ids = inputs[0]
        if ids.dtype.kind == "f":
            whole = ids.astype(np.int64)
            if not np.array_equal(whole, ids):
                raise ValueError(f"{self.name}: expected ids, whole numbers, got others")
            ids = whole
        if ids.size and ids.min() < 0:
            raise ValueError(f"{self.name}: expected ids of 0 or more, got {ids.min()}")
        return [self.module(ids)], [ids != 0 if self.masks else masks[0]]


def dense(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    """Return a Dense layer, with its activation."""
    _refuse(layer, lora_rank="is a LoRA layer")
    bias = bool(layer.config.get("use_bias", True))
    arrays = checked_weights(weights, ["kernel", "bias"][: 1 + bias], built)
    function = function_of(layer.config.get("activation"), built.version)
    units = layer.config.get("units")
    _expect("kernel", arrays[0], (None, units))
    if bias:
        _expect("bias", arrays[1], (units,))
    K, F = arrays[0].shape
    module = Linear(K, F, bias, dtype=built.dtype.name, seed=0)
    module.load_state_dict(dict(zip(("weight", "bias"), (arrays[0].T, *arrays[1:]), strict=False)))
    return Pointwise(
        layer.name,
        lambda x: function(module(np.ascontiguousarray(x))),
        module,
        parts=lambda: [("", module), *_activation_parts(layer, built, "_activation")],
    )


def _activation_parts(layer: LayerConfig, built: Built, suffix: str = "") -> list[tuple[str, Any]]:
    function = part_of(layer.config.get("activation"), built.version)
    return [] if function is None else [(suffix, Activation(function, dtype=built.dtype.name))]


def _expect(name: str, array: Array, shape: tuple[Any, ...]) -> None:
    if len(shape) != array.ndim or any(
        size is not None and size != found for size, found in zip(shape, array.shape, strict=True)
    ):
        raise Unsupported(f"{name}: expected {list(shape)}, got {list(array.shape)}")
    if 0 in array.shape:
        raise Unsupported(f"{name}: expected numbers, got {list(array.shape)}")


def _refuse(layer: LayerConfig, **reasons: str) -> None:
    for option, reason in reasons.items():
        if layer.config.get(option):
            raise Unsupported(f"{reason} ({option}={layer.config[option]!r:.40})")


# --- normalisation ---


def batch_normalization(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    """Return a BatchNormalization, with its moving averages."""
    names = [
        name for name, option in (("gamma", "scale"), ("beta", "center")) if layer.config.get(option, True)
    ]
    arrays = checked_weights(weights, [*names, "moving_mean", "moving_variance"], built)
    mean, variance = arrays[-2:]
    given = dict(zip(names, arrays, strict=False))
    for name, array in {**given, "moving_variance": variance}.items():
        _expect(name, array, (mean.size,))
    epsilon = as_number("epsilon", layer.config.get("epsilon", 1e-3), least=0.0)
    scale = given.get("gamma", np.ones_like(mean)) / np.sqrt(variance + built.dtype.type(epsilon))
    shift = given.get("beta", np.zeros_like(mean)) - mean * scale
    axis = _axis_of(layer)

    def normalise(x: Array) -> Array:
        _expect_width(x, mean.size, axis)
        y: Array = x * scale + shift
        return y

    return Pointwise(layer.name, normalise, keeps_mask=True)


def layer_normalization(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    """Return a LayerNormalization over the last axis."""
    _refuse(layer, rms_scaling="has another form")
    names = [
        name for name, option in (("gamma", "scale"), ("beta", "center")) if layer.config.get(option, True)
    ]
    given = dict(zip(names, checked_weights(weights, names, built), strict=True))
    for name, array in given.items():
        _expect(name, array, (None,))
    epsilon = built.dtype.type(as_number("epsilon", layer.config.get("epsilon", 1e-3), least=0.0))
    axis = _axis_of(layer)

    def normalise(x: Array) -> Array:
        for array in given.values():
            _expect_width(x, array.size, axis)
        centred = x - x.mean(axis=-1, keepdims=True)
        y: Array = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + epsilon)
        y = y * given.get("gamma", 1) + given.get("beta", 0)
        return y

    return Pointwise(layer.name, normalise, keeps_mask=True)


def _axis_of(layer: LayerConfig) -> int:
    """Return the axis, which must turn out to be the last."""
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if type(axis) is not int or not -1 <= axis < 8 or axis == 0:
        raise Unsupported(f"normalises over axis {axis!r:.40}; expected the last")
    return axis


def _expect_width(x: Array, width: int, axis: int) -> None:
    if not x.ndim or x.shape[-1] != width:
        raise ValueError(f"expected [..., {width}], got {list(x.shape)}")
    if axis not in (-1, x.ndim - 1):
        raise ValueError(f"expected the last axis to be {axis}, got {list(x.shape)}")


# --- what has no weights ---


def _identity(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    return Pointwise(layer.name, lambda x: x, parts=list)


def _activation(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    function = function_of(layer.config.get("activation"), built.version)
    return Pointwise(layer.name, function, parts=lambda: _activation_parts(layer, built))


def _softmax(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    if layer.config.get("axis", -1) not in (-1, [-1]):
        raise Unsupported(f"is over axis {layer.config.get('axis')!r}; expected the last")
    return _activation(_with_activation(layer, "softmax"), weights, built)


def _relu(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    _refuse(layer, max_value="has a limit", negative_slope="has a slope", threshold="has a threshold")
    return _activation(_with_activation(layer, "relu"), weights, built)


def _with_activation(layer: LayerConfig, name: str) -> LayerConfig:
    return replace(layer, config={"activation": name})


def _leaky_relu(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    slope = as_number("negative_slope", layer.config.get("negative_slope", layer.config.get("alpha", 0.3)))
    return Pointwise(layer.name, lambda x: np.where(x > 0, x, x * x.dtype.type(slope)), keeps_mask=True)


def _elu(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    alpha = as_number("alpha", layer.config.get("alpha", 1.0))
    return Pointwise(
        layer.name,
        lambda x: np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0))),
        keeps_mask=True,
    )


class _Masking(Operation):
    """Masks the steps whose numbers are all of one value, and sets them to zero."""

    masks = True

    def __init__(self, name: str, value: float) -> None:
        super().__init__(name)
        self._value = value

    def parts(self) -> list[tuple[str, Any]]:
        return []

    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        (x,) = inputs
        mask = (x != x.dtype.type(self._value)).any(axis=-1)
        return [x * mask[..., None]], [mask]


def _masking(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    return _Masking(layer.name, as_number("mask_value", layer.config.get("mask_value", 0.0)))


def _average_pooling(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    kept = _pooling(layer)

    def pool(x: Array, mask: Any) -> Array:
        _expect_steps(x)
        if mask is None:
            y: Array = x.mean(axis=1, keepdims=kept)
            return y
        count = mask.sum(axis=1)[:, None].astype(x.dtype)
        with np.errstate(invalid="ignore"):
            y = (x * mask[..., None]).sum(axis=1) / count  # of no step: NaN, as of Keras
        return y[:, None] if kept else y

    return Pointwise(layer.name, pool, reads_mask=True)


def _max_pooling(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    kept = _pooling(layer)

    def pool(x: Array) -> Array:
        _expect_steps(x)
        y: Array = x.max(axis=1, keepdims=kept)
        return y

    return Pointwise(layer.name, pool)


def _pooling(layer: LayerConfig) -> bool:
    if layer.config.get("data_format") not in (None, "channels_last"):
        raise Unsupported(f"has data_format {layer.config['data_format']!r}")
    return bool(layer.config.get("keepdims", False))


def _expect_steps(x: Array) -> None:
    if x.ndim != 3 or not x.shape[1]:
        raise ValueError(f"expected [N, T, D] with a step or more, got {list(x.shape)}")


def _flatten(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    _pooling(layer)
    return Pointwise(layer.name, lambda x: x.reshape(len(x), math.prod(x.shape[1:])))


def _reshape(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    shape = layer.config.get("target_shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= -1 for size in shape):
        raise Unsupported(f"has target_shape {shape!r:.60}")
    return Pointwise(layer.name, lambda x: x.reshape(len(x), *shape))


def _permute(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    axes = layer.config.get("dims")
    if not isinstance(axes, list) or sorted(axes, key=repr) != [*range(1, len(axes) + 1)]:
        raise Unsupported(f"has dims {axes!r:.60}")
    return Pointwise(layer.name, lambda x: x.transpose(0, *axes))


def _repeat(layer: LayerConfig, weights: Weights, built: Built) -> Operation:
    count = layer.config.get("n")
    if type(count) is not int or not 1 <= count <= 2**24:
        raise Unsupported(f"has n {count!r:.40}")

    def repeat(x: Array) -> Array:
        if x.ndim != 2:
            raise ValueError(f"expected [N, D], got {list(x.shape)}")
        return np.broadcast_to(x[:, None], (len(x), count, x.shape[1]))

    return Pointwise(layer.name, repeat)


class Distributed(Operation):
    """A layer that runs on each step alone."""

    inner: Operation

    def __init__(self, name: str, inner: Operation) -> None:
        super().__init__(name, inner.module)
        self.inner, self.stepwise, self.reads_ids = inner, inner.stepwise, inner.reads_ids

    def parts(self) -> list[tuple[str, Any]]:
        """Return those of the layer, if it computes each step alone."""
        return self.inner.parts() if self.stepwise else super().parts()

    def within(self) -> Iterator[Operation]:
        """Yield those within the layer."""
        yield from self.inner.within()

    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        """Run the layer on all steps at once."""
        (x,) = inputs
        if x.ndim < 3:
            raise ValueError(f"{self.name}: expected [N, T, ...], got {list(x.shape)}")
        N, T = x.shape[:2]
        (y,), _ = self.inner([x.reshape(N * T, *x.shape[2:])], [None])
        return [y.reshape(N, T, *y.shape[1:])], [masks[0]]


#: The builder of each kind of layer, by the name of Keras's class.
BUILDERS: Mapping[str, Builder] = {
    "Embedding": embedding,
    "Dense": dense,
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    **dict.fromkeys(
        _WITHOUT_EFFECT,
        _identity,
    ),
    "Activation": _activation,
    "Softmax": _softmax,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "Masking": _masking,
    "GlobalAveragePooling1D": _average_pooling,
    "GlobalMaxPooling1D": _max_pooling,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "RepeatVector": _repeat,
    **MERGING,
}
