"""Classify sequences: one class, or several labels, for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_number
from fastrnn._plain import as_fields, as_list, as_mapping, optional
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch, batches_of, fraction_of
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.labels import LabelIndex
from fastrnn.models.base.row_losses import sigmoid, softmax
from fastrnn.models.base.scikit_estimator import classifier_tags
from fastrnn.models.base.sequences import as_pairs, as_rows, check_counts
from fastrnn.models.class_targets import ClassTargets
from fastrnn.models.classifier_network import PooledBatch, PooledNetwork
from fastrnn.models.pooling import POOLINGS
from fastrnn.train.distributed import OneProcess

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.train.distributed import Ranks

__all__ = ["SequenceClassifier"]


@dataclass(eq=False, repr=False, kw_only=True)
class SequenceClassifier(SequenceModel):
    """Classify whole sequences, of any lengths: texts, tokens, ids or features.

    The settings that all models share are those of `fastrnn.models.SequenceModel`; the others:

    Parameters
    ----------
    bidirectional : bool, default True
    pooling : {"last", "mean", "max", "attention"}
        What the output layer reads: the last h of each direction, the mean or the maximum of h over the
        steps, or their mean weighted by learned attention.
    class_weight : mapping of class to float, "balanced" or None
        The weight of each class in the loss; "balanced": inversely proportional to its frequency. Of several
        labels, a sequence has the mean weight of those that it has, or 1.
    threshold : float, default 0.5
        With several labels, those with at least this probability are predicted.

    Attributes
    ----------
    classes_ : ndarray [K]
        The classes, or the labels, sorted.
    multilabel_ : bool
        Whether a sequence has any number of labels: the targets were sets, lists or a matrix of 0 and 1.

    Raises
    ------
    ValueError, TypeError
        By ``fit``, if a setting is wrong.

    References
    ----------
    Sutskever, Vinyals, Le (2014) for the last state as the representation of a sequence; Yang et al. (2016),
    "Hierarchical Attention Networks for Document Classification", for pooling by attention.

    Examples
    --------
    >>> import fastrnn as fr
    >>> X = ["ciao", "grazie", "prego", "hello", "thanks", "please"] * 5
    >>> y = ["it", "it", "it", "en", "en", "en"] * 5
    >>> model = fr.models.SequenceClassifier(hidden_size=16, epochs=20, random_state=0).fit(X, y)
    >>> model.predict(["grazie", "hello"]).tolist()
    ['it', 'en']
    >>> model.predict_proba(["ciao"]).shape, model.score(X, y)
    ((1, 2), 1.0)

    Several labels for each, and features in place of symbols:

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> X = [random.normal(size=(random.integers(3, 9), 2)) for _ in range(40)]
    >>> y = [{name for name, column in zip("ab", x.T) if column.mean() > 0} for x in X]
    >>> model = fr.models.SequenceClassifier(hidden_size=8, epochs=40, random_state=0).fit(X, y)
    >>> model.multilabel_, model.classes_.tolist(), model.predict_proba(X[:3]).shape
    (True, ['a', 'b'], (3, 2))
    """

    bidirectional: bool = True
    pooling: str = "last"
    class_weight: Mapping[Any, float] | str | None = None
    threshold: float = 0.5

    def predict(self, X: Any) -> Any:
        """Return the class of each sequence.

        Parameters
        ----------
        X : sequence of sequences

        Returns
        -------
        y : ndarray [N], or list of set
            With several labels, the set of each sequence's labels; a matrix of 0 and 1 if the targets of
            training were one.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        probabilities = self._probabilities(self._encoded(X))
        if not self.multilabel_:
            return self.classes_[probabilities.argmax(axis=1)]
        return self._targets.decode(
            probabilities >= as_number("threshold", self.threshold, least=0.0, most=1.0)
        )

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, or of each label.

        Returns
        -------
        probabilities : ndarray, float64 [N, K]
            In the order of ``classes_``.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict_proba")
        return self._probabilities(self._encoded(X))

    def attention_weights(self, X: Any) -> list[NDArray[np.float64]]:
        """Return the weight of each step of each sequence, if the pooling is "attention".

        Returns
        -------
        weights : list of ndarray, float64 [T]
            Each sums to 1.

        Raises
        ------
        ValueError
            If the model pools in another way.
        """
        self._check_fitted("attention_weights")
        if self.network_.attention is None:
            raise ValueError(f"pooling: expected 'attention', got {self.network_.pooling!r}")
        arrays = self._encoded(X)
        weights: list[Any] = [None] * len(arrays)
        for rows, x, lengths in batches_of(arrays, self.batch_size):
            _, own = self.network_(x, lengths)
            for column, row in enumerate(rows):
                weights[row] = own[column, : lengths[column]].astype(np.float64)
        return weights

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy: the fraction of sequences whose class, or whole set of labels, is right."""
        self._check_fitted("score")
        return self._score_examples(self._examples(X, y), OneProcess())

    def partial_fit(self, X: Any, y: Any, classes: Any = None, *, ranks: Ranks | None = None) -> Self:
        """Train for one pass over further data.

        Parameters
        ----------
        X, y
            As for `fit`. Symbols that the first call did not see stay unknown.
        classes : sequence, optional
            For the first call: all classes that later calls may have; default: those in y.
        ranks : Ranks, optional
            As for `fit`.

        Returns
        -------
        self
        """
        return self._fit_further(X, y, ranks, classes=classes)

    def __sklearn_tags__(self) -> Any:
        return classifier_tags(super().__sklearn_tags__(), multi_label=True)

    def _learn(self, X: Any, y: Any, rng: np.random.Generator, classes: Any = None) -> None:
        as_choice("pooling", self.pooling, POOLINGS)
        as_number("threshold", self.threshold, least=0.0, most=1.0)
        rows, _ = as_pairs(X, y)
        known = None if classes is None else LabelIndex.learn("classes", as_rows("classes", classes))
        self._learn_input(rows)
        self._set_targets(ClassTargets.learn(y, known))
        self._weights = self._class_weights(y)
        self.network_: Any = self._new_network(rng)

    def _make_network(self, rng: np.random.Generator) -> PooledNetwork:
        loss = "sigmoid" if self.multilabel_ else "softmax"
        encoder = self._encoder(self._codec, rng)
        return PooledNetwork(encoder, len(self.classes_), pooling=self.pooling, loss=loss, rng=rng)

    def _set_targets(self, targets: ClassTargets) -> None:
        self._targets = targets
        self.classes_: NDArray[Any] = targets.labels.classes
        self.multilabel_: bool = targets.multilabel

    def _examples(self, X: Any, y: Any) -> Examples:
        arrays = self._encoded(X)
        check_counts("X", len(arrays), "y", len(as_rows("y", y)))
        wanted = self._targets.encode(y, self.dtype)
        weights = self._row_weights(wanted)

        def make(rows: NDArray[np.int64]) -> PooledBatch:
            return PooledBatch(*as_batch(arrays, rows), wanted[rows], weights[rows])

        strata = None if self.multilabel_ else wanted
        return Examples([len(array) for array in arrays], make, strata)

    def _class_weights(self, y: Any) -> NDArray[np.float64] | None:
        """Return the weight of each class."""
        given = self.class_weight
        if given is None:
            return None
        wanted, labels = self._targets.encode(y, self.dtype), self._targets.labels
        counts = wanted.sum(axis=0) if self.multilabel_ else np.bincount(wanted, minlength=len(labels))
        if isinstance(given, str):
            as_choice("class_weight", given, ("balanced",))
            weights: NDArray[np.float64] = len(wanted) / (len(counts) * np.maximum(counts, 1.0))
            return weights
        weights = np.ones(len(labels))
        for label, weight in as_mapping("class_weight", given).items():
            index = labels.encode("class_weight", [label])[0]
            weights[index] = as_number(f"class_weight[{label!r}]", weight, least=0.0)
        return weights

    def _row_weights(self, wanted: NDArray[Any]) -> NDArray[np.float64]:
        """Return the weight of each example: that of its class, or the mean over its labels."""
        if self._weights is None:
            return np.ones(len(wanted))
        if not self.multilabel_:
            own: NDArray[np.float64] = self._weights[wanted]
            return own
        count = wanted.sum(axis=1)
        mean = wanted.astype(np.float64) @ self._weights / np.maximum(count, 1)
        return np.where(count > 0, mean, 1.0)

    def _measure(self, rows: NDArray[np.int64], batch: PooledBatch) -> tuple[int, int]:
        z, _ = self.network_(batch.x, batch.lengths)
        if self.multilabel_:
            right = ((sigmoid(z) >= self.threshold) == (batch.targets > 0.5)).all(axis=1)
        else:
            right = z.argmax(axis=1) == batch.targets
        return int(right.sum()), len(rows)

    def _score_of(self, measured: list[tuple[int, int]]) -> float:
        return fraction_of(measured)

    def _probabilities(self, arrays: list[NDArray[Any]]) -> NDArray[np.float64]:
        result = np.empty((len(arrays), len(self.classes_)))
        probabilities = sigmoid if self.multilabel_ else softmax
        for rows, x, lengths in batches_of(arrays, self.batch_size):
            result[rows] = probabilities(self.network_(x, lengths)[0])
        return result

    def _learned(self) -> dict[str, Any]:
        weights = None if self._weights is None else self._weights.tolist()
        return {"input": self._codec.to_plain(), "targets": self._targets.to_plain(), "weights": weights}

    def _restore(self, values: Mapping[str, Any]) -> None:
        checks = {"input": as_mapping, "targets": as_mapping, "weights": optional(_as_weights)}
        fields = as_fields("learned", values, checks)
        as_choice("pooling", self.pooling, POOLINGS)
        self._set_codec(InputCodec.from_plain(fields["input"]))
        self._set_targets(ClassTargets.from_plain(fields["targets"]))
        self._weights = fields["weights"]
        if self._weights is not None and len(self._weights) != len(self.classes_):
            raise ValueError(f"weights: expected {len(self.classes_)}, got {len(self._weights)}")


def _as_weights(name: str, value: Any) -> NDArray[np.float64]:
    return np.array(as_list(name, value, partial(as_number, least=0.0)), np.float64)
