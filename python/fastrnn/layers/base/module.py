"""The base class of layers and models: named parameters and gradients, saving and loading."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn._checks import as_flag
from fastrnn._memory import check_memory
from fastrnn._other_words import answers_other_words, hint_of_module
from fastrnn.layers.base.buffer import Buffer, Shapes, flat_size
from fastrnn.layers.base.loading import UnmatchedKeys, check_names, own_names
from fastrnn.layers.base.parameters import Gradients, Parameters, as_parameter
from fastrnn.layers.base.precision import Precision, check_trainable
from fastrnn.layers.base.sparse import SparseRows, TrainedPart, dense_parts

__all__ = ["Module", "sparse_parts", "trained_parts"]

_PARAMETER = re.compile(r"(weight|bias|gain|initial)(_\w+)?")


class Module:
    """Named parameters in one flat array, and their gradients in another.

    A parameter is also an attribute, ``layer.weight_ih_l0``, and assigning to it is writing to it.

    Attributes
    ----------
    parameters : Parameters
        Mapping of name to read-only array; called, it is an iterator over the arrays.
    dtype : numpy.dtype
        Of parameters, inputs and outputs: float32 or float64.
    precision : str
        Of the products: ``"float32"`` (of float64 modules, float64), ``"bfloat16"`` or ``"int8"``. Of a
        module made of modules, that of its parts that have another than float32.
    """

    parameters: Parameters
    dtype: np.dtype[Any]
    _precision: Precision = "float32"

    def __init__(self, shapes: Shapes, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        check_memory("parameters", shapes, dtype)
        self.parameters = Parameters(Buffer(flat_size(shapes), dtype), shapes)
        self._gradients: Gradients | None = None
        self._frozen: set[str] = set()
        # A number that only a module and its copies have: their tapes belong to any of them.
        self._identity = int.from_bytes(os.urandom(8), "little")

    def __getattr__(self, name: str) -> Array:
        # Python calls this only for what a module does not have, in copies that are being made too.
        parameters = self.__dict__.get("parameters", ())
        if name in parameters:
            return self.parameters[name]
        hint = self._hint(name)
        message = f"{type(self).__name__!r} object has no attribute {name!r}" + (f"; {hint}" if hint else "")
        raise AttributeError(message, name=name, obj=self)

    def _hint(self, name: str) -> str | None:
        """Return what to type instead of an attribute that the module does not have."""
        hint, parameters = hint_of_module(name), self.__dict__.get("parameters", ())
        if hint is None and hasattr(self.__dict__.get("options"), name):
            return f"write options.{name}"
        if hint is None and parameters and _PARAMETER.fullmatch(name):
            return f"the parameters are {', '.join(parameters)}"
        return hint

    def __setattr__(self, name: str, value: Any) -> None:
        parameters = self.__dict__.get("parameters", ())
        if name in parameters:
            self.parameters[name] = value
        elif parameters and name not in self.__dict__ and _PARAMETER.fullmatch(name):
            raise AttributeError(f"{name}: expected one of the parameters, {', '.join(parameters)}")
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> Iterable[str]:
        return {*super().__dir__(), *filter(str.isidentifier, self.__dict__.get("parameters", ()))}

    @property
    def gradients(self) -> Gradients:
        """Mapping of name to writable array, with the names, shapes and layout of `parameters`."""
        check_trainable(self)
        if self._gradients is None:
            self._gradients = self.parameters._gradient_views()
        return self._gradients

    @property
    def precision(self) -> Precision:
        """Of the products: ``"float32"`` (of float64 modules, float64), ``"bfloat16"`` or ``"int8"``."""
        return self._precision

    def _set_precision(self, precision: Precision) -> None:
        """Compute products with this precision from now on; modules that have only float32 do nothing."""

    @property
    def quantized(self) -> bool:
        """Whether `fastrnn.quantize` made it: weights have the precision, and none is written to."""
        return self.parameters.grid != "float32"

    def _quantizable(self) -> Iterable[str]:
        """Return the own parameters that `fastrnn.quantize` rounds to the module's precision."""
        return ()

    @property
    def num_parameters(self) -> int:
        """Total number of scalars in all parameters."""
        return self.parameters.flat.size

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the frozen parameters, see `freeze`."""
        own = zip(self.parameters, self._own_parameters(), strict=True)
        return tuple(name for name, (module, part) in own if part in module._frozen)

    def freeze(self, *names: str) -> None:
        """Freeze parameters: no optimiser changes them, and gradient norms and clipping leave them out.

        Like ``requires_grad_(False)`` in PyTorch. `backward` still adds to their gradients, and they can be
        written as before. They stay frozen within a `Composite`, in copies and pickles and in the state of a
        `Trainer`, but not in ``state_dict``.

        Parameters
        ----------
        *names : str
            Names of parameters, of the modules that hold them (``"embedding"``), or patterns
            (``"rnn.*_l0"``). Without a name: all parameters.

        Raises
        ------
        ValueError
            If a name fits no parameter; then none is frozen.

        Examples
        --------
        >>> import fastrnn as fr
        >>> from fastrnn.train import SGD
        >>> model = fr.LanguageModel(4, embedding_size=2, hidden_size=3, num_layers=1, seed=0)
        >>> model.freeze("embedding", "rnn.bias_*")
        >>> model.frozen
        ('embedding.weight', 'rnn.bias_ih_l0', 'rnn.bias_hh_l0')
        >>> before = model.state_dict()
        >>> model.gradients.flat[...] = 1.0
        >>> SGD(model, 0.5).step()
        >>> [name for name, value in model.parameters.items() if (value != before[name]).any()]
        ['rnn.weight_ih_l0', 'rnn.weight_hh_l0', 'output.weight', 'output.bias']
        >>> model.unfreeze()
        >>> model.frozen
        ()
        """
        for module, name in self._chosen("freeze", names):
            module._frozen.add(name)

    def unfreeze(self, *names: str) -> None:
        """Let optimisers change parameters again.

        Parameters
        ----------
        *names : str
            As for `freeze`. Without a name: all parameters.

        Raises
        ------
        ValueError
            If a name fits no parameter; then none is unfrozen.
        """
        for module, name in self._chosen("unfreeze", names):
            module._frozen.discard(name)

    def _own_parameters(self) -> list[tuple[Module, str]]:
        """Return for each parameter the module that it belongs to, and its name there."""
        return [(self, name) for name in self.parameters]

    def _chosen(self, what: str, names: tuple[str, ...]) -> list[tuple[Module, str]]:
        """Return the parameters that names, names of modules or patterns choose."""
        chosen = set(self.parameters) if not names else set()
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"{what}: expected names of parameters, got {type(name).__name__}")
            found = {
                own
                for own in self.parameters
                if own == name or own.startswith(f"{name}.") or fnmatchcase(own, name)
            }
            if not found:
                raise ValueError(
                    f"{what}: expected names of parameters, of modules or patterns, got {name!r}; "
                    f"the parameters are {', '.join(self.parameters)}"
                )
            chosen |= found
        own_parameters = zip(self.parameters, self._own_parameters(), strict=True)
        return [part for name, part in own_parameters if name in chosen]

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """Return an iterator over name and read-only array of each parameter: ``parameters.items()``."""
        return iter(self.parameters.items())

    def zero_gradients(self) -> None:
        """Set all gradients to zero; the same as `zero_grad`."""
        self.zero_grad()

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        sparse = self._sparse_rows()
        if not sparse:
            self.gradients.zero()
            return
        for part in dense_parts(self.gradients.flat, sparse):
            part.view(np.uint8).fill(0)
        for rows in sparse:
            rows.matrix(self.gradients.flat)[rows.rows] = 0
        self._clear_sparse_rows()

    def _sparse_rows(self) -> list[SparseRows]:
        """Return the sparse gradients, in the order of the flat array."""
        return []

    def _clear_sparse_rows(self) -> None:
        """Clear the recorded rows of sparse gradients: all gradients are zero now."""

    def _set_sparse_rows(self, rows: Iterator[Ids]) -> None:
        """Record the rows of each sparse gradient, in their order: those of other processes are there now."""

    def state_dict(self) -> dict[str, Array]:
        """Copy all parameters.

        Returns
        -------
        state : dict of str to ndarray
            In PyTorch's names and shapes.
        """
        return {name: value.copy() for name, value in self.parameters.items()}

    @answers_other_words
    def load_state_dict(
        self,
        state: Mapping[str, Any],
        strict: bool = True,
        *,
        prefix: str = "",
        allow_nonfinite: bool = False,
    ) -> UnmatchedKeys:
        """Set all parameters, or none if any does not fit.

        Parameters
        ----------
        state : mapping of str to array_like
            Exactly the names of `parameters`. NumPy arrays and anything on the CPU with ``__array__`` or
            ``__dlpack__`` (PyTorch tensors); any float dtype, bfloat16 too, rounded to the module's own.
        strict : bool, default True
            False: set the parameters that the mapping has, and ignore its other names.
        prefix : str, default ""
            Load the part of a larger model whose names begin with this: ``prefix="encoder.rnn."`` reads
            ``encoder.rnn.weight_ih_l0`` as ``weight_ih_l0``, and ignores names that begin otherwise.
        allow_nonfinite : bool, default False
            Take NaN and infinity too.

        Returns
        -------
        unmatched : UnmatchedKeys
            The names that were missing and those that were not used.

        Raises
        ------
        ValueError
            If a name is missing or unknown and `strict` is true, an array has another shape, a number is too
            large for the dtype, or one is not finite; the message names the parameter.
        TypeError
            If the state is no mapping, or a value is not an array of floats.

        Examples
        --------
        >>> import fastrnn as fr
        >>> one, two = fr.Linear(3, 2, seed=1), fr.Linear(3, 2, seed=2)
        >>> two.load_state_dict(one.state_dict())
        UnmatchedKeys(missing_keys=[], unexpected_keys=[])
        >>> bool((one.parameters.flat == two.parameters.flat).all())
        True
        >>> two.load_state_dict({"weight": one.parameters["weight"]})
        Traceback (most recent call last):
        ValueError: state_dict: missing bias
        >>> two.load_state_dict({"weight": one.parameters["weight"]}, strict=False)
        UnmatchedKeys(missing_keys=['bias'], unexpected_keys=[])
        """
        allowed, strictly = as_flag("allow_nonfinite", allow_nonfinite), as_flag("strict", strict)
        state = own_names(state, prefix)
        if strictly:
            check_names(self.parameters, state)
        arrays = {
            name: as_parameter(name, state[name], self.dtype, view.shape, allow_nonfinite=allowed)
            for name, view in self.parameters.items()
            if name in state
        }
        with self.parameters.edit() as views:
            for name, array in arrays.items():
                views[name] = array
        missing = [name for name in self.parameters if name not in arrays]
        return UnmatchedKeys(missing, [name for name in state if name not in arrays])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {self.num_parameters} scalars>"

    def _bind(self, buffer: Buffer, start: int) -> None:
        """Use a slice of another module's buffer."""
        self.parameters._bind(buffer, start)
        self._gradients = None

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_group"}
        return {**state, "_gradients": None}


def sparse_parts(module: Module) -> list[SparseRows]:
    """Return the sparse gradients of a module, in their order."""
    return module._sparse_rows()


def trained_parts(module: Module, marks: Sequence[int] | None = None) -> list[TrainedPart]:
    """Return the parts of a module that a step changes: all but frozen parameters and untouched rows.

    Parameters
    ----------
    module : Module
    marks : sequence of int, optional
        One for each parameter; neighbours with equal marks are one part. Default: all equal.
    """
    parts: list[TrainedPart] = []
    sparse = {rows.start: rows for rows in module._sparse_rows()}
    start = 0
    for index, (view, (owner, name)) in enumerate(
        zip(module.parameters.values(), module._own_parameters(), strict=True)
    ):
        stop, mark = start + view.size, 0 if marks is None else int(marks[index])
        if name not in owner._frozen:
            rows, last = sparse.get(start), parts[-1] if parts else None
            if rows is None and last and last.sparse is None and (last.stop, last.mark) == (start, mark):
                parts[-1] = last._replace(stop=stop)
            else:
                parts.append(TrainedPart(start, stop, mark, rows))
        start = stop
    return parts
