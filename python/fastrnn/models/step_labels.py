"""The tags of a sequence's steps: from what users give to arrays, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_flag, as_number
from fastrnn._foreign import of_others
from fastrnn._plain import as_fields, as_list, as_mapping
from fastrnn.models.base.labels import LabelIndex, as_label
from fastrnn.models.base.sequences import as_rows

__all__ = ["FORMS", "StepLabels"]

FORMS = ("list", "array", "text", "matrix")
_SETS = (set, frozenset, list, tuple, np.ndarray)


class StepLabels:
    """The tags that a model knows, one or several at a step, and the form in which a user gives them.

    A tag of None or -1 is not known: such a step does not count.

    Parameters
    ----------
    labels : LabelIndex
    several : bool
        Whether a step has any number of labels.
    form : {"list", "array", "text", "matrix"}
        What the tags of a sequence are: a list (of sets if a step has several), an array [T], a str of one
        character a step, or a matrix [T, K] of 0 and 1.
    """

    labels: LabelIndex
    several: bool
    form: str

    def __init__(self, labels: LabelIndex, several: bool, form: str) -> None:
        self.labels, self.several, self.form = labels, several, form

    @classmethod
    def learn(cls, y: Any, classes: Any = None) -> StepLabels:
        """Return the tags of a training set.

        Parameters
        ----------
        y : sequence of sequences
        classes : sequence, optional
            All tags; default: those in y.

        Raises
        ------
        ValueError, TypeError
            If an entry is not a sequence of tags, or there are fewer than two tags.
        """
        rows = _as_tags(y)
        form = _form(rows[0])
        several = form == "matrix" or any(isinstance(tag, _SETS) for tags in rows for tag in tags)
        if form == "matrix":
            labels = LabelIndex(list(range(rows[0].shape[1])))
        elif classes is not None:
            labels = LabelIndex.learn("classes", as_rows("classes", classes))
        else:
            labels = LabelIndex.learn("y", _occurring(rows, several))
        _check_count(labels, several, len(rows))
        return cls(labels, several, form)

    def encode(self, y: Any, lengths: Sequence[int] | None = None) -> list[NDArray[Any]]:
        """Return an array for each sequence, with -1 where nothing is known.

        Parameters
        ----------
        y : sequence of sequences
        lengths : sequence of int, optional
            The steps of each, where they are to be checked.

        Returns
        -------
        targets : list of ndarray
            Indices of tags, int64 [T]; with several labels a step 0 and 1, float64 [T, K].

        Raises
        ------
        ValueError, TypeError
            If there are not as many tags as steps, or a tag was not seen in training; the message names both.
        """
        targets = []
        for row, tags in enumerate(_as_tags(y)):
            if lengths is not None and len(tags) != lengths[row]:
                expected = f"{lengths[row]} {'tag' if lengths[row] == 1 else 'tags'}"
                raise ValueError(
                    f"y[{row}]: expected {expected}, one for each step of X[{row}], got {len(tags)}"
                )
            targets.append(self._matrix(row, tags) if self.several else self._indices(row, tags))
        return targets

    def decode(self, found: NDArray[Any]) -> Any:
        """Return the tags of one sequence in the user's form, from indices [T] or from bool [T, K]."""
        if self.form == "matrix":
            return found.astype(np.int64)
        names = self.labels.classes.tolist()
        if self.several:
            return [{names[k] for k in np.flatnonzero(step)} for step in found]
        if self.form == "array":
            return self.labels.classes[found]
        tags = [names[k] for k in found.tolist()]
        return "".join(tags) if self.form == "text" else tags

    def weights(self, given: Any, y: Any) -> NDArray[np.float64] | None:
        """Return the weight of each tag in the loss, or of each label's presence; None: all are 1.

        Parameters
        ----------
        given : mapping of tag to float, "balanced" or None
        y : sequence of sequences

        Raises
        ------
        ValueError, TypeError
            If a tag is unknown, or a weight is not a number of at least 0.
        """
        if given is None:
            return None
        if isinstance(given, str):
            as_choice("class_weight", given, ("balanced",))
            steps = np.concatenate(self.encode(y))
            if self.several:
                present, absent = (steps == 1).sum(axis=0), (steps == 0).sum(axis=0)
                return np.asarray(absent / np.maximum(present, 1))
            counts = np.bincount(steps[steps >= 0], minlength=len(self.labels))
            return np.asarray(counts.sum() / (len(counts) * np.maximum(counts, 1.0)))
        weights = np.ones(len(self.labels))
        for label, weight in as_mapping("class_weight", given).items():
            index = self.labels.encode("class_weight", [label])[0]
            weights[index] = as_number(f"class_weight[{label!r}]", weight, least=0.0)
        return weights

    def to_plain(self) -> dict[str, Any]:
        """Return the tags as plain values, ready for ``json.dumps``."""
        return {"classes": self.labels.classes.tolist(), "several": self.several, "form": self.form}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> StepLabels:
        """Return what `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        fields = as_fields("tags", values, {"classes": _labels, "several": as_flag, "form": _as_form})
        labels = LabelIndex(fields["classes"])
        _check_count(labels, fields["several"], 0)
        if fields["form"] == "text" and not all(isinstance(tag, str) for tag in fields["classes"]):
            raise TypeError("tags.classes: expected str with the form 'text'")
        return cls(labels, fields["several"], fields["form"])

    def _indices(self, row: int, tags: Any) -> NDArray[np.int64]:
        steps = tags.tolist() if isinstance(tags, np.ndarray) else tags
        known = [step for step, tag in enumerate(steps) if not _is_missing(tag)]
        if len(known) == len(steps):
            return self.labels.encode(f"y[{row}]", steps)
        indices = np.full(len(steps), -1, np.int64)
        for step in known:
            indices[step] = self.labels.encode(f"y[{row}]", steps[step : step + 1], first=step)[0]
        return indices

    def _matrix(self, row: int, tags: Any) -> NDArray[np.float64]:
        width = len(self.labels)
        if self.form == "matrix":
            array = np.asarray(tags)
            if array.ndim != 2 or array.shape[1] != width:
                raise ValueError(f"y[{row}]: expected 0 and 1 [T, {width}], got {list(array.shape)}")
            if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1, -1)).all():
                raise ValueError(f"y[{row}]: expected 0 and 1, or -1 for what is not known")
            return array.astype(np.float64)
        matrix = np.zeros((len(tags), width))
        for step, labels in enumerate(tags):
            if _is_missing(labels):
                matrix[step] = -1
            elif not isinstance(labels, _SETS):
                raise TypeError(
                    f"y[{row}][{step}]: expected a set of labels, got {type(labels).__name__}; "
                    "in other steps there are sets"
                )
            else:
                matrix[step, self.labels.encode(f"y[{row}][{step}]", labels)] = 1
        return matrix


def _occurring(rows: list[Any], several: bool) -> Iterator[Any]:
    """Yield each tag that is known, as Python's str, int or bool."""
    for row, tags in enumerate(rows):
        for step, tag in enumerate(tags):
            if _is_missing(tag):
                continue
            if not several:
                yield as_label(f"y[{row}][{step}]", tag)
            elif isinstance(tag, _SETS):
                yield from (as_label(f"y[{row}][{step}]", one) for one in tag)
            else:
                raise TypeError(
                    f"y[{row}][{step}]: expected a set of labels, got {type(tag).__name__}; "
                    "in other steps there are sets"
                )


