"""A module whose parts have names: attributes, indexing, and composites within composites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

from fastrnn.layers.base.module import Module
from fastrnn.layers.base.module_group import ModuleGroup

__all__ = ["PASSES", "NamedParts", "Passes", "layers_of", "nested_parts"]

Passes: TypeAlias = tuple[Callable[..., Any], ...]

PASSES = ("__call__", "forward", "backward")
_DEEPEST = 16  # composites within composites


class NamedParts(ModuleGroup):
    """The base class of `Composite`: its parts by name, by position and one after the other.

    Attributes
    ----------
    parts : dict of str to Module
    """

    parts: dict[str, Any]
    _own_chain: Any  # of `Composite`: its parts as a chain, or None until it is asked for
    #: The functions of `PASSES` that run the parts as a chain.
    _chain_passes: ClassVar[Passes] = ()

    def _join(self, modules: dict[str, Any]) -> None:
        """Make the module of its parts, whose names have been checked."""
        ModuleGroup.__init__(self, **modules)
        self.__dict__.update(parts=dict(modules), _own_chain=None)
        if _depth(self) > _DEEPEST:
            raise ValueError(f"modules: expected at most {_DEEPEST} composites within each other, got more")

    def _own_passes(self) -> list[str]:
        """Return the passes that a class of a user's own has instead of those of a chain."""
        usual = zip(PASSES, self._chain_passes, strict=True)
        return [name for name, method in usual if getattr(type(self), name) is not method]

    def __getitem__(self, key: Any) -> Any:
        """Return a part by name or position, or some of them as a tuple, ``net[1:]``."""
        if isinstance(key, slice):
            return tuple(self.parts.values())[key]
        if key in self.parts:
            return self.parts[str(key)]
        if isinstance(key, str) or not -len(self) <= key < len(self):
            error = KeyError if isinstance(key, str) else IndexError
            raise error(f"expected one of {', '.join(self.parts)} or a position, got {key!r}")
        return [*self.parts.values()][key]

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self.parts)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the parts."""
        return iter(self.parts.values())

    def _hint(self, name: str) -> str | None:
        parts = self.__dict__.get("parts")
        if parts is None:
            return None if name.startswith("__") else "call super().__init__(...) with the parts first"
        return super()._hint(name) or f"its parts are {', '.join(parts)}"

    def __setattr__(self, name: str, value: Any) -> None:
        parts = self.__dict__.get("parts")
        if isinstance(value, Module) or (parts and name in parts):
            what = "replaced" if parts and name in parts else "added"
            raise AttributeError(
                f"{name}: parts cannot be {what} one by one, as all parameters are in one array; write "
                f"super().__init__({name}=...) or Composite({name}=..., ...), "
                "or model.load_state_dict(...) for other values"
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__.get("parts", ()):
            raise AttributeError(f"{name}: parts cannot be removed; make a composite of the others")
        super().__delattr__(name)

    def __repr__(self) -> str:
        if all(name.isidentifier() for name in self.parts):
            given = ", ".join(f"{name}={part!r}" for name, part in self.parts.items())
        else:
            given = f"**{self.parts!r}"
        return f"{type(self).__name__}({given})"


def layers_of(parts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the layers of parts in order, those of composites among them under dotted names.

    Raises
    ------
    TypeError
        If a composite among them has passes of its own.
    """
    layers: dict[str, Any] = {}
    for name, part in parts.items():
        if not isinstance(part, NamedParts):
            layers[f"{prefix}{name}"] = part
            continue
        if part._own_passes():
            raise TypeError(f"{prefix}{name}: {type(part).__name__} is a class with passes of its own")
        layers |= layers_of(part.parts, f"{prefix}{name}.")
    return layers


def nested_parts(
    layers: Mapping[str, Any], make: Callable[..., Any], prefix: str = "", depth: int = 0
) -> dict[str, Any]:
    """Return the parts of which `layers_of` returned the layers.

    Parameters
    ----------
    layers : mapping of str to Module
    make : callable
        Makes a composite of its parts, by keyword.
    prefix, depth
        Of a composite within others.

    Raises
    ------
    ValueError
        If the layers of a composite are not next to each other, or it lies too deep within others.
    """
    if depth > _DEEPEST:
        raise ValueError(f"parts: expected at most {_DEEPEST} composites within each other, got more")
    parts: dict[str, Any] = {}
    last = ""
    for name, layer in layers.items():
        first, dot, rest = name.partition(".")
        if first in parts and not (dot and first == last and isinstance(parts[first], dict)):
            raise ValueError(
                f"parts: {prefix}{first} is not one part; write Sequential.load, which keeps these names"
            )
        if dot:
            parts.setdefault(first, {})[rest] = layer
        else:
            parts[first] = layer
        last = first
    return {
        name: make(**nested_parts(part, make, f"{prefix}{name}.", depth + 1))
        if isinstance(part, dict)
        else part
        for name, part in parts.items()
    }


def _depth(network: NamedParts) -> int:
    return 1 + max(
        (_depth(part) for part in network.parts.values() if isinstance(part, NamedParts)), default=0
    )
