"""The modules that an optimiser trains or clipping reads: one, or several without shared parameters."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from fastrnn.layers.base.module import Module
from fastrnn.layers.base.parameters import Parameters

__all__ = ["Modules", "as_modules"]

Modules: TypeAlias = Module | Iterable[Module]


def as_modules(value: Any) -> tuple[Module, ...]:
    """Check one module or several.

    Raises
    ------
    TypeError
        If something is not a module.
    ValueError
        If there is none, or two have parameters in common: one twice, or one and a part of it.
    """
    if isinstance(value, Module):
        return (value,)
    if isinstance(value, (Parameters, str)) or not isinstance(value, Iterable):
        hint = "; pass the module itself, not its parameters" if isinstance(value, Parameters) else ""
        raise TypeError(f"module: expected a module or several, got {type(value).__name__}{hint}")
    modules = tuple(value)
    for index, module in enumerate(modules):
        if not isinstance(module, Module):
            got = type(module).__name__
            if isinstance(module, np.ndarray):
                got = "an array; pass the module itself, not its parameters"
            raise TypeError(f"module[{index}]: expected a module, got {got}")
    if not modules:
        raise ValueError("module: expected at least one module, got none")
    for (i, one), (j, other) in combinations(enumerate(modules), 2):
        if np.may_share_memory(one.parameters.flat, other.parameters.flat):  # exact: neither has gaps
            raise ValueError(
                f"module: expected each parameter once, but module[{j}] ({type(other).__name__}) shares "
                f"parameters with module[{i}] ({type(one).__name__})"
            )
    return modules
