"""Echo state models for whole sequences: a class, or numbers, for each, from pooled states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice
from fastrnn._plain import as_fields, as_mapping
from fastrnn.models.base.examples import batches_of
from fastrnn.models.base.fitting import FitSettings
from fastrnn.models.base.input_codec import LEVELS, InputCodec, ReadsSequences
from fastrnn.models.base.labels import LabelIndex
from fastrnn.models.base.scikit_estimator import classifier_tags, regressor_tags
from fastrnn.models.base.sequences import as_pairs, as_rows, check_counts
from fastrnn.models.class_targets import ClassTargets
from fastrnn.models.number_targets import NumberTargets, r2_score
from fastrnn.models.reservoir.model import EchoStateModel
from fastrnn.models.reservoir.network import POOLINGS, step_weights
from fastrnn.models.reservoir.passes import chunks
from fastrnn.models.reservoir.training_on import Data

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EchoStateClassifier", "EchoStateRegressor", "PooledEchoState"]

Floats = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class PooledEchoState(ReadsSequences, EchoStateModel):
    """The base class of echo state models with one target for each sequence, not for direct use."""

    pooling: str = "mean"
    level: str = "char"
    min_count: int = 1
    standardize: bool = True

    @abstractmethod
    def _learn_targets(self, y: Any, **known: Any) -> int:
        """Learn what the targets are; return the number of outputs."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> Floats:
        """Return targets as rows, float64 [N, O]."""

    def _settings(self) -> FitSettings:
        as_choice("pooling", self.pooling, POOLINGS)
        as_choice("level", self.level, LEVELS)
        return super()._settings()

    def _learn(self, X: Any, y: Any, **known: Any) -> tuple[int, int, int]:
        rows, _ = as_pairs(X, y)
        self._learn_input(rows)
        return self._codec.width, 0, self._learn_targets(y, **known)

    def _features(self) -> int:
        return 0 if self._codec.symbols is not None else self._inputs

    @property
    def _pooling(self) -> str:
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
                weights = step_weights(network.pooling, len(part), lengths, self._washout, start)
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


@dataclass(eq=False, repr=False, kw_only=True)
class EchoStateClassifier(PooledEchoState):
    """Predict the class of whole sequences from the states of a reservoir, by ridge regression to -1 and 1.

    Sequences are as for `fastrnn.models.SequenceClassifier`: texts, tokens, ids or features, of any lengths.
    The settings that echo state models share are those of `fastrnn.models.EchoStateModel`; the others:

    Parameters
    ----------
    pooling, level, min_count, standardize
        See `EchoStateRegressor`.

    Attributes
    ----------
    classes_ : ndarray [K]

    References
    ----------
    Lukoševičius (2012), "A Practical Guide to Applying Echo State Networks", section 4.6.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> random = np.random.default_rng(0)
    >>> X = [np.sin(f * np.arange(40)) + 0.1 * random.normal(size=40) for f in (0.2, 0.5) * 20]
    >>> model = fr.models.EchoStateClassifier(hidden_size=30, random_state=0)
    >>> model = model.fit(X, ["slow", "fast"] * 20)
    >>> model.predict(X[:2]).tolist(), model.score(X, ["slow", "fast"] * 20)
    (['slow', 'fast'], 1.0)
    """

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Fit the readout to further data too: in one pass, as if all had been there at once.

        The first call decides on the known symbols and the standardization. Once unfrozen, train for one pass
        over the data by backpropagation through time.

        Parameters
        ----------
        X, y
            As for `fit`.
        classes : sequence, optional
            In the first call: all that there will be. Default: those in y.

        Returns
        -------
        self
        """
        return self._fit_part(X, y, classes=classes)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each sequence.

        Parameters
        ----------
        X : sequence of sequences

        Returns
        -------
        y : ndarray [N]

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        values = self.decision_function(X)
        chosen = (values > 0.0).astype(np.int64) if values.ndim == 1 else values.argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def decision_function(self, X: Any) -> Floats:
        """Return the output for each class: in training, 1 for the right one and -1 for the others.

        Returns
        -------
        values : ndarray, float64 [N, K], or [N] if there are two classes
            Of two classes, positive for the second.
        """
        self._check_fitted("decision_function")
        values = self._outputs_of(X)
        return values[:, 0] if len(self.classes_) == 2 else values

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy."""
        self._check_fitted("score")
        as_pairs(X, y)
        return float((self.predict(X) == self.classes_[self._targets.encode(y, np.float64)]).mean())

    def __sklearn_tags__(self) -> Any:
        return classifier_tags(super().__sklearn_tags__())

    def _learn_targets(self, y: Any, classes: Any = None, **known: Any) -> int:
        labels = None if classes is None else LabelIndex.learn("classes", as_rows("classes", classes))
        self._set_targets(ClassTargets.learn(y, labels))
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _set_targets(self, targets: ClassTargets) -> None:
        if targets.multilabel:
            raise ValueError("y: expected one class for each sequence, got several; use SequenceClassifier")
        self._targets = targets
        self.classes_: NDArray[Any] = targets.labels.classes

    def _encode_targets(self, y: Any) -> Floats:
        wanted = self._targets.encode(y, np.float64)
        if len(self.classes_) == 2:
            return np.asarray(2.0 * wanted[:, None] - 1.0)
        return np.asarray(2.0 * np.eye(len(self.classes_))[wanted] - 1.0)

    def _plain_targets(self) -> dict[str, Any]:
        return self._targets.to_plain()

    def _restore_targets(self, values: Mapping[str, Any]) -> None:
        self._set_targets(ClassTargets.from_plain(values))


