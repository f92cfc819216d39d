"""How sequences become arrays, learned from training data: symbols as ids, or standardized features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn._plain import as_fields, as_list, as_mapping, optional
from fastrnn.data import split_words
from fastrnn.models.base.sequences import as_rows, as_steps
from fastrnn.models.base.symbol_ids import SymbolIds

__all__ = ["LEVELS", "InputCodec", "ReadsSequences"]

LEVELS = ("char", "word")
_FLOATS = "floats"


class InputCodec:
    """Turn sequences into arrays: str, lists of tokens or ids, or arrays of features.

    A str is a sequence of characters or of words, as `level` says. A list of str or int is a sequence of
    symbols. An array of floats [T, D] is a sequence of features, one of floats [T] has D = 1.

    Attributes
    ----------
    level : {"char", "word"}
    symbols : SymbolIds or None
        None for features.
    mean, scale : ndarray, float64 [D], or None
        Of features: what is subtracted from them, and what they are divided by.
    """

    level: str
    symbols: SymbolIds | None
    mean: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None

    def __init__(
        self,
        level: str,
        symbols: SymbolIds | None,
        mean: NDArray[np.float64] | None = None,
        scale: NDArray[np.float64] | None = None,
    ) -> None:
        self.level, self.symbols, self.mean, self.scale = level, symbols, mean, scale

    @classmethod
    def learn(
        cls,
        name: str,
        values: Any,
        *,
        level: str = "char",
        min_count: int = 1,
        standardize: bool = True,
        reserved: int = 1,
    ) -> InputCodec:
        """Return the codec of a training set.

        Parameters
        ----------
        name : str
            What messages call the sequences.
        values : sequence of sequences
        level : {"char", "word"}
        min_count : int
            Symbols that occur less often are unknown.
        standardize : bool
            Whether features are given mean 0 and standard deviation 1 over all steps.
        reserved : int
            Ids before those of the symbols; 0 is the unknown symbol.

        Raises
        ------
        ValueError, TypeError
            If a sequence is empty, or not of the kind of the others; the message names it.
        """
        as_choice("level", level, LEVELS)
        as_flag("standardize", standardize)
        least = as_size("min_count", min_count)
        rows = as_rows(name, values)
        if _holds_symbols(name, rows):
            sequences = [_symbols(name, row, steps, level) for row, steps in enumerate(rows)]
            return cls(level, SymbolIds.learn(sequences, min_count=least, reserved=reserved))
        first = _features(name, 0, rows[0], None)
        arrays = [first, *(_features(name, i, row, first.shape[1]) for i, row in enumerate(rows[1:], 1))]
        mean, scale = np.zeros(first.shape[1]), np.ones(first.shape[1])
        if standardize:
            steps = np.concatenate(arrays)
            with np.errstate(over="ignore"):
                mean, scale = steps.mean(axis=0), steps.std(axis=0)
            if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
                raise ValueError(f"{name}: the features are too large to standardize; divide them first")
            scale[scale <= 1e-12 * np.abs(mean)] = 1.0  # a constant, but for rounding
        return cls(level, None, mean, scale)

    @property
    def width(self) -> int:
        """The number of features D, or of ids."""
        if self.symbols is not None:
            return len(self.symbols)
        assert self.mean is not None
        return len(self.mean)

    def encode(self, name: str, values: Any, dtype: Any = np.float32) -> list[NDArray[Any]]:
        """Return an array for each sequence: ids, int64 [T], or standardized features [T, D] of `dtype`.

        Raises
        ------
        ValueError, TypeError
            If a sequence is empty, of another kind or width than those in training, or not finite.
        """
        return self.encode_rows(name, as_rows(name, values), dtype)

    def encode_rows(self, name: str, rows: Sequence[Any], dtype: Any = np.float32) -> list[NDArray[Any]]:
        """Do as `encode` for a list that may be empty."""
        if self.symbols is not None:
            if rows and not _holds_symbols(name, rows):
                raise TypeError(
                    f"{name}: expected symbols (str or int) as in training, got numbers with fractions"
                )
            return [self.symbols.encode(_symbols(name, i, row, self.level)) for i, row in enumerate(rows)]
        assert self.mean is not None
        assert self.scale is not None
        arrays = [_features(name, i, row, len(self.mean)) for i, row in enumerate(rows)]
        results = []
        for row, array in enumerate(arrays):
            with np.errstate(over="ignore"):
                result = ((array - self.mean) / self.scale).astype(dtype)
            if not np.isfinite(result).all():
                raise ValueError(f"{name}[{row}]: the features are too large for {np.dtype(dtype)}")
            results.append(result)
        return results

    def split(self, name: str, row: int, sequence: Any) -> list[Any]:
        """Return the symbols of a sequence of symbols.

        Raises
        ------
        ValueError, TypeError
            If it is empty or holds something else.
        """
        return _symbols(name, row, sequence, self.level)

    def to_plain(self) -> dict[str, Any]:
        """Return the codec as plain values, ready for ``json.dumps``."""
        return {
            "level": self.level,
            "symbols": None if self.symbols is None else self.symbols.to_plain(),
            "mean": None if self.mean is None else self.mean.tolist(),
            "scale": None if self.scale is None else self.scale.tolist(),
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> InputCodec:
        """Return the codec that `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        fields = as_fields(
            "input",
            values,
            {"level": _as_level, "symbols": optional(as_mapping), "mean": _numbers, "scale": _scales},
        )
        symbols, mean, scale = fields["symbols"], fields["mean"], fields["scale"]
        if (symbols is None) != (mean is not None and scale is not None and len(mean) == len(scale) > 0):
            raise ValueError("input: expected symbols, or mean and scale of equal length")
        table = None if symbols is None else SymbolIds.from_plain(symbols)
        return cls(fields["level"], table, mean, scale)


def _holds_symbols(name: str, rows: Sequence[Any]) -> bool:
    """Return whether sequences hold symbols rather than features; floats among integers are features."""
    kinds = {_kind(as_steps(name, row, sequence)) for row, sequence in enumerate(rows)}
    if {"symbols", _FLOATS} <= kinds:
        kinds = {_kind_of_numbers(sequence) for sequence in rows}
        if len(kinds) > 1:
            raise TypeError(f"{name}: expected symbols or features, got both")
    return _FLOATS not in kinds


def _kind(steps: Any) -> str:
    """Return what one sequence holds by itself."""
    if isinstance(steps, str):
        return "symbols"
    if isinstance(steps, np.ndarray):
        if steps.dtype.kind in "US":
            return "symbols"
        return "symbols" if steps.ndim == 1 and (steps.dtype.kind in "iu" or _all_symbols(steps)) else _FLOATS
    return "symbols" if _all_symbols(steps) else _FLOATS


def _all_symbols(steps: Any) -> bool:
    kinds = {*map(type, steps)}
    return kinds <= {str, int} or all(
        issubclass(kind, (str, int, np.integer)) and not issubclass(kind, bool) for kind in kinds
    )


def _kind_of_numbers(sequence: Any) -> str:
    """Return "floats" for a sequence of numbers, integers included."""
    return (
        "symbols" if isinstance(sequence, str) or any(isinstance(one, str) for one in sequence) else _FLOATS
    )


def _symbols(name: str, row: int, sequence: Any, level: str) -> list[Any]:
    """Return the symbols of one sequence."""
    steps = as_steps(name, row, sequence)
    if isinstance(steps, str):
        symbols = list(steps) if level == "char" else split_words(steps)
        if not symbols:
            raise ValueError(f"{name}[{row}]: expected at least one word, got {steps!r}")
        return symbols
    values = steps.tolist() if isinstance(steps, np.ndarray) else list(steps)
    if not {*map(type, values)} <= {str, int}:
        for step, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, (str, int, np.integer)):
                raise TypeError(
                    f"{name}[{row}]: expected symbols (str or int), got {type(value).__name__} at step {step}"
                )
        values = [value if isinstance(value, str) else int(value) for value in values]
    return values


def _features(name: str, row: int, sequence: Any, width: int | None) -> NDArray[np.float64]:
    """Return the features of one sequence, float64 [T, D]."""
    steps = as_steps(name, row, sequence)
    array = np.asarray(steps) if not isinstance(steps, list) else _from_list(name, row, steps)
    if array.dtype.kind == "c":
        raise ValueError(f"{name}[{row}]: expected real numbers. Complex data not supported")
    if array.dtype.kind not in "fiub":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}[{row}]: expected numbers: {error}") from None
    if array.ndim not in (1, 2):
        raise ValueError(f"{name}[{row}]: expected features [T, D] or [T], got {list(array.shape)}")
    array = array.astype(np.float64, order="C").reshape(len(array), -1)
    if array.shape[1] == 0:
        raise ValueError(
            f"{name}[{row}]: 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    if width is not None and array.shape[1] != width:
        raise ValueError(f"{name}[{row}]: expected {width} features at each step, got {array.shape[1]}")
    if not np.isfinite(array).all():
        step = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        kind_found = "NaN" if np.isnan(array[step]).any() else "inf"
        raise ValueError(f"{name}[{row}]: expected finite numbers, got {kind_found} at step {step}")
    return array


def _from_list(name: str, row: int, steps: list[Any]) -> NDArray[Any]:
    try:
        return np.array(steps)
    except ValueError:
        raise ValueError(f"{name}[{row}]: expected the same number of features at each step") from None


def _as_level(name: str, value: Any) -> str:
    return as_choice(name, value, LEVELS)


def _scales(name: str, value: Any) -> NDArray[np.float64] | None:
    above = partial(as_number, above=0.0)
    return None if value is None else np.array(as_list(name, value, above), np.float64)


def _numbers(name: str, value: Any) -> NDArray[np.float64] | None:
    return None if value is None else np.array(as_list(name, value, as_number), np.float64)


class ReadsSequences:
    """What models share that learn from their training data how sequences become arrays."""

    level: str
    min_count: int
    standardize: bool

    def _learn_input(self, X: Any) -> None:
        """Learn how sequences become arrays."""
        self._set_codec(
            InputCodec.learn("X", X, level=self.level, min_count=self.min_count, standardize=self.standardize)
        )

    def _set_codec(self, codec: InputCodec) -> None:
        self._codec = codec
        if codec.symbols is None:
            self.n_features_in_: int = codec.width
