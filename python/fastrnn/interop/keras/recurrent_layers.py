"""Recurrent layers of Keras: their weights in our order, masks, directions, states between calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.keras.activations import Unsupported, recurrent_name
from fastrnn.interop.keras.configuration import LayerConfig
from fastrnn.interop.keras.layer_weights import RECURRENT, Weights, inner_layer
from fastrnn.interop.keras.operation import Built, Masks, Operation, checked_weights
from fastrnn.layers import GRU, LSTM, RNN, Recurrent

__all__ = ["Recurrence", "bidirectional", "recurrence"]

_CLASSES: dict[str, Any] = {"SimpleRNN": RNN, "GRU": GRU, "LSTM": LSTM}
_MERGES = ("concat", "sum", "ave", "mul", None)
_PARTS = {"concat": "concat", "sum": "sum", "ave": "mean"}  # our names of merges
_ORDERS = {1: (0,), 3: (1, 0, 2), 4: (0, 1, 2, 3)}  # our gates among those of Keras: i, f, c, o and z, r, h


def recurrence(layer: LayerConfig, weights: Weights, built: Built) -> Recurrence:
    """Return the operation of a SimpleRNN, GRU or LSTM.

    Raises
    ------
    Unsupported
        If it has an option that there is not here.
    """
    module = _module(layer, [layer], weights, built)
    return Recurrence(layer, module, None)


def bidirectional(layer: LayerConfig, weights: Weights, built: Built) -> Recurrence:
    """Return the operation of a Bidirectional with a SimpleRNN, GRU or LSTM."""
    forward = inner_layer(layer)
    if forward.kind not in RECURRENT or forward.custom:
        raise Unsupported(f"holds a {forward.kind}; expected one of {', '.join(RECURRENT)}")
    backward = inner_layer(layer, "backward_layer") if layer.config.get("backward_layer") else forward
    options = ("units", "activation", "recurrent_activation", "use_bias", "reset_after", "return_sequences")
    if backward.kind != forward.kind or any(
        backward.config.get(name) != forward.config.get(name) for name in options
    ):
        raise Unsupported("has a backward_layer of another kind than its layer")
    if forward.config.get("go_backwards") or (
        backward is not forward and not backward.config.get("go_backwards")
    ):
        raise Unsupported("has a layer that goes backwards where it should go forward")
    merge = layer.config.get("merge_mode", "concat")
    if merge not in _MERGES:
        raise Unsupported(f"has merge_mode {merge!r}")
    module = _module(layer, [forward, backward], weights, built)
    return Recurrence(forward, module, "none" if merge is None else merge, name=layer.name)


def _module(layer: LayerConfig, ways: list[LayerConfig], weights: Weights, built: Built) -> Recurrent[Any]:
    """Return our layer of one direction or of two, with the weights."""
    kind, config = ways[0].kind, ways[0].config
    gates, bias = RECURRENT[kind], bool(config.get("use_bias", True))
    for name in ("dropout", "recurrent_dropout"):
        if config.get(name):
            built.note(f"{layer.name}: {name} {config[name]} is of training, and is left out")
    names = [name for name in ("kernel", "recurrent_kernel", "bias") if bias or name != "bias"]
    way_names = ("forward ", "backward ") if len(ways) == 2 else ("",)
    arrays = checked_weights(weights, [way + name for way in way_names for name in names], built)
    options, factors = _options(ways[0], built.version)
    if kind == "GRU" and bias:
        options["reset_after"] = _reset_after(config, arrays[2])
    D, H = arrays[0].shape[0] if arrays[0].ndim == 2 else 0, int(config.get("units", -1))
    state: dict[str, Array] = {}
    for index, suffix in enumerate(("_l0", "_l0_reverse")[: len(ways)]):
        own = arrays[index * len(names) : (index + 1) * len(names)]
        _check_shapes(own, names, (D, H, gates), options.get("reset_after", False))
        state |= _converted(own, gates, factors, suffix)
    module: Recurrent[Any] = _CLASSES[kind](
        D, H, bidirectional=len(ways) == 2, bias=bias, dtype=built.dtype.name, seed=0, **options
    )
    module.load_state_dict(state)
    return module


def _options(layer: LayerConfig, version: str | None) -> tuple[dict[str, Any], tuple[float, float]]:
    """Return our options, and the factors of the gates' weights and of the candidate's."""
    config = layer.config
    name, factor = recurrent_name(config.get("activation", "tanh"), version)
    if layer.kind == "SimpleRNN":
        return {"nonlinearity": name}, (factor, factor)
    gate, gate_factor = recurrent_name(config.get("recurrent_activation", "sigmoid"), version)
    given = {"gate_activation": (gate, "sigmoid"), "candidate_activation": (name, "tanh")}
    if layer.kind == "LSTM":
        if factor != 1:
            raise Unsupported("has the hard_sigmoid of Keras 3 as its activation, which is another here")
        given["output_activation"] = (name, "tanh")
    options: dict[str, Any] = {key: value for key, (value, usual) in given.items() if value != usual}
    if layer.kind == "GRU":
        options["reset_after"] = bool(
            config.get("reset_after", False)
        )  # it is missing where there was no other
    return options, (gate_factor, factor)


def _reset_after(config: Any, bias: Array) -> bool:
    """Return the form of a GRU, which its bias shows: [2, 3H] if the reset comes after the product."""
    said = config.get("reset_after", bias.ndim == 2)
    if bool(said) != (bias.ndim == 2):
        raise Unsupported(f"has reset_after={said} and a bias {list(bias.shape)}")
    return bool(said)


def _check_shapes(
    arrays: list[Array], names: list[str], sizes: tuple[int, int, int], reset_after: bool
) -> None:
    D, H, gates = sizes
    expected = {
        "kernel": (D, gates * H),
        "recurrent_kernel": (H, gates * H),
        "bias": (2, gates * H) if reset_after else (gates * H,),
    }
    for name, array in zip(names, arrays, strict=True):
        if array.shape != expected[name] or H < 1 or D < 1:
            raise Unsupported(f"{name}: expected {list(expected[name])}, got {list(array.shape)}")


def _converted(
    arrays: list[Array], gates: int, factors: tuple[float, float], suffix: str
) -> dict[str, Array]:
    """Return the weights of one direction as ours."""
    order = _ORDERS[gates]
    candidate = {1: 0, 3: 2, 4: 2}[gates]

    def rows(array: Array) -> Array:  # [..., G*H] -> [G*H, ...]
        parts = np.split(array.T, gates)
        scaled = [
            parts[one]
            if (factor := factors[place == candidate]) == 1
            else parts[one] * array.dtype.type(factor)
            for place, one in enumerate(order)
        ]
        return np.concatenate(scaled)

    state = {"weight_ih": rows(arrays[0]), "weight_hh": rows(arrays[1])}
    if len(arrays) > 2:
        bias = rows(arrays[2])
        state["bias_ih"] = bias[:, 0] if bias.ndim == 2 else bias
        state["bias_hh"] = bias[:, 1] if bias.ndim == 2 else np.zeros_like(bias)
    return {name + suffix: array for name, array in state.items()}


class Recurrence(Operation):
    """A recurrent layer of one direction or of two, with the options that Keras has around it.

    Attributes
    ----------
    module : Recurrent
        Time-major, with one layer.
    merge : str or None
        How the two directions are combined; None of one direction, "none" if they are not.
    """

    module: Recurrent[Any]

    def __init__(
        self, layer: LayerConfig, module: Recurrent[Any], merge: str | None, *, name: str | None = None
    ) -> None:
        super().__init__(name or layer.name, module)
        config = layer.config
        self.merge = merge
        self.sequences: bool = bool(config.get("return_sequences", False))
        self.returns_state: bool = bool(config.get("return_state", False))
        self.backwards: bool = bool(config.get("go_backwards", False))
        self.stateful: bool = bool(config.get("stateful", False))
        self.time_major: bool = bool(config.get("time_major", False))
        both_zero = merge is not None and self.sequences
        self.zero_masked: bool = both_zero or bool(config.get("zero_output_for_mask", False))

    def parts(self) -> list[tuple[str, Any]]:
        """Return the layer, if it returns in the order of time and nothing but y."""
        two = self.module.directions == 2
        for wrong, what in (
            (self.backwards, "goes backwards"),
            (self.returns_state, "returns its state"),
            (self.zero_masked and not two, "returns zeros where a step is masked"),
            (two and not self.sequences, "returns the last outputs of two directions"),
            (two and self.merge not in _PARTS, f"has merge_mode {self.merge!r}"),
        ):
            if wrong:
                raise Unsupported(f"{self.name} {what}, which a Sequential does not")
        if not two or self.merge == "concat":
            return [("", self.module)]
        given = {name: value for name, value, _ in self.module._options()}
        sizes = self.module.input_size, self.module.hidden_size
        kind: Any = type(self.module)
        module = kind(*sizes, **{**given, "merge": _PARTS[str(self.merge)]})
        module.load_state_dict(self.module.state_dict())
        return [("", module)]

    def __call__(self, inputs: list[Array], masks: Masks) -> tuple[list[Array], Masks]:
        """Run the layer; after x there may be an initial state."""
        x, mask = inputs[0], masks[0]
        if x.ndim != 3 or x.shape[2] != self.module.input_size:
            expected = f"[N, T, {self.module.input_size}]"
            raise ValueError(f"{self.name}: expected {expected}, got {list(x.shape)}")
        x = x if self.time_major else x.swapaxes(0, 1)
        mask = mask if mask is None or self.time_major else mask.T
        y, state = self._run(x, mask, self._initial(inputs[1:], x.shape[1]))
        if self.stateful:
            self.kept = state
        outputs = self._outputs(y, state)
        following = [masks[0] if self.sequences else None] * len(outputs)
        if self.returns_state:
            states = state if isinstance(state, tuple) else (state,)
            rows = [one[way] for way in range(self.module.directions) for one in states]
            outputs, following = [*outputs, *rows], [*following, *([None] * len(rows))]
        return outputs, following

    def _initial(self, given: list[Array], N: int) -> Any:
        if given:
            parts = len(given) // self.module.directions
            lstm = isinstance(self.module, LSTM)
            if parts != 1 + lstm or len(given) % self.module.directions:
                raise ValueError(
                    f"{self.name}: expected an initial state of its own form, got {len(given)} arrays"
                )
            arrays = [np.ascontiguousarray(np.stack(given[index::parts])) for index in range(parts)]
            return tuple(arrays) if lstm else arrays[0]
        if self.kept is None:
            return None
        first = self.kept[0] if isinstance(self.kept, tuple) else self.kept
        if first.shape[1] != N:
            raise ValueError(
                f"{self.name}: is stateful with {first.shape[1]} sequences, got {N}; "
                "write model.reset_states()"
            )
        return self.kept

    def _run(self, x: Array, mask: Array | None, state: Any) -> tuple[list[Array], Any]:
        """Return y of each direction, with the steps in the order in which x has them, and the state."""
        if self.backwards:
            x, mask = x[::-1], None if mask is None else mask[::-1]
        H = self.module.hidden_size
        y, state = self.module(np.ascontiguousarray(x), state, mask=mask, zero_masked=self.zero_masked)
        return [y[..., way * H : (way + 1) * H] for way in range(self.module.directions)], state

    def _outputs(self, ways: list[Array], state: Any) -> list[Array]:
        if self.sequences:
            ways = [y if self.time_major else y.swapaxes(0, 1) for y in ways]
        elif len(ways[0]):
            ways = [y[-1 if not way else 0] for way, y in enumerate(ways)]  # of the step computed last
        else:
            h = state[0] if isinstance(state, tuple) else state
            ways = [h[way] for way in range(len(ways))]
        if len(ways) == 1:
            return ways
        one, two = ways
        if self.merge == "none":
            return ways
        if self.merge == "concat":
            return [np.concatenate(ways, axis=-1)]
        return [
            one * two
            if self.merge == "mul"
            else (one + two) * one.dtype.type(0.5 if self.merge == "ave" else 1)
        ]
