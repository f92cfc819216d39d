"""The names of a state dict that is loaded: checked, with or without a prefix."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["UnmatchedKeys", "check_names", "own_names"]


class UnmatchedKeys(NamedTuple):
    """The names that ``load_state_dict`` did not use, as PyTorch returns them; if strict, there are none.

    Attributes
    ----------
    missing_keys : list of str
        Parameters that the mapping lacks; they keep their values.
    unexpected_keys : list of str
        Names of the mapping that are no parameter's, with the prefix removed.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def own_names(state: Any, prefix: str) -> Mapping[str, Any]:
    """Return a state dict, or the part of it whose names begin with a prefix, without it.

    Raises
    ------
    TypeError
        If it is no mapping.
    ValueError
        If no name begins with the prefix.
    """
    if isinstance(state, Mapping):
        return _without_prefix(state, prefix) if prefix else state
    hint = "; write state_dict()" if hasattr(state, "state_dict") else ""
    if isinstance(state, (str, os.PathLike)):
        hint = "; read the file first: fr.interop.load_pt(path)"
    raise TypeError(f"state_dict: expected a mapping of names to arrays, got {type(state).__name__}{hint}")


def check_names(expected: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Check that a state dict has exactly the names expected.

    Raises
    ------
    ValueError
        If not; the message names them, or the prefix to pass.
    """
    missing = [name for name in expected if name not in given]
    unknown = [name for name in given if name not in expected]
    problems = [
        f"{word} {', '.join(map(str, names))}"
        for word, names in (("missing", missing), ("unknown", unknown))
        if names
    ]
    if not problems:
        return
    prefixes = [f"prefix={prefix!r}" for prefix in _common_prefixes(expected, given)]
    if prefixes:
        first, others = next(iter(expected)), " or ".join(prefixes)
        problems = [f"no {first}, but all names with a prefix: pass {others} to load them"]
    raise ValueError(f"state_dict: {'; '.join(problems)}")


def _without_prefix(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found = {name[len(prefix) :]: value for name, value in state.items() if str(name).startswith(prefix)}
    if not found:
        names = ", ".join(map(str, [*state][:5])) or "none"
        raise ValueError(
            f"prefix: expected the beginning of a name in the state_dict, got {prefix!r}; it has {names}"
        )
    return found


def _common_prefixes(expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return the prefixes under which all expected names are there."""
    first = next(iter(expected), "")
    prefixes = [
        name[: -len(first)] for name in given if first and str(name).endswith(first) and name != first
    ]
    return [prefix for prefix in prefixes if all(prefix + name in given for name in expected)]
