"""Echo state models as files: what is kept besides the settings and the network's parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag, as_number, as_size
from fastrnn._plain import as_fields, as_list, optional
from fastrnn.models.base.fitted_model import FittedModel
from fastrnn.models.base.model_file import FURTHER
from fastrnn.models.reservoir.build import ReservoirSettings, read_columns, reservoir_layer
from fastrnn.models.reservoir.network import ReservoirNetwork
from fastrnn.models.reservoir.readouts import Accumulator, ReadoutSettings
from fastrnn.models.reservoir.sparse_layer import SparseLayer

__all__ = ["SavedReservoir"]


class SavedReservoir(FittedModel):
    """A fitted model of reservoirs that is written to and made from a file."""

    num_layers: int
    num_reservoirs: int
    input_to_readout: bool
    washout: int
    unfrozen_: bool
    ridge_: float
    ridge_errors_: dict[float, float]
    _inputs: int
    _feedback: int
    _outputs: int
    _noise_seed: int
    _washout: int
    _accumulator: Accumulator | None
    _carried: Any
    _optimizer: Any

    @property
    @abstractmethod
    def _pooling(self) -> str | None:
        """How states become one vector for each sequence; None if there is an output at each step."""

    @abstractmethod
    def _features(self) -> int:
        """Return the number of features that a readout may read: D, or 0 if the inputs are ids."""

    @abstractmethod
    def unfreeze(self) -> Any:
        """Make the reservoirs trainable."""

    def _network(
        self, settings: ReservoirSettings, groups: Sequence[Sequence[Any]], rng: np.random.Generator
    ) -> ReservoirNetwork:
        network = ReservoirNetwork(
            groups, read_columns(settings, self._inputs, self._feedback),
            features=self._features() if self.input_to_readout else 0, outputs=self._outputs,
            pooling=self._pooling, rng=rng,
        )  # fmt: skip
        network.freeze("group*")
        return network

    def _make_network(self, rng: np.random.Generator) -> ReservoirNetwork:
        settings = ReservoirSettings.of(self)
        columns = read_columns(settings, self._inputs, self._feedback)
        widths = [self._inputs + self._feedback if one is None else len(one) for one in columns]
        counts = iter(self._connections)
        groups = [
            [
                reservoir_layer(settings, depth, settings.hidden_size if depth else width, next(counts))
                for depth in range(settings.num_layers)
            ]
            for width in widths
        ]
        return self._network(settings, groups, rng)

    def _learned(self) -> dict[str, Any]:
        sparse = [isinstance(layer, SparseLayer) and len(layer.columns) for layer in self.network_.layers]
        return {
            "connections": [count or None for count in sparse],
            "inputs": self._inputs, "feedback": self._feedback, "outputs": self._outputs,
            "unfrozen": self.unfrozen_, "ridge": self.ridge_, "noise_seed": self._noise_seed,
            "ridges": [*self.ridge_errors_], "ridge_errors": [*self.ridge_errors_.values()],
        }  # fmt: skip

    def _restore(self, values: Mapping[str, Any]) -> None:
        numbers: dict[str, Any] = {
            "connections": partial(as_list, check=optional(as_size)),
            "inputs": _as_count, "feedback": _as_count, "outputs": as_size, "unfrozen": as_flag,
            "ridge": as_number, "noise_seed": _as_count, "ridges": _as_numbers, "ridge_errors": _as_numbers,
        }  # fmt: skip
        fields = as_fields("learned", values, numbers)
        self._inputs, self._feedback = fields["inputs"], fields["feedback"]
        self._outputs, self.unfrozen_ = fields["outputs"], fields["unfrozen"]
        self.ridge_, self._noise_seed = fields["ridge"], fields["noise_seed"]
        self.ridge_errors_ = dict(zip(fields["ridges"], fields["ridge_errors"], strict=True))
        self._connections = fields["connections"]
        layers = self.num_layers * self.num_reservoirs
        if len(self._connections) != layers:
            raise ValueError(f"connections: expected {layers}, got {len(self._connections)}")
        self._washout, self._carried, self._optimizer, self._accumulator = self.washout, None, None, None

    def _tensors(self) -> dict[str, NDArray[Any]]:
        tensors: dict[str, NDArray[Any]] = {}
        for name, layer in self._sparse_layers():
            tensors |= {f"{name}.columns": layer.columns, f"{name}.row_ends": layer.row_ends}
        if self._accumulator is not None:
            tensors |= self._accumulator.to_tensors()
        return {f"{FURTHER}{name}": array for name, array in tensors.items()}

    def _restore_tensors(self, tensors: dict[str, NDArray[Any]]) -> None:
        own = {name.removeprefix(FURTHER): array for name, array in tensors.items()}
        for name, layer in self._sparse_layers():
            pattern = [own.pop(f"{name}.{part}", np.zeros(0, np.int64)) for part in ("columns", "row_ends")]
            layer.set_pattern(*pattern)
        if self.unfrozen_:
            self.unfreeze()
            super()._restore_tensors(own)
            return
        self._accumulator = ReadoutSettings.of(self).accumulator(self.network_.width, self._outputs)
        self._accumulator.load_tensors(own)

    def _sparse_layers(self) -> list[tuple[str, SparseLayer]]:
        pairs = zip(self.network_.layer_names, self.network_.layers, strict=True)
        return [(name, layer) for name, layer in pairs if isinstance(layer, SparseLayer)]


def _as_count(name: str, value: Any) -> int:
    return as_size(name, value, least=0)


def _as_numbers(name: str, value: Any) -> list[float]:
    numbers: list[float] = as_list(name, value, as_number)
    return numbers
