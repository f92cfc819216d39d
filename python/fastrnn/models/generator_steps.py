"""The steps of generated sequences, as arrays: tokens, several labels at once, or numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice
from fastrnn._plain import as_fields, as_list, as_mapping, as_text, optional
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.labels import LabelIndex, as_label
from fastrnn.models.base.sequences import as_rows, as_steps

__all__ = ["END", "STEPS", "UNKNOWN", "LabelSteps", "NumberSteps", "Steps", "TokenSteps", "learn_steps"]

STEPS = ("tokens", "labels", "numbers")
UNKNOWN, END = 0, 1  # ids of tokens: 1 is the end as a target and the start as an input
_SETS = (set, frozenset, list, tuple)


class Steps(ABC):
    """The steps of sequences, and the arrays that the network reads and learns.

    Before the first step the network reads a start. After the last it is to foresee the end, if it learns
    where sequences end.

    Attributes
    ----------
    kind : {"tokens", "labels", "numbers"}
    width : int
        Ids V, labels K, or numbers D of a step.
    """

    kind: str
    width: int

    @abstractmethod
    def encode(self, name: str, values: Any, dtype: Any) -> list[NDArray[Any]]:
        """Return an array for each sequence: ids, int64 [T], or float [T, width].

        Raises
        ------
        ValueError, TypeError
            If a sequence is empty or not of the kind of those in training; the message names it.
        """

    @abstractmethod
    def decode(self, sequence: NDArray[Any]) -> Any:
        """Return one sequence in the form that users give."""

    @abstractmethod
    def to_plain(self) -> dict[str, Any]:
        """Return the steps as plain values, ready for ``json.dumps``."""

    def as_inputs(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what the network reads after these values [N, width]: a column for the start before them."""
        return np.concatenate([np.zeros((len(values), 1), values.dtype), values], axis=1)

    def start(self, rows: int, dtype: Any) -> NDArray[Any]:
        """Return what the network reads before the first step of some sequences."""
        first = np.zeros((rows, 1 + self.width), dtype)
        first[:, 0] = 1
        return first

    def pair(self, sequence: NDArray[Any], *, end: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return inputs and targets of a sequence, each with one row more than it has steps, if `end`.

        A target's last column, if `end`, is 1 where the sequence has ended; -1 there means no target.
        """
        last = len(sequence) if end else len(sequence) - 1
        inputs = np.concatenate([self.start(1, sequence.dtype), self.as_inputs(sequence[:last])])
        if not end:
            return inputs, sequence
        targets = np.full((len(sequence) + 1, self.width + 1), -1, sequence.dtype)
        targets[:-1, :-1], targets[:-1, -1], targets[-1, -1] = sequence, 0, 1
        return inputs, targets


class TokenSteps(Steps):
    """Tokens: characters, words, or any symbols, one at a step."""

    codec: InputCodec
    joined_by: str | None

    kind = "tokens"

    def __init__(self, codec: InputCodec, joined_by: str | None) -> None:
        self.codec, self.joined_by, self.width = codec, joined_by, codec.width

    def encode(self, name: str, values: Any, dtype: Any) -> list[NDArray[Any]]:
        """Return an array for each sequence."""
        return self.codec.encode(name, values)

    def decode(self, sequence: NDArray[Any]) -> Any:
        """Return one sequence in the form that users give."""
        assert self.codec.symbols is not None
        tokens = self.codec.symbols.decode(sequence)
        return tokens if self.joined_by is None else self.joined_by.join(tokens)

    def as_inputs(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what the network reads after these ids: the ids."""
        return values

    def start(self, rows: int, dtype: Any) -> NDArray[Any]:
        """Return the ids of the start."""
        return np.full(rows, END, np.int64)

    def pair(self, sequence: NDArray[Any], *, end: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return inputs and targets of a sequence; the end is one more target, if `end`."""
        whole = np.concatenate([[END], sequence, [END]])
        return (whole[:-1], whole[1:]) if end else (whole[:-2], whole[1:-1])

    def to_plain(self) -> dict[str, Any]:
        """Return the steps as plain values."""
        return {"kind": self.kind, "input": self.codec.to_plain(), "joined_by": self.joined_by}


class LabelSteps(Steps):
    """Any number of labels at each step, such as the notes of a chord."""

    labels: LabelIndex

    kind = "labels"

    def __init__(self, labels: LabelIndex) -> None:
        self.labels, self.width = labels, len(labels)

    @classmethod
    def learn(cls, name: str, values: Any) -> LabelSteps:
        """Return the labels that occur."""
        found = [
            label
            for row, sequence in enumerate(as_rows(name, values))
            for labels in _as_sets(name, row, sequence)
            for label in labels
        ]
        if not found:
            raise ValueError(f"{name}: expected at least one label, got none at any step")
        return cls(LabelIndex.learn(name, found))

    def encode(self, name: str, values: Any, dtype: Any) -> list[NDArray[Any]]:
        """Return an array for each sequence."""
        arrays = []
        for row, sequence in enumerate(as_rows(name, values)):
            sets = _as_sets(name, row, sequence)
            array = np.zeros((len(sets), self.width), dtype)
            for step, labels in enumerate(sets):
                if len(labels):
                    array[step, self.labels.encode(f"{name}[{row}][{step}]", labels)] = 1
            arrays.append(array)
        return arrays

    def decode(self, sequence: NDArray[Any]) -> Any:
        """Return one sequence in the form that users give."""
        names = self.labels.classes.tolist()
        return [[names[k] for k in np.flatnonzero(row)] for row in sequence]

    def to_plain(self) -> dict[str, Any]:
        """Return the steps as plain values."""
        return {"kind": self.kind, "labels": self.labels.classes.tolist()}


class NumberSteps(Steps):
    """D numbers at each step, standardized."""

    codec: InputCodec

    kind = "numbers"

    def __init__(self, codec: InputCodec) -> None:
        self.codec, self.width = codec, codec.width

    def encode(self, name: str, values: Any, dtype: Any) -> list[NDArray[Any]]:
        """Return an array for each sequence."""
        return self.codec.encode(name, values, dtype)

    def decode(self, sequence: NDArray[Any]) -> Any:
        """Return one sequence in the form that users give."""
        assert self.codec.mean is not None
        assert self.codec.scale is not None
        return sequence.astype(np.float64) * self.codec.scale + self.codec.mean

    @property
    def log_scale(self) -> float:
        """The sum of ln scale: what a density of standardized numbers is too large by, in nats a step."""
        assert self.codec.scale is not None
        return float(np.log(self.codec.scale).sum())

    def to_plain(self) -> dict[str, Any]:
        """Return the steps as plain values."""
        return {"kind": self.kind, "input": self.codec.to_plain()}


def learn_steps(
    kind: str, values: Any, *, labels: Any, level: str, min_count: int, standardize: bool
) -> Steps:
    """Return the steps of a training set.

    Parameters
    ----------
    kind : {"auto", "tokens", "labels", "numbers"}
    values : sequence of sequences
    labels : sequence or None
        All labels that a step may have; None: those that occur.
    level, min_count, standardize
        As for a model with ``fit``.

    Raises
    ------
    ValueError, TypeError
        If a sequence is empty or not of the kind.
    """
    rows = as_rows("y", values)
    if as_choice("steps", kind, ("auto", *STEPS)) == "auto":
        kind = "labels" if _look_like_sets(as_steps("y", 0, rows[0])) else "either"
    if labels is not None and kind != "labels":
        raise ValueError("labels: expected None unless steps have several labels; write steps='labels'")
    if kind == "labels":
        return LabelSteps.learn("y", rows) if labels is None else LabelSteps(_all_labels(labels))
    if kind == "numbers":
        rows = [_as_floats(row, sequence) for row, sequence in enumerate(rows)]
    codec = InputCodec.learn("y", rows, level=level, min_count=min_count, standardize=standardize, reserved=2)
    if codec.symbols is None:
        if kind == "tokens":
            raise TypeError("y: expected tokens (str or int) at each step, got numbers: steps='numbers'")
        return NumberSteps(codec)
    texts = all(isinstance(row, str) for row in rows)
    return TokenSteps(codec, {"char": "", "word": " "}[level] if texts else None)


def steps_from_plain(values: Mapping[str, Any]) -> Steps:
    """Return the steps that ``to_plain`` described.

    Raises
    ------
    ValueError, TypeError
        If a value is missing or wrong.
    """
    kind = as_choice("kind", as_mapping("steps", values).get("kind"), STEPS)
    checks: dict[str, Any] = {"kind": as_text}
    if kind == "labels":
        return LabelSteps(as_fields("steps", values, checks | {"labels": _label_index})["labels"])
    checks |= {"input": as_mapping} | ({"joined_by": optional(as_text)} if kind == "tokens" else {})
    fields = as_fields("steps", values, checks)
    codec = InputCodec.from_plain(fields["input"])
    if (codec.symbols is None) != (kind == "numbers"):
        raise ValueError(f"steps: expected the input of {kind}")
    if codec.symbols is None:
        return NumberSteps(codec)
    if codec.symbols.reserved != 2:
        raise ValueError(f"steps: expected 2 reserved ids, got {codec.symbols.reserved}")
    return TokenSteps(codec, fields["joined_by"])


def _look_like_sets(steps: Any) -> bool:
    """Return whether a sequence's steps are sets of labels: collections, none with a fraction."""
    if isinstance(steps, (str, np.ndarray)) or not all(isinstance(step, _SETS) for step in steps):
        return False
    values = [value for step in steps for value in step]
    whole = all(isinstance(value, (str, int, np.integer)) for value in values)
    return any(isinstance(step, (set, frozenset)) for step in steps) or whole


def _as_sets(name: str, row: int, sequence: Any) -> Sequence[Any]:
    """Return the labels of each step of one sequence."""
    steps = as_steps(name, row, sequence)
    for step, labels in enumerate(steps):
        if not isinstance(labels, (*_SETS, np.ndarray)):
            raise TypeError(
                f"{name}[{row}][{step}]: expected a set or a list of labels, got {type(labels).__name__}"
            )
        if not isinstance(labels, (set, frozenset)) and len({*map(str, labels)}) < len(labels):
            raise ValueError(
                f"{name}[{row}][{step}]: expected each label once, got {list(labels)}; write a row of "
                "0 and 1 as np.flatnonzero(row)"
            )
    return [sorted(labels, key=str) if isinstance(labels, (set, frozenset)) else labels for labels in steps]


def _as_floats(row: int, sequence: Any) -> Any:
    """Return a sequence whose numbers are floats, where they are not numbers as it is."""
    steps = as_steps("y", row, sequence)
    if isinstance(steps, str):
        raise TypeError(f"y[{row}]: expected numbers at each step, got a str")
    try:
        return np.asarray(steps, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"y[{row}]: expected the same number of numbers at each step, [T, D]") from None


def _all_labels(labels: Any) -> LabelIndex:
    return LabelIndex.learn("labels", as_rows("labels", labels))


def _label_index(name: str, value: Any) -> LabelIndex:
    labels: list[Any] = as_list(name, value, as_label)
    if not labels or len(set(labels)) != len(labels):
        raise ValueError(f"{name}: expected at least one, each once")
    return LabelIndex(labels)
