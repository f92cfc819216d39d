"""The read-only arrays of parameters: NumPy's, whose errors name the way to write."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import numpy as np

from fastrnn._arrays import Array
from fastrnn._other_words import hint_of_array

__all__ = ["ParameterView"]

_READ_ONLY = (
    "parameters: expected a write inside edit(), as arrays are read-only; write parameters[name] = value, "
    "or with parameters.edit() as views: views[name][...] = value"
)


class ParameterView(np.ndarray):
    """A read-only array that refuses writes with the line to type; what is computed from it is plain.

    Its slices are such arrays too. Copies, and results of NumPy's functions, are of type ndarray.

    Examples
    --------
    >>> import fastrnn as fr
    >>> linear = fr.Linear(2, 1, seed=0)
    >>> try:
    ...     linear.parameters["bias"][0] = 1.0
    ... except ValueError as error:
    ...     print(str(error)[:42])
    parameters: expected a write inside edit()
    >>> type(2 * linear.parameters["bias"])
    <class 'numpy.ndarray'>
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **given: Any) -> Any:
        into = inputs[0] if method == "at" else None
        if isinstance(into, ParameterView) and not into.flags.writeable:  # NumPy would write to it
            raise ValueError(_READ_ONLY)
        return _answered(getattr(ufunc, method), _plain(inputs), _plain(given))

    def __array_function__(self, function: Any, types: Any, inputs: Any, given: Any) -> Any:
        return _answered(function, _plain(inputs), _plain(given))

    def __getattr__(self, name: str) -> NoReturn:
        hint = hint_of_array(name)
        message = f"'numpy.ndarray' object has no attribute {name!r}" + (f"; {hint}" if hint else "")
        raise AttributeError(message, name=name, obj=self)

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))


def _answered(function: Callable[..., Any], inputs: Any, given: Any) -> Any:
    """Call a function of plain arrays; say how to write if it tried to write into one of ours."""
    try:
        return function(*inputs, **given)
    except ValueError as error:
        if "read-only" in str(error):
            raise ValueError(_READ_ONLY) from None
        raise


def _plain(value: Any) -> Any:
    """Return a value in which each of our arrays is NumPy's own, which shares its memory."""
    if isinstance(value, ParameterView):
        return value.view(np.ndarray)
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return {name: _plain(one) for name, one in value.items()} if type(value) is dict else value


def _writing(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method, assigned=("__name__", "__qualname__"))
    def answered(self: Array, *inputs: Any, **given: Any) -> Any:
        return _answered(method, (self, *inputs), given)

    return answered


def _copying(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method, assigned=("__name__", "__qualname__"))
    def plain(self: Array, *inputs: Any, **given: Any) -> Any:
        return method(self.view(np.ndarray), *inputs, **given)

    return plain


def _viewing(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method, assigned=("__name__", "__qualname__"))
    def viewed(self: Array, *inputs: Any, **given: Any) -> Any:
        result = method(self, *inputs, **given)
        # What is writable is a copy, as of a mask.
        return (
            result.view(np.ndarray) if isinstance(result, np.ndarray) and result.flags.writeable else result
        )

    return viewed


_WRITING = ("__setitem__", "fill", "itemset", "partition", "put", "resize", "setfield", "sort")
_COPYING = (
    *("__copy__", "__deepcopy__", "__reduce_ex__", "argpartition", "argsort", "astype", "byteswap", "choose"),
    *("compress", "copy", "dot", "flatten", "repeat", "searchsorted", "take"),
)
_VIEWING = ("__getitem__", "ravel", "reshape")
for _names, _answer in ((_WRITING, _writing), (_COPYING, _copying), (_VIEWING, _viewing)):
    for _name in _names:
        if hasattr(np.ndarray, _name):  # NumPy 2 has no itemset
            setattr(ParameterView, _name, _answer(getattr(np.ndarray, _name)))
