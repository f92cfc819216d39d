"""What a generator is conditioned on: nothing, a class, or a vector of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn._foreign import of_others
from fastrnn._plain import as_fields, as_list, optional
from fastrnn.models.base.labels import LabelIndex, as_label
from fastrnn.models.base.sequences import as_rows

__all__ = ["Condition"]


class Condition:
    """Turn conditions into vectors [N, C]: a class into a one-hot vector, features into standardized ones.

    Attributes
    ----------
    labels : LabelIndex or None
        The classes.
    mean, scale : ndarray, float64 [C], or None
        Of features: what is subtracted from them, and what they are divided by.
    """

    labels: LabelIndex | None
    mean: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None

    def __init__(
        self,
        labels: LabelIndex | None = None,
        mean: NDArray[np.float64] | None = None,
        scale: NDArray[np.float64] | None = None,
    ) -> None:
        self.labels, self.mean, self.scale = labels, mean, scale

    @classmethod
    def learn(cls, X: Any, *, standardize: bool) -> Condition:
        """Return what the training data is conditioned on.

        Raises
        ------
        ValueError, TypeError
            If X is neither None nor labels nor vectors of finite numbers of one length.
        """
        if X is None:
            return cls()
        rows = as_rows("X", X)
        if _are_labels(rows):
            return cls(LabelIndex.learn("X", rows))
        vectors = _vectors(rows, None)
        mean, scale = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
        if standardize:
            with np.errstate(over="ignore"):
                mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
            if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
                raise ValueError("X: the features are too large to standardize; divide them first")
            scale[scale <= 1e-12 * np.abs(mean)] = 1.0
        return cls(None, mean, scale)

    @property
    def size(self) -> int:
        """C, the length of the vectors; 0 without a condition."""
        if self.labels is not None:
            return len(self.labels)
        return 0 if self.mean is None else len(self.mean)

    def encode(self, X: Any, dtype: Any) -> NDArray[Any] | None:
        """Return a vector for each row, [N, C]; None without a condition.

        Raises
        ------
        ValueError, TypeError
            If X is not of the kind or width of training, has an unknown class, or is not finite.
        """
        if X is None:
            if self.size:
                kind = "a list of classes" if self.labels is not None else f"vectors [N, {self.size}]"
                raise ValueError(f"X: expected {kind} as in training, got None")
            return None
        if not self.size:
            raise ValueError(
                "X: expected None, as the model was fitted without a condition, "
                f"got {type(X).__name__}; write None in place of X"
            )
        rows = as_rows("X", X)
        if self.labels is not None:
            result = np.zeros((len(rows), self.size), dtype)
            result[np.arange(len(rows)), self.labels.encode("X", rows)] = 1
            return result
        assert self.mean is not None
        assert self.scale is not None
        return ((_vectors(rows, self.size) - self.mean) / self.scale).astype(dtype)

    def to_plain(self) -> dict[str, Any]:
        """Return the condition as plain values, ready for ``json.dumps``."""
        return {
            "classes": None if self.labels is None else self.labels.classes.tolist(),
            "mean": None if self.mean is None else self.mean.tolist(),
            "scale": None if self.scale is None else self.scale.tolist(),
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Condition:
        """Return the condition that `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        fields = as_fields(
            "condition",
            values,
            {"classes": optional(_as_labels), "mean": optional(_numbers), "scale": optional(_numbers)},
        )
        classes, mean, scale = fields["classes"], fields["mean"], fields["scale"]
        if (mean is None) != (scale is None) or (mean is not None and len(mean) != len(scale)):
            raise ValueError("condition: expected mean and scale of equal length")
        if classes is not None and mean is not None:
            raise ValueError("condition: expected classes or vectors, got both")
        return cls(None if classes is None else LabelIndex(classes), mean, scale)


def _are_labels(rows: list[Any]) -> bool:
    """Return whether conditions are classes rather than vectors, by the first."""
    first = rows[0]
    if isinstance(first, np.ndarray) and first.ndim == 0:
        first = first[()]
    if isinstance(first, (float, np.floating)):
        raise TypeError(
            "X: expected classes (str or int), or vectors [N, C], got a float for each row; write "
            "np.reshape(X, (-1, 1)) for vectors of one number"
        )
    return isinstance(first, (str, int, np.integer, np.bool_))


def _vectors(rows: list[Any], width: int | None) -> NDArray[np.float64]:
    """Return conditions as vectors, float64 [N, C]."""
    result = []
    for row, given in enumerate(rows):
        try:
            vector = np.asarray(of_others(f"X[{row}]", given))
            kind = vector.dtype.kind
            vector = vector.astype(np.float64)
        except (TypeError, ValueError):
            kind = "O"
        if kind not in "fiub":
            raise TypeError(f"X[{row}]: expected a vector of numbers, got {type(given).__name__}")
        if vector.ndim != 1 or len(vector) == 0:
            raise ValueError(
                f"X[{row}]: expected a vector [C], got {list(vector.shape)}; X is what each sequence is "
                "conditioned on, the sequences are y"
            )
        width = width or len(vector)
        if len(vector) != width:
            raise ValueError(f"X[{row}]: expected {width} numbers, got {len(vector)}")
        if not np.isfinite(vector).all():
            found = "NaN" if np.isnan(vector).any() else "inf"
            raise ValueError(f"X[{row}]: expected finite numbers, got {found}")
        result.append(vector)
    return np.array(result)


def _as_labels(name: str, value: Any) -> list[Any]:
    labels: list[Any] = as_list(name, value, as_label)
    if not labels or len(set(labels)) != len(labels):
        raise ValueError(f"{name}: expected at least one, each once")
    return labels


def _numbers(name: str, value: Any) -> NDArray[np.float64]:
    return np.array(as_list(name, value, as_number), np.float64)
