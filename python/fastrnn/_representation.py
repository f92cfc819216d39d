"""The text of an object as the call that makes it."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["constructor_call"]


def constructor_call(one: Any, **given: Any) -> str:
    """Return the call of a class with an object's arguments: those without a default, and those that differ.

    Parameters
    ----------
    one : object
        Its arguments are attributes of the same names; what is not an attribute is left out.
    **given
        Values of arguments, in place of the attributes.

    Examples
    --------
    >>> import fastrnn as fr
    >>> fr.train.StepSchedule(0.1, every=100, warmup=10)
    StepSchedule(0.1, every=100, warmup=10)
    """
    texts = []
    for name, argument in inspect.signature(type(one)).parameters.items():
        value = given.get(name, getattr(one, name, argument.default))
        if value is argument.empty or (argument.default is not argument.empty and value == argument.default):
            continue
        required = argument.default is argument.empty and argument.kind is not argument.KEYWORD_ONLY
        texts.append(f"{value!r}" if required else f"{name}={value!r}")
    return f"{type(one).__name__}({', '.join(texts)})"
