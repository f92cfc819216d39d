"""The state of a training run besides parameters and configuration, in a form that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_size
from fastrnn._plain import (
    Check,
    as_count,
    as_fields,
    as_finite,
    as_is,
    as_list,
    as_mapping,
    as_texts,
    optional,
)
from fastrnn.train.diagnosis import ABOUT, as_diagnosis, as_warning

__all__ = [
    "TrainingState",
    "arrays_under",
    "check_arrays",
    "check_values",
    "pack_carried",
    "unpack_carried",
]


@dataclass
class TrainingState:
    """State that `Trainer.state` returns and `Trainer.restore` accepts; averages use it in the same way.

    Attributes
    ----------
    values : dict
        Values that JSON can hold; a program may add its own.
    arrays : dict of str to ndarray
        The optimizer's moments, the averaged parameters and the recurrent state carried between batches.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def pack_carried(carried: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return the form of a recurrent state and its arrays by name.

    The form is "none", "array" (h), "tuple" of arrays (h, c), or a list of the forms of a stack's layers.
    """
    return _pack(carried, "carried")


def _pack(carried: Any, name: str) -> tuple[Any, dict[str, NDArray[Any]]]:
    if carried is None:
        return "none", {}
    if not isinstance(carried, tuple):
        return "array", {f"{name}.0": carried}
    parts = [_pack(part, f"{name}.{index}") for index, part in enumerate(carried)]
    if all(form == "array" for form, _ in parts):
        return "tuple", {f"{name}.{index}": part for index, part in enumerate(carried)}
    return [form for form, _ in parts], {key: array for _, arrays in parts for key, array in arrays.items()}


def unpack_carried(form: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the recurrent state that `pack_carried` described."""
    return _unpack(form, arrays, "carried")


def _unpack(form: Any, arrays: Mapping[str, NDArray[Any]], name: str) -> Any:
    if form == "none":
        return None
    if form == "array":
        return arrays[f"{name}.0"]
    if form == "tuple":
        # At most one of each: names that are missing end the tuple.
        found = (f"{name}.{index}" for index in range(len(arrays)))
        return tuple(arrays[key] for key in found if key in arrays)
    return tuple(_unpack(part, arrays, f"{name}.{index}") for index, part in enumerate(form))


def _as_form(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return as_list(name, value, partial(as_choice, choices=("none", "array", "tuple")))
    return as_choice(name, value, ("none", "array", "tuple"))


def _as_record(name: str, value: Any) -> dict[str, Any]:
    numbers = ("epoch", "loss", "gradient_norm", "tokens_per_second", "learning_rate")
    required: dict[str, Check] = {"step": as_count, **dict.fromkeys(numbers, as_finite)}
    others: dict[str, Check] = {
        "valid_loss": optional(as_finite),
        "diagnosis": as_diagnosis,
        "warnings": partial(as_list, check=as_warning),
    }
    return as_fields(name, value, required, others)


def _as_watch(name: str, value: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("steps", "short", "short_since", "window"), as_count)
    numbers = dict.fromkeys(("log_norm", "far_above"), as_finite)
    warned = partial(as_list, check=partial(as_choice, choices=ABOUT))
    return as_fields(name, value, {**counts, **numbers, "warned": warned})


def _as_best(name: str, value: Any) -> list[Any]:
    """Check a loss, None for none, and a count."""
    loss, count = as_list(name, value, as_is, count=2)
    return [optional(as_finite)(f"{name}[0]", loss), as_count(f"{name}[1]", count)]


def _as_schedule(name: str, value: Any) -> dict[str, Any]:
    fields: dict[str, Check] = {"decays": as_count, "waited": as_count, "lowest": optional(as_finite)}
    return as_fields(name, value, {}, fields)


def _as_average(name: str, value: Any) -> dict[str, Any]:
    kinds = partial(as_choice, choices=("ExponentialAverage", "NonMonotonicAverage"))
    losses = partial(as_list, check=as_finite)
    return as_fields(name, value, {"kind": kinds, "updates": as_count}, {"losses": losses}, unknown=True)


_VALUES: dict[str, Check] = {
    "step": as_count,
    "best": _as_best,
    "patience": _as_best,
    "carried": _as_form,
    "unfinished": optional(_as_record),
    "chunk": as_count,
    "optimizer_steps": as_count,
    "schedule": _as_schedule,
    "random": as_mapping,
}
# Older files lack these.
_NEW_VALUES: dict[str, Check] = {
    "batches": as_count,
    "order": optional(partial(as_size, least=0, most=2**63 - 1)),
    "average": optional(_as_average),
    "frozen": as_texts,
    "watch": _as_watch,
}


def check_values(values: Any, *, complete: bool = False) -> dict[str, Any]:
    """Check the values of a training state, and return them; those of a program's own stay as they are.

    Parameters
    ----------
    values : mapping
    complete : bool, default False
        Whether all that `Trainer.restore` needs must be there.

    Raises
    ------
    ValueError, TypeError
        If one has a wrong type, is out of range or, if complete, missing; the message names it.
    """
    required, others = (_VALUES, _NEW_VALUES) if complete else ({}, _VALUES | _NEW_VALUES)
    return as_fields("training", values, required, others, unknown=True)


def check_arrays(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check that no array has a NaN. An optimizer's squares may overflow to infinity; nothing else may.

    Raises
    ------
    ValueError
        With the name of the array.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        wrong = np.isnan(array) if name.startswith("optimizer.") else ~np.isfinite(array)
        if wrong.any():
            raise ValueError(f"training.{name}: expected finite numbers, got {array[wrong][0]}")


def arrays_under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, with the prefix removed."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