def _as_tags(y: Any) -> list[Any]:
    """Return the tags of each sequence as a str, a list or an array, either all matrices or none."""
    rows = as_rows("y", y)
    for row, tags in enumerate(rows):
        if isinstance(tags, (str, list)):
            continue
        if hasattr(tags, "to_list"):  # a column of pandas or polars, whose missing values are unknown tags
            tags = np.asarray(tags) if hasattr(tags, "iloc") else np.array(tags.to_list())
        tags = of_others(f"y[{row}]", tags)
        if not isinstance(tags, (Sequence, np.ndarray)):
            raise TypeError(
                f"y[{row}]: expected a sequence of tags, one for each step of X[{row}], got "
                f"{type(tags).__name__}; one class for a whole sequence is for SequenceClassifier"
            )
        rows[row] = array = list(tags) if isinstance(tags, Sequence) else np.asarray(tags)
        if isinstance(array, np.ndarray) and array.ndim not in (1, 2):
            raise ValueError(f"y[{row}]: expected tags [T], or 0 and 1 [T, K], got {list(array.shape)}")
    matrices = [_form(tags) == "matrix" for tags in rows]
    if any(matrices) and not all(matrices):
        raise TypeError(f"y[{matrices.index(False)}]: expected a matrix of 0 and 1, as others are, got none")
    return rows


def _check_count(labels: LabelIndex, several: bool, rows: int) -> None:
    if several and len(labels) < 1:
        raise ValueError("y: expected at least one label, got none at any step")
    if not several and len(labels) < 1:
        raise ValueError("y: expected at least 2 tags, got none: no step has one that is known")
    if not several and len(labels) < 2:
        raise ValueError(
            f"y: expected at least 2 tags, got one, {labels.classes.tolist()[0]!r}, in all {rows} sequences"
        )


def _is_missing(tag: Any) -> bool:
    return tag is None or (isinstance(tag, (int, np.integer)) and not isinstance(tag, bool) and tag == -1)


def _form(tags: Any) -> str:
    if isinstance(tags, str):
        return "text"
    if isinstance(tags, np.ndarray):
        return "matrix" if tags.ndim == 2 else "array"
    return "list"


def _labels(name: str, value: Any) -> list[Any]:
    labels: list[Any] = as_list(name, value, as_label)
    if len(set(labels)) != len(labels):
        raise ValueError(f"{name}: expected each once")
    return labels


def _as_form(name: str, value: Any) -> str:
    return as_choice(name, value, FORMS)