@dataclass(eq=False, repr=False, kw_only=True)
class EchoStateRegressor(PooledEchoState):
    """Predict one number or several for whole sequences from the states of a reservoir, by ridge regression.

    Sequences are as for `fastrnn.models.SequenceRegressor`: texts, tokens, ids or features, of any lengths.
    The settings that echo state models share are those of `fastrnn.models.EchoStateModel`; the others:

    Parameters
    ----------
    pooling : {"mean", "last"}
        What the readout reads of a sequence: the mean of its states after the washout, or the last one; of
        its features likewise.
    level : {"char", "word"}
        What a sequence given as one str is a sequence of.
    min_count : int, default 1
        Symbols that occur less often in training are read as the unknown symbol.
    standardize : bool, default True
        Whether features are given mean 0 and standard deviation 1, as measured in the first call of ``fit``
        or ``partial_fit``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> random = np.random.default_rng(0)
    >>> X = [random.normal(size=random.integers(5, 20)) for _ in range(100)]
    >>> y = [3 + x[-1] * x[-2] for x in X]
    >>> model = fr.models.EchoStateRegressor(
    ...     hidden_size=60, pooling="last", bias_scaling=0.5, input_scaling=0.5, random_state=0
    ... )
    >>> model.fit(X, y).score(X, y) > 0.9
    True
    """

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Fit the readout to further data too: in one pass, as if all had been there at once.

        The first call decides on the known symbols and the standardization. Once unfrozen, train for one pass
        over the data by backpropagation through time.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        self
        """
        return self._fit_part(X, y)

    def predict(self, X: Any) -> Floats:
        """Return the number, or the numbers, of each sequence.

        Parameters
        ----------
        X : sequence of sequences

        Returns
        -------
        y : ndarray, float64 [N] or [N, O]
            As the targets of training were.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        return self._targets.decode(self._outputs_of(X))

    def score(self, X: Any, y: Any) -> float:
        """Return R^2, the coefficient of determination; of several numbers its mean over them."""
        self._check_fitted("score")
        as_pairs(X, y)
        return r2_score(self._targets.encode(y), self._outputs_of(X))

    def __sklearn_tags__(self) -> Any:
        return regressor_tags(super().__sklearn_tags__())

    def _learn_targets(self, y: Any, **known: Any) -> int:
        self._targets = NumberTargets.learn(y)
        return len(self._targets.mean)

    def _encode_targets(self, y: Any) -> Floats:
        return self._targets.encode(y)

    def _plain_targets(self) -> dict[str, Any]:
        return self._targets.to_plain()

    def _restore_targets(self, values: Mapping[str, Any]) -> None:
        self._targets = NumberTargets.from_plain(values)
