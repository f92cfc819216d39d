"""Echo state models for whole sequences: a class, or numbers, for each, from pooled states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_flag, as_size
from fastrnn._plain import as_fields, as_list, as_mapping
from fastrnn.models.base.examples import batches_of
from fastrnn.models.base.fitting import FitSettings
from fastrnn.models.base.input_codec import LEVELS, InputCodec
from fastrnn.models.base.labels import LabelIndex, as_label
from fastrnn.models.base.sequences import as_pairs, check_counts
from fastrnn.models.class_targets import ClassTargets
from fastrnn.models.number_targets import NumberTargets, r2_score
from fastrnn.models.reservoir.model import EchoStateModel
from fastrnn.models.reservoir.network import POOLINGS, States, step_weights
from fastrnn.models.reservoir.passes import chunks
from fastrnn.models.reservoir.training_on import Data

__all__ = ["EchoStateClassifier", "EchoStateRegressor", "PooledEchoState"]

Floats = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class PooledEchoState(EchoStateModel):
    """The base class of echo state models with one target for each sequence, not for direct use.

    Parameters
    ----------
    pooling : {"mean", "last"}
        What the readout reads of a sequence: the mean of its states after the washout, or the last one; of its
        features likewise.
    level : {"char", "word"}
        What a sequence given as one str is a sequence of.
    min_count : int, default 1
        Symbols that occur less often in training are read as the unknown symbol.
    standardize : bool, default True
        Whether features are given mean 0 and standard deviation 1, as measured in the first call of ``fit`` or
        ``partial_fit``.
    """

    pooling: str = "mean"
    level: str = "char"
    min_count: int = 1
    standardize: bool = True

    @abstractmethod
    def _learn_targets(self, y: Any) -> int:
        """Learn what the targets are; return the number of outputs."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> Floats:
        """Return targets as rows, float64 [N, O]."""

    def _settings(self) -> FitSettings:
        as_choice("pooling", self.pooling, POOLINGS)
        as_choice("level", self.level, LEVELS)
        return super()._settings()

    def _learn(self, X: Any, y: Any) -> tuple[int, int, int]:
        rows, _ = as_pairs(X, y)
        codec = InputCodec.learn(
            "X", rows, level=self.level, min_count=self.min_count, standardize=self.standardize
        )
        self._set_codec(codec)
        return codec.width, 0, self._learn_targets(y)

    def _set_codec(self, codec: InputCodec) -> None:
        self._codec = codec
        if codec.symbols is None:
            self.n_features_in_ = codec.width

    def _features(self) -> int:
        return 0 if self._codec.symbols is not None else self._inputs

    def _pools(self) -> str:
        return self.pooling

    def _data(self, X: Any, y: Any) -> Data:
        as_pairs(X, y)
        arrays = self._codec.encode("X", X, self.network_.dtype)
        targets = self._encode_targets(y)
        check_counts("X", len(arrays), "y", len(targets))
        return Data(arrays, list(targets), "X")

    def _outputs_of(self, X: Any) -> Floats:
        """Return the outputs of sequences, [N, O]; states are in memory for a few steps only."""
        network = self.network_
        arrays = self._codec.encode("X", X, network.dtype)
        self._check_washout(Data(arrays, [], "X"))
        results = np.empty((len(arrays), self._outputs))
        for rows, x, lengths in batches_of(arrays, self.batch_size):
            total, state = np.zeros((len(rows), network.width)), None
            for start, part, own in chunks(x, lengths, network.width):
                parts, state = network.states(part, own, state)
                weights = step_weights(network.pooling, len(part), lengths, self.washout, start)
                total += np.einsum("tn,tnk->nk", weights, network.vectors(part, parts))
            results[rows] = network.readout(total.astype(network.dtype))
        return results

    def _learned(self) -> dict[str, Any]:
        return {"base": super()._learned(), "input": self._codec.to_plain(), "targets": self._plain_targets()}

    def _restore(self, values: Mapping[str, Any]) -> None:
        fields = as_fields(
            "learned", values, {"base": as_mapping, "input": as_mapping, "targets": as_mapping}
        )
        super()._restore(fields["base"])
        self._set_codec(InputCodec.from_plain(fields["input"]))
        self._restore_targets(fields["targets"])

    @abstractmethod
    def _plain_targets(self) -> dict[str, Any]:
        """Return what was learned of the targets as plain values."""

    @abstractmethod
    def _restore_targets(self, values: Mapping[str, Any]) -> None:
        """Set what `_plain_targets` returned, checking each."""
