"""Parameters and gradients: named views of two flat arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastrnn._arrays import Array, as_array, check_shape, contiguous, widen_bfloat16
from fastrnn.layers.base.buffer import Buffer, Shapes, flat_size
from fastrnn.layers.base.parameter_view import ParameterView
from fastrnn.layers.base.precision import Precision

__all__ = ["Gradients", "Parameters", "Views", "as_any_floats", "as_parameter"]


class Views(Mapping[str, Array]):
    """Named, writable views of one flat array, in order.

    Attributes
    ----------
    flat : ndarray, shape [scalars]
        All values, one after another.
    """

    def __init__(self, flat: Array, shapes: Shapes) -> None:
        self.flat = flat
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in shapes.items():
            end = start + math.prod(shape)
            self._views[name] = flat[start:end].reshape(shape)
            start = end

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._views[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __eq__(self, other: object) -> bool:
        return self is other  # a mapping of arrays has no useful equality by value

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return _shown(self, self.flat)

    def _close(self) -> None:
        for view in (self.flat, *self._views.values()):
            view.flags.writeable = False


class Gradients(Views):
    """Gradients of a module's parameters by name: writable views of one flat array, ``flat``.

    ``backward`` adds to them. They do not move, so a view stays valid as long as the module exists.

    Examples
    --------
    >>> import fastrnn as fr
    >>> layer = fr.Linear(3, 2, seed=0)
    >>> layer.gradients["bias"] += 1.0
    >>> layer.gradients.flat
    array([0., 0., 0., 0., 0., 0., 1., 1.], dtype=float32)
    >>> layer.gradients.zero()
    >>> layer.gradients["bias"]
    array([0., 0.], dtype=float32)
    """

    def zero(self) -> None:
        """Set all gradients to zero."""
        self.flat.view(np.uint8).fill(0)  # a memset: half the time of filling floats


class Parameters(Mapping[str, Array]):
    """Parameters of a module by name: read-only views of one flat array, ``flat``.

    Write to them with ``parameters[name] = value``, inside ``with parameters.edit() as views``, with
    ``load_state_dict`` or with an optimiser. Each write raises `version`, which tells a layer when to repack
    its weights; the arrays are read-only so that no write goes unnoticed.

    Attributes
    ----------
    flat : ndarray, shape [scalars], read-only
        All values, one after another.

    Examples
    --------
    >>> import fastrnn as fr
    >>> parameters = fr.Linear(3, 2, seed=0).parameters
    >>> parameters
    <Parameters, 8 scalars
      weight: float32 [2, 3]
      bias: float32 [2]>
    >>> parameters["bias"] = [0.5, 1.5]
    >>> with parameters.edit() as views:
    ...     views["bias"][0] = 7.0
    >>> parameters["bias"]
    array([7. , 1.5], dtype=float32)
    """

    _buffer: Buffer

    def __init__(self, buffer: Buffer, shapes: Shapes) -> None:
        self._shapes = dict(shapes)
        self._bind(buffer, 0)

    def _bind(self, buffer: Buffer, start: int) -> None:
        """Use a slice of a buffer. Anything computed from the old buffer becomes outdated."""
        if hasattr(self, "_buffer"):
            self._buffer.touch()
        self._buffer = buffer
        self._slice = slice(start, start + flat_size(self._shapes))
        views = self._writable_views()
        views._close()
        self._flat: Array = views.flat.view(ParameterView)
        self._views: dict[str, Array] = {name: view.view(ParameterView) for name, view in views.items()}

    def _writable_views(self) -> Views:
        return Views(self._buffer.values[self._slice], self._shapes)

    def _gradient_views(self) -> Gradients:
        return Gradients(self._buffer.gradients[self._slice], self._shapes)

    def _writable_flat(self) -> Array:
        """Return all parameters in one writable array for one immediate write: the version is raised here."""
        self._buffer.touch()
        return self._buffer.values[self._slice]

    @property
    def flat(self) -> Array:
        """All values, one after another: read-only, [scalars]."""
        return self._flat

    @flat.setter
    def flat(self, value: Any) -> None:
        array = as_parameter("flat", value, self.dtype, self._flat.shape)
        self._writable_flat()[...] = array

    @property
    def version(self) -> float:
        """An integer that every write raises; NaN, which equals nothing, while an edit is open."""
        return self._buffer.version

    @property
    def grid(self) -> Precision:
        """The precision that `fastrnn.quantize` rounded the weights to; float32 if it did not."""
        return self._buffer.grid

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all parameters."""
        return self._buffer.values.dtype

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._shapes:
            raise KeyError(name)
        array = as_parameter(name, value, self.dtype, self._shapes[name])
        self._buffer.touch()
        self._writable_views()[name] = array

    def __call__(self) -> Iterator[Array]:
        """Return an iterator over the arrays, as ``parameters()`` does in PyTorch."""
        return iter(self._views.values())

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return _shown(self, self.flat)

    @contextmanager
    def edit(self) -> Iterator[Views]:
        """Open the parameters for writing in place.

        Returns
        -------
        views : Views
            Writable arrays by name, and ``flat``. They are read-only again when the ``with`` block ends.
        """
        views = self._writable_views()
        self._buffer.open_edit()
        try:
            yield views
        finally:
            views._close()
            self._buffer.close_edit()

    def __getstate__(self) -> dict[str, Any]:
        # Copied or pickled views would no longer share the flat array.
        return {"shapes": self._shapes, "buffer": self._buffer, "start": self._slice.start}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._shapes = state["shapes"]
        self._bind(state["buffer"], state["start"])


def _shown(views: Mapping[str, Array], flat: Array) -> str:
    lines = [f"  {name}: {view.dtype} {list(view.shape)}" for name, view in views.items()]
    return "\n".join([f"<{type(views).__name__}, {flat.size} scalars", *lines]) + ">"


def as_parameter(
    name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int, ...], *, allow_nonfinite: bool = False
) -> Array:
    """Check a parameter's new value. Any float dtype is accepted and rounded to the parameter's own.

    Raises
    ------
    TypeError
        If the value is not an array of floats.
    ValueError
        If it has another shape, a number is too large for the dtype or, unless allowed, one is not finite.
    """
    array = as_any_floats(name, value, dtype)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected floats, got {array.dtype}")
    check_shape(name, array, shape)
    with np.errstate(over="ignore"):  # checked below
        rounded = contiguous(name, array.astype(dtype, copy=False))
    finite = np.isfinite(rounded)
    if finite.all():
        return rounded
    lost = ~finite & np.isfinite(array)
    if lost.any():
        place = _first(lost)
        raise ValueError(f"{name}: {array[place]:g} at {list(place)} is too large for {dtype}")
    if not allow_nonfinite:
        place = _first(~finite)
        raise ValueError(
            f"{name}: expected finite numbers, got {rounded[place]} at {list(place)}; "
            "load_state_dict and load_checkpoint take them with allow_nonfinite=True"
        )
    return rounded


def as_any_floats(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """Return the array that a value is, and bfloat16, which NumPy lacks, as float32.

    Raises
    ------
    TypeError
        If it is no array.
    """
    if str(getattr(value, "dtype", "")).endswith("bfloat16"):
        if hasattr(value, "detach"):  # PyTorch, whose arrays cannot be of it
            value = value.detach().float()
        else:
            return widen_bfloat16(np.asarray(value).view(np.uint16))
    return as_array(name, value, dtype)


def _first(flags: Array) -> tuple[int, ...]:
    """Return the indices of the first true element."""
    return tuple(int(index) for index in np.unravel_index(int(flags.argmax()), flags.shape))
