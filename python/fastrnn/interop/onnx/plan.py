"""Plans: a graph as a list of functions over numbered slots, made once and run often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn._plain import printable

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node

__all__ = ["Plan", "Step", "errors_of_node"]


@contextmanager
def errors_of_node(node: Node) -> Iterator[None]:
    """Put the node's name in front of errors, and turn whatever its inputs cause into ValueErrors.

    Raises
    ------
    ValueError, TypeError, MemoryError
    """
    try:
        yield
    except NodeError:
        raise
    except Exception as error:
        raise _named(node, error) from error


class NodeError(Exception):
    """Marks errors that name their node already."""


class NodeValueError(NodeError, ValueError):
    """A node's inputs have wrong values or shapes."""


class NodeTypeError(NodeError, TypeError):
    """A node's inputs have wrong dtypes."""


class NodeMemoryError(NodeError, MemoryError):
    """A node's output cannot be allocated."""


def _named(node: Node, error: Exception) -> Exception:
    text = printable(f"{node.label}: {error}")
    if isinstance(error, MemoryError):
        return NodeMemoryError(text)
    if isinstance(error, TypeError):
        return NodeTypeError(text)
    if isinstance(error, ValueError):
        return NodeValueError(text)
    return NodeValueError(printable(f"{node.label}: {type(error).__name__}: {error}"))


class Step(NamedTuple):
    """One function of a plan.

    Attributes
    ----------
    function : callable
        Takes the arrays of `inputs`; returns that of `outputs`, or a tuple of several.
    inputs, outputs : tuple of int
        Slots; slot 0 holds None, for inputs that are left out.
    frees : tuple of int
        Slots that nothing reads later.
    node : Node
    """

    function: Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    frees: tuple[int, ...]
    node: Node


class Plan:
    """A graph as functions over slots.

    Parameters
    ----------
    inputs, outputs : sequence of int
        The slots of what goes in and out.
    template : list of ndarray or None
        One entry for each slot: constants, and None.
    steps : list of Step
    """

    inputs: list[int]
    outputs: list[int]
    template: list[Any]
    steps: list[Step]

    def __init__(
        self, inputs: Sequence[int], outputs: Sequence[int], template: list[Any], steps: list[Step]
    ) -> None:
        self.inputs, self.outputs, self.template, self.steps = list(inputs), list(outputs), template, steps

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run every step on the inputs; return the outputs."""
        slots = self.template.copy()
        for slot, array in zip(self.inputs, arrays, strict=True):
            slots[slot] = array
        step = None
        try:
            for step in self.steps:
                function, inputs, outputs, frees, _ = step
                result = function(*[slots[slot] for slot in inputs])
                if type(result) is np.ndarray:
                    slots[outputs[0]] = result
                elif type(result) is tuple:
                    for slot, array in zip(outputs, result, strict=False):
                        slots[slot] = array
                else:  # functions of NumPy return numbers for arrays without axes
                    slots[outputs[0]] = np.asarray(result)
                for slot in frees:
                    slots[slot] = None
        except NodeError:
            raise
        except Exception as error:
            assert step is not None
            raise _named(step.node, error) from error
        return [slots[slot] for slot in self.outputs]

    def written_sizes(self) -> list[int]:
        """Return the sizes that are written into the graph, as constants of the operator Reshape."""
        shapes = [
            self.template[step.inputs[1]]
            for step in self.steps
            if step.node.op == "Reshape" and len(step.inputs) > 1
        ]
        known = [shape.reshape(-1).tolist() for shape in shapes if shape is not None]
        return sorted({size for sizes in known for size in sizes if 0 < size < 1024})[:16]


class Slots:
    """Numbers for names of values, while a plan is made."""

    def __init__(self) -> None:
        self.template: list[Any] = [None]
        self._numbers: dict[str, int] = {"": 0}

    def __getitem__(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.template)
            self.template.append(None)
        return number

    def set_constants(self, constants: Mapping[str, Array]) -> None:
        """Put arrays into the slots of the names that are used."""
        for name, number in self._numbers.items():
            if name in constants:
                self.template[number] = constant = constants[name].view()
                constant.flags.writeable = False  # what a run returns must not be one of them
