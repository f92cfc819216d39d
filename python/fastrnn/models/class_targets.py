"""The targets of a classifier: a class, a set of labels, or a row of 0 and 1 for each sequence."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag
from fastrnn._plain import as_fields, as_list
from fastrnn.models.base.labels import LabelIndex, as_label
from fastrnn.models.base.sequences import as_rows

__all__ = ["ClassTargets"]

_SETS = (set, frozenset, list, tuple, np.ndarray)


class ClassTargets:
    """Which targets a classifier was trained with, and how they become arrays.

    Parameters
    ----------
    labels : LabelIndex
    multilabel : bool
        Whether a sequence has any number of labels.
    matrix : bool
        Whether these were given as a row of 0 and 1 for each sequence: an array [N, K], or N lists or
        arrays of one length K > 1 that hold nothing else, as scikit-learn has it. A set is never such a row.

    Examples
    --------
    >>> targets = ClassTargets.learn([{"red", "big"}, set(), {"big"}])
    >>> targets.labels.classes.tolist(), targets.encode([{"red"}], "float64").tolist()
    (['big', 'red'], [[0.0, 1.0]])
    >>> ClassTargets.learn([[0, 1], [1, 1]]).matrix
    True
    """

    labels: LabelIndex
    multilabel: bool
    matrix: bool

    def __init__(self, labels: LabelIndex, multilabel: bool, matrix: bool) -> None:
        self.labels, self.multilabel, self.matrix = labels, multilabel, matrix

    @classmethod
    def learn(cls, y: Any, classes: LabelIndex | None = None) -> ClassTargets:
        """Return the targets of a training set.

        Parameters
        ----------
        y : sequence
        classes : LabelIndex, optional
            Those that there may be; default: those in y.

        Raises
        ------
        ValueError, TypeError
            If there are fewer than 2 classes, or no label, or a target is not of the kind of the others.
        """
        rows = _rows(y, warn=True)
        matrix, multilabel = _is_matrix(rows), isinstance(rows[0], _SETS)
        if not multilabel:
            labels = classes or LabelIndex.learn("y", rows)
            if len(labels) < 2:
                raise ValueError(
                    f"y: expected at least 2 classes, got one class, {labels.classes.tolist()[0]!r}, in all "
                    f"{len(rows)} rows"
                )
            return cls(labels, False, False)
        if matrix:
            return cls(classes or LabelIndex([*range(len(rows[0]))]), True, True)
        for row, target in enumerate(rows):
            if not isinstance(target, _SETS):
                raise TypeError(f"y[{row}]: expected a set of labels as in y[0], got {type(target).__name__}")
        labels = classes or LabelIndex.learn("y", (label for target in rows for label in target))
        if not len(labels):
            raise ValueError("y: expected at least one label, got none in any row")
        return cls(labels, True, False)

    def encode(self, y: Any, dtype: Any) -> NDArray[Any]:
        """Return indices of classes, int64 [N], or a row of 0 and 1 for each sequence, `dtype` [N, K].

        Raises
        ------
        ValueError, TypeError
            If a label was not seen in training, or a target is not of the kind of those in training; the
            message names the row.
        """
        rows = _rows(y)
        if not self.multilabel:
            return self.labels.encode("y", rows)
        result = np.zeros((len(rows), len(self.labels)), dtype)
        for row, target in enumerate(rows):
            if not isinstance(target, _SETS):
                raise TypeError(
                    f"y[{row}]: expected several labels as in training, got {type(target).__name__}"
                )
            if self.matrix:
                result[row] = _as_flags(row, target, len(self.labels))
            else:
                result[row, self.labels.encode(f"y[{row}]", sorted(target, key=str))] = 1
        return result

    def decode(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64] | list[set[Any]]:
        """Return several labels for each sequence in the form that they had in training."""
        if self.matrix:
            return chosen.astype(np.int64)
        names = self.labels.classes.tolist()
        return [{names[k] for k in np.flatnonzero(row)} for row in chosen]

    def to_plain(self) -> dict[str, Any]:
        """Return the targets as plain values, ready for ``json.dumps``."""
        return {
            "classes": self.labels.classes.tolist(),
            "multilabel": self.multilabel,
            "matrix": self.matrix,
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> ClassTargets:
        """Return the targets that `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        checks = {"classes": _as_labels, "multilabel": as_flag, "matrix": as_flag}
        fields = as_fields("targets", values, checks)
        if fields["matrix"] and not fields["multilabel"]:
            raise ValueError("targets.matrix: expected no matrix of one class for each sequence")
        return cls(LabelIndex(fields["classes"]), fields["multilabel"], fields["matrix"])


def _rows(y: Any, *, warn: bool = False) -> list[Any]:
    """Return a target for each sequence; a column vector's are its entries."""
    rows = as_rows("y", y)
    if all(isinstance(row, np.ndarray) and row.shape == (1,) for row in rows):
        if warn:
            module = sys.modules.get("sklearn.exceptions")
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected. Write y.ravel()",
                UserWarning if module is None else module.DataConversionWarning,
                stacklevel=5,
            )
        return [row[0] for row in rows]
    return rows


def _is_matrix(rows: list[Any]) -> bool:
    """Return whether targets are rows of 0 and 1 rather than sets of labels."""
    kinds = (list, tuple, np.ndarray)
    if not all(isinstance(row, kinds) and len(row) == len(rows[0]) > 1 for row in rows):
        return False
    if isinstance(rows[0], np.ndarray) and rows[0].dtype.kind in "fiub":  # numbers, which have to be 0 and 1
        for row, flags in enumerate(rows):
            _as_flags(row, flags, len(rows[0]))
        return True
    return all(isinstance(flag, (int, np.integer)) and flag in (0, 1) for row in rows for flag in row)


def _as_flags(row: int, flags: Any, count: int) -> NDArray[Any]:
    array = np.asarray(flags)
    if array.shape != (count,):
        raise ValueError(f"y[{row}]: expected {count} columns, got {[*array.shape]}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"y[{row}]: expected 0 and 1, one for each label, got {array.tolist()}")
    return array


def _as_labels(name: str, value: Any) -> list[Any]:
    labels: list[Any] = as_list(name, value, as_label)
    if not labels or len(set(labels)) != len(labels) or len({*map(type, labels)}) != 1:
        raise ValueError(f"{name}: expected at least one, each once, all str or all integers")
    return labels
