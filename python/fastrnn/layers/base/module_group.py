"""Modules that are made of modules: all parameters in one flat array."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np

from fastrnn._arrays import Ids
from fastrnn.layers.base.buffer import Buffer
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.precision import Precision
from fastrnn.layers.base.sparse import SparseRows

__all__ = ["ModuleGroup"]


class ModuleGroup(Module):
    """A module made of modules, with all their parameters in one flat array, named ``module.parameter``.

    Each module stays usable on its own; its parameters and gradients are views of the group's. Gradients
    accumulated before the group is made are lost. A group that a module leaves for another one has no
    `parameters` any more. Layers and models that have passes of their own are groups;
    `Composite` is the group that users make.

    Parameters
    ----------
    **modules : Module
        Each becomes an attribute of that name.

    Raises
    ------
    ValueError
        If there is no module, a module appears twice, a name is taken, or dtypes differ.
    TypeError
        If something is not a module.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.layers.base.module_group import ModuleGroup
    >>> tagger = ModuleGroup(rnn=fr.GRU(8, 16, seed=0), output=fr.Linear(16, 3, seed=1))
    >>> list(tagger.parameters)[-2:]
    ['output.weight', 'output.bias']
    >>> tagger.parameters["output.bias"] = [1, 2, 3]
    >>> tagger.output.parameters["bias"]
    array([1., 2., 3.], dtype=float32)
    """

    def __init__(self, **modules: Module) -> None:
        _check_modules(modules)
        shapes = {
            f"{prefix}.{name}": view.shape
            for prefix, module in modules.items()
            for name, view in module.parameters.items()
        }
        super().__init__(shapes, next(iter(modules.values())).dtype)
        values = [module.parameters.flat for module in modules.values()]
        np.concatenate(values, out=self.parameters._writable_flat())
        self.__dict__.update(modules)
        self._modules = tuple(modules.values())
        self._bind(self.parameters._buffer, 0)
        for module in modules.values():
            _leave_group(module)
            module.__dict__["_group"] = weakref.ref(self)

    def _bind(self, buffer: Buffer, start: int) -> None:
        super()._bind(buffer, start)
        for module in self._modules:
            module._bind(buffer, start)
            start += module.num_parameters

    @property
    def precision(self) -> Precision:
        """That of the parts that have another than float32."""
        return next((part.precision for part in self._modules if part.precision != "float32"), "float32")

    def _set_precision(self, precision: Precision) -> None:
        for module in self._modules:
            module._set_precision(precision)

    def _hint(self, name: str) -> str | None:
        lost = "_modules" in self.__dict__ and "parameters" not in self.__dict__
        if lost and (name == "parameters" or hasattr(type(self), name)):  # or a property that reads them
            return "one of its parts belongs to another network now; make that of copy.deepcopy(part)"
        return super()._hint(name)

    def _own_parameters(self) -> list[tuple[Module, str]]:
        return [part for module in self._modules for part in module._own_parameters()]

    def _sparse_rows(self) -> list[SparseRows]:
        parts, start = [], 0
        for module in self._modules:
            parts += [part._replace(start=start + part.start) for part in module._sparse_rows()]
            start += module.num_parameters
        return parts

    def _clear_sparse_rows(self) -> None:
        for module in self._modules:
            module._clear_sparse_rows()

    def _set_sparse_rows(self, rows: Iterator[Ids]) -> None:
        for module in self._modules:
            module._set_sparse_rows(rows)


def _leave_group(module: Module) -> None:
    """Take the parameters from the groups that a module leaves: they are no longer those of the parts."""
    group = module.__dict__.get("_group", lambda: None)()
    while group is not None:
        group.__dict__.pop("parameters", None)
        group = group.__dict__.get("_group", lambda: None)()


def _check_modules(modules: dict[str, Module]) -> None:
    if not modules:
        raise ValueError("modules: expected at least one, got none")
    seen: dict[int, str] = {}
    for name, module in modules.items():
        if not isinstance(module, Module):
            raise TypeError(f"{name}: expected a module, got {type(module).__name__}")
        if module.quantized:
            raise ValueError(
                f"{name}: expected a module that is not quantized; join the modules it was made of, then "
                "write fr.quantize(network, ...)"
            )
        if name in ("dtype", "parameters") or hasattr(Module, name):
            raise ValueError(f"modules: {name!r} is reserved by Module; choose another name")
        other = seen.setdefault(id(module), name)
        if other != name:
            raise ValueError(f"{name}: expected each module only once, but it is {other} too")
    dtypes = {name: module.dtype for name, module in modules.items()}
    if len(set(dtypes.values())) > 1:
        given = ", ".join(f"{name}: {dtype}" for name, dtype in dtypes.items())
        raise ValueError(f"modules: expected one dtype, got {given}")
