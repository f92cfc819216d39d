"""Labels and their indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelIndex", "as_label"]


class LabelIndex:
    """The classes of a model, sorted, and the index of each.

    Parameters
    ----------
    classes : sequence of str, int or bool

    Attributes
    ----------
    classes : ndarray [K]
        As ``classes_`` of scikit-learn's classifiers.

    Examples
    --------
    >>> index = LabelIndex.learn("y", ["b", "a", "b"])
    >>> index.classes.tolist(), index.encode("y", ["a", "b"]).tolist()
    (['a', 'b'], [0, 1])
    >>> index.encode("y", ["a", "c"])
    Traceback (most recent call last):
    ValueError: y[1]: expected a label seen in training, one of 'a', 'b', got 'c'
    """

    def __init__(self, classes: Sequence[Any]) -> None:
        self.classes: NDArray[Any] = np.array(classes)
        self._indices = {label: i for i, label in enumerate(self.classes.tolist())}

    @classmethod
    def learn(cls, name: str, labels: Iterable[Any]) -> LabelIndex:
        """Return the classes that occur.

        Raises
        ------
        ValueError, TypeError
            If a label is neither a str nor an integer nor a bool.
        """
        found = {as_label(f"{name}[{row}]", label) for row, label in enumerate(labels)}
        if len({isinstance(label, str) for label in found}) > 1:
            raise TypeError(f"{name}: expected labels that are all str or all integers, got both")
        return cls(sorted(found))

    def __len__(self) -> int:
        return len(self.classes)

    def encode(self, name: str, labels: Iterable[Any], *, first: int = 0) -> NDArray[np.int64]:
        """Return the index of each label; `first` is the position of the first one, for messages.

        Raises
        ------
        ValueError
            If a label was not seen in training; the message names its position.
        """
        indices = []
        for row, label in enumerate(labels, first):
            plain = as_label(f"{name}[{row}]", label)
            if plain not in self._indices:
                raise ValueError(
                    f"{name}[{row}]: expected a label seen in training, one of {self._listed()}, "
                    f"got {plain!r}"
                )
            indices.append(self._indices[plain])
        return np.array(indices, np.int64)

    def _listed(self) -> str:
        names = [repr(label) for label in self.classes.tolist()]
        return ", ".join(names if len(names) <= 10 else [*names[:10], f"... ({len(names)} in all)"])


def as_label(name: str, value: Any) -> Any:
    """Return a label as Python's str, int or bool.

    Raises
    ------
    TypeError
        If it is of another kind.
    ValueError
        If it is a float that is not an integer: a quantity, not a label.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{name}: expected a label, got {value} (Input y contains NaN or infinity)")
        if value != int(value):
            raise ValueError(f"{name}: Unknown label type: expected a str or an integer, got {value}")
        value = int(value)
    if not isinstance(value, (str, int)):
        raise TypeError(f"{name}: expected a label, a str or an integer, got {type(value).__name__}")
    return value
