"""Make the layers of reservoirs from their settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Ids, as_dtype
from fastrnn._checks import as_choice, as_number, as_size
from fastrnn.layers import RNN
from fastrnn.models.reservoir.network import ReservoirLayer
from fastrnn.models.reservoir.sparse_layer import MOST_DENSE, SparseLayer
from fastrnn.models.reservoir.topologies import TOPOLOGIES, RecurrentWeights, make_weights

__all__ = ["ReservoirSettings", "make_groups", "read_columns", "reservoir_layer"]

Floats = NDArray[np.float64]

NONLINEARITIES = ("tanh", "relu", "identity", "sigmoid")


@dataclass(frozen=True, kw_only=True)
class ReservoirSettings:
    """The settings of reservoirs, checked; `EchoStateModel` documents them.

    Attributes
    ----------
    spectral_radius, leak_rate : tuple of float
        One for each layer.
    input_scaling, feedback_scaling : float or tuple of float
    others
        As for `EchoStateModel`.
    """

    hidden_size: int
    topology: str
    density: float
    rewiring: float
    spectral_radius: tuple[float, ...]
    leak_rate: tuple[float, ...]
    input_scaling: float | tuple[float, ...]
    bias_scaling: float
    feedback_scaling: float | tuple[float, ...]
    layer_scaling: float
    nonlinearity: str
    num_layers: int
    num_reservoirs: int
    input_groups: tuple[tuple[int, ...], ...] | None
    dtype: str

    @classmethod
    def of(cls, model: Any) -> ReservoirSettings:
        """Check the settings of a model.

        Raises
        ------
        ValueError, TypeError
            If one is out of range or of a wrong kind; the message names it.
        """
        layers = as_size("num_layers", model.num_layers)
        reservoirs = as_size("num_reservoirs", model.num_reservoirs)
        return cls(
            hidden_size=as_size("hidden_size", model.hidden_size),
            topology=as_choice("topology", model.topology, TOPOLOGIES),
            density=as_number("density", model.density, above=0.0, most=1.0),
            rewiring=as_number("rewiring", model.rewiring, least=0.0, most=1.0),
            spectral_radius=_for_layers("spectral_radius", model.spectral_radius, layers, above=0.0),
            leak_rate=_for_layers("leak_rate", model.leak_rate, layers, above=0.0, most=1.0),
            input_scaling=_one_or_more("input_scaling", model.input_scaling),
            bias_scaling=as_number("bias_scaling", model.bias_scaling, least=0.0),
            feedback_scaling=_one_or_more("feedback_scaling", getattr(model, "feedback_scaling", 0.0)),
            layer_scaling=as_number("layer_scaling", model.layer_scaling, least=0.0),
            nonlinearity=as_choice("nonlinearity", model.nonlinearity, NONLINEARITIES),
            num_layers=layers,
            num_reservoirs=reservoirs,
            input_groups=_as_groups(model.input_groups, reservoirs),
            dtype=as_dtype(model.dtype).name,
        )

    @property
    def has_feedback(self) -> bool:
        """Whether outputs are fed back."""
        return bool(np.any(np.asarray(self.feedback_scaling) != 0.0))


def make_groups(
    settings: ReservoirSettings, inputs: int, feedback: int, rng: np.random.Generator
) -> list[list[ReservoirLayer]]:
    """Return the layers of each group with random weights.

    Parameters
    ----------
    settings : ReservoirSettings
    inputs : int
        D, the width of the inputs or the number of ids.
    feedback : int
        O, the outputs that are fed back; 0: none.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If there is not a scaling for each input, a group reads a column that is not there, or recurrent
        weights cannot have the spectral radius.
    """
    scaling = np.concatenate(
        [
            _for_columns("input_scaling", settings.input_scaling, inputs, "feature"),
            _for_columns("feedback_scaling", settings.feedback_scaling, feedback, "output"),
        ]
    )
    size = settings.hidden_size
    groups = []
    for columns in read_columns(settings, inputs, feedback):
        own = scaling if columns is None else scaling[columns]
        group = []
        for depth in range(settings.num_layers):
            below = own if depth == 0 else np.full(size, settings.layer_scaling)
            weight_in = rng.uniform(-1.0, 1.0, (size, len(below)))
            if settings.topology == "cycle":
                weight_in = np.sign(weight_in)
            bias = rng.uniform(-1.0, 1.0, size) * settings.bias_scaling
            recurrent = make_weights(
                settings.topology, size, settings.spectral_radius[depth], density=settings.density,
                rewiring=settings.rewiring, rng=rng,
            )  # fmt: skip
            connections = len(recurrent.values) if recurrent.density <= MOST_DENSE else None
            layer = reservoir_layer(settings, depth, len(below), connections)
            _set_weights(layer, weight_in * below, bias, recurrent)
            group.append(layer)
        groups.append(group)
    return groups


def reservoir_layer(
    settings: ReservoirSettings, depth: int, width: int, connections: int | None
) -> ReservoirLayer:
    """Return a layer of any weights that reads vectors of a width; sparse, if there are `connections`."""
    rate = settings.leak_rate[depth]
    if connections is not None:
        return SparseLayer(
            width, settings.hidden_size, connections, leak_rate=rate, nonlinearity=settings.nonlinearity,
            dtype=settings.dtype,
        )  # fmt: skip
    leak = 1.0 - rate or None  # None: a plain layer, whose kernels are faster
    return RNN(
        width, settings.hidden_size, nonlinearity=settings.nonlinearity, leak=leak, dtype=settings.dtype,
        seed=0,
    )  # fmt: skip


def read_columns(settings: ReservoirSettings, inputs: int, feedback: int) -> list[Ids | None]:
    """Return which columns of inputs and fed-back outputs each group reads; None for all.

    Raises
    ------
    ValueError
        If a column is not there.
    """
    if settings.input_groups is None:
        return [None] * settings.num_reservoirs
    for index, group in enumerate(settings.input_groups):
        for column in group:
            if column >= inputs:
                raise ValueError(
                    f"input_groups[{index}]: expected columns in 0 .. {inputs - 1}, got {column}"
                )
    back = range(inputs, inputs + feedback)
    return [np.array([*group, *back], np.int64) for group in settings.input_groups]


def _set_weights(layer: ReservoirLayer, weight_in: Floats, bias: Floats, recurrent: RecurrentWeights) -> None:
    with layer.parameters.edit() as views:
        views["weight_ih_l0"][...] = weight_in
        views["bias_ih_l0"][...] = bias
        if isinstance(layer, SparseLayer):
            views["connections_l0"][...] = recurrent.values
        else:
            views["bias_hh_l0"][...] = 0.0
            views["weight_hh_l0"][...] = recurrent.dense()
    if isinstance(layer, SparseLayer):
        layer.set_pattern(recurrent.columns, recurrent.row_ends())


def _for_layers(name: str, value: Any, layers: int, **limits: float) -> tuple[float, ...]:
    """Return a number for each layer."""
    if np.ndim(value) == 0:
        return (as_number(name, value, **limits),) * layers
    numbers = tuple(as_number(f"{name}[{i}]", one, **limits) for i, one in enumerate(value))
    if len(numbers) != layers:
        raise ValueError(f"{name}: expected a number or {layers}, one for each layer, got {len(numbers)}")
    return numbers


def _one_or_more(name: str, value: Any) -> float | tuple[float, ...]:
    if np.ndim(value) == 0:
        return as_number(name, value, least=0.0)
    return tuple(as_number(f"{name}[{i}]", one, least=0.0) for i, one in enumerate(value))


def _for_columns(name: str, value: float | tuple[float, ...], columns: int, what: str) -> Floats:
    if not isinstance(value, tuple):
        return np.full(columns, value)
    if len(value) != columns:
        raise ValueError(f"{name}: expected a number or {columns}, one for each {what}, got {len(value)}")
    return np.array(value)


def _as_groups(value: Any, reservoirs: int) -> tuple[tuple[int, ...], ...] | None:
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise TypeError(f"input_groups: expected a list of columns for each reservoir, got {value!r}")
    groups = []
    for index, group in enumerate(value):
        if np.ndim(group) != 1:
            raise TypeError(f"input_groups[{index}]: expected a list of columns, got {group!r}")
        groups.append(tuple(as_size(f"input_groups[{index}]", column, least=0) for column in group))
    if len(groups) != reservoirs:
        raise ValueError(
            f"input_groups: expected {reservoirs}, one for each reservoir (num_reservoirs), got {len(groups)}"
        )
    if not all(groups):
        raise ValueError("input_groups: expected at least one column for each reservoir, got none")
    return tuple(groups)
