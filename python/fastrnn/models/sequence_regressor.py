"""Predict numbers from sequences: one, or several, for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice
from fastrnn._plain import as_fields, as_mapping
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch, batches_of
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.scikit_estimator import regressor_tags
from fastrnn.models.base.sequences import as_pairs, as_rows, check_counts
from fastrnn.models.classifier_network import PooledBatch, PooledNetwork
from fastrnn.models.number_targets import NumberTargets, r2_score
from fastrnn.models.pooling import POOLINGS
from fastrnn.train.distributed import OneProcess

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.train.distributed import Ranks

__all__ = ["SequenceRegressor"]

LOSSES = ("squared", "absolute", "huber")


@dataclass(eq=False, repr=False, kw_only=True)
class SequenceRegressor(SequenceModel):
    """Predict one number or several for whole sequences, of any lengths: texts, tokens, ids or features.

    Targets are standardized as part of the model: it learns them with mean 0 and standard deviation 1, and
    predicts in their own unit. The settings that all models share are those of
    `fastrnn.models.SequenceModel`; the others:

    Parameters
    ----------
    bidirectional : bool, default True
    pooling : {"last", "mean", "max", "attention"}
        What the output layer reads, as for `SequenceClassifier`.
    loss : {"squared", "absolute", "huber"}
        Of standardized targets; the predictions aim at the mean ("squared") or the median ("absolute").
        "huber": squared up to an error of one standard deviation, absolute beyond.

    Raises
    ------
    ValueError, TypeError
        By ``fit``, if a setting is wrong, or a target is not a finite number; the message names the row.

    References
    ----------
    Huber (1964), "Robust Estimation of a Location Parameter".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> random = np.random.default_rng(0)
    >>> X = [random.normal(size=random.integers(3, 9)) for _ in range(60)]
    >>> y = [100 + 20 * x.mean() for x in X]
    >>> model = fr.models.SequenceRegressor(
    ...     hidden_size=8, pooling="mean", epochs=40, learning_rate=0.02, random_state=0
    ... )
    >>> model = model.fit(X, y)
    >>> model.predict(X[:2]).shape, model.score(X, y) > 0.9
    ((2,), True)

    Several numbers for each sequence are the rows of a matrix [N, K]:

    >>> model.fit(X, [[x.mean(), x.max()] for x in X]).predict(X[:2]).shape
    (2, 2)
    """

    bidirectional: bool = True
    pooling: str = "last"
    loss: str = "squared"

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the number, or the numbers, of each sequence.

        Parameters
        ----------
        X : sequence of sequences

        Returns
        -------
        y : ndarray, float64 [N] or [N, K]
            As the targets of training were, in their unit.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        arrays = self._encoded(X)
        values = np.empty((len(arrays), len(self._targets.mean)))
        for rows, x, lengths in batches_of(arrays, self.batch_size):
            values[rows] = self.network_(x, lengths)[0]
        return self._targets.decode(values)

    def score(self, X: Any, y: Any) -> float:
        """Return R^2, the coefficient of determination; of several numbers its mean over them."""
        self._check_fitted("score")
        return self._score_examples(self._examples(X, y), OneProcess())

    def partial_fit(self, X: Any, y: Any, *, ranks: Ranks | None = None) -> Self:
        """Train for one pass over further data.

        Parameters
        ----------
        X, y
            As for `fit`. The first call decides on the standardization and on the known symbols.
        ranks : Ranks, optional
            As for `fit`.

        Returns
        -------
        self
        """
        return self._fit_further(X, y, ranks)

    def __sklearn_tags__(self) -> Any:
        return regressor_tags(super().__sklearn_tags__())

    def _learn(self, X: Any, y: Any, rng: np.random.Generator) -> None:
        as_choice("pooling", self.pooling, POOLINGS)
        as_choice("loss", self.loss, LOSSES)
        rows, _ = as_pairs(X, y)
        self._learn_input(rows)
        self._targets = NumberTargets.learn(y)
        self.network_: Any = self._new_network(rng)

    def _make_network(self, rng: np.random.Generator) -> PooledNetwork:
        encoder, outputs = self._encoder(self._codec, rng), len(self._targets.mean)
        return PooledNetwork(encoder, outputs, pooling=self.pooling, loss=self.loss, rng=rng)

    def _examples(self, X: Any, y: Any) -> Examples:
        arrays = self._encoded(X)
        check_counts("X", len(arrays), "y", len(as_rows("y", y)))
        wanted = self._targets.encode(y).astype(self.dtype)
        weights = np.ones(len(arrays))

        def make(rows: NDArray[np.int64]) -> PooledBatch:
            return PooledBatch(*as_batch(arrays, rows), wanted[rows], weights[rows])

        return Examples([len(array) for array in arrays], make)

    def _measure(self, rows: NDArray[np.int64], batch: PooledBatch) -> tuple[NDArray[Any], NDArray[Any]]:
        return batch.targets, self.network_(batch.x, batch.lengths)[0]

    def _score_of(self, measured: list[tuple[NDArray[Any], NDArray[Any]]]) -> float:
        targets, predictions = zip(*measured, strict=True)
        return r2_score(
            np.concatenate(targets).astype(np.float64), np.concatenate(predictions).astype(np.float64)
        )

    def _learned(self) -> dict[str, Any]:
        return {"input": self._codec.to_plain(), "targets": self._targets.to_plain()}

    def _restore(self, values: Mapping[str, Any]) -> None:
        fields = as_fields("learned", values, {"input": as_mapping, "targets": as_mapping})
        as_choice("pooling", self.pooling, POOLINGS)
        as_choice("loss", self.loss, LOSSES)
        self._set_codec(InputCodec.from_plain(fields["input"]))
        self._targets = NumberTargets.from_plain(fields["targets"])
