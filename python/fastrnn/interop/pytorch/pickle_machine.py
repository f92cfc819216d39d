"""A reader of pickles that builds plain values and tensors, calls nothing that a file names, and has limits.

It is a machine of its own rather than `pickle.Unpickler`, whose C code allocates whatever a file claims: a
memo index of 2^31, for example, takes 16 GB. Opcodes are those of protocols 2 to 5 that plain values need.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

__all__ = ["Builder", "Global", "read_pickle"]

_LARGEST = 1 << 26  # bytes
_MOST_STEPS = 2_000_000  # a tensor takes about 30
_MOST_OBJECTS = 400_000  # lists, dicts, sets and results of calls: an empty one takes up to 220 bytes
_LONGEST_INTEGER = 40  # bytes
_INT64 = range(-(2**63), 2**63)


class Global(NamedTuple):
    """A name that the file imports, which stands for itself: it cannot be called."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Builder(Protocol):
    """Decides what names, calls and persistent ids stand for; each method may raise a ValueError."""

    def resolve(self, name: Global) -> Any:
        """Return what stands for a name, the name itself if `call` takes it; None to refuse it."""

    def call(self, name: Global, arguments: tuple[Any, ...]) -> Any:
        """Return what stands for the result of a call."""

    def load(self, persistent_id: Any) -> Any:
        """Return what stands for something outside of the pickle."""


class _Mark:
    """Where the arguments of an opcode begin on the stack."""


_MARK = _Mark()


def read_pickle(data: bytes, builder: Builder) -> Any:
    """Read a pickle.

    Parameters
    ----------
    data : bytes
    builder : Builder

    Raises
    ------
    ValueError
        If the pickle is damaged or too large, or imports, calls or builds anything that is refused.
    """
    if len(data) > _LARGEST:
        raise ValueError(f"expected a pickle of at most {_LARGEST} bytes, got {len(data)}")
    machine = _Machine(data, builder)
    for _ in range(_MOST_STEPS):
        opcode = machine.take(1)
        if opcode == pickle.STOP:
            return machine.pop()
        step = _STEPS.get(opcode)
        if step is None:
            raise ValueError(f"expected opcodes of plain values, got {opcode!r} at {machine.place - 1}")
        step(machine)
    raise ValueError(f"expected a pickle of at most {_MOST_STEPS} opcodes")


class _Machine:
    """The stack, the memo and the place in the data."""

    def __init__(self, data: bytes, builder: Builder) -> None:
        self.data, self.place, self.builder = data, 0, builder
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.objects = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        part = self.data[self.place : self.place + size]
        if len(part) < size:
            raise ValueError(f"truncated: {size} bytes expected at {self.place}, {len(part)} there")
        self.place += size
        return part

    def number(self, code: str) -> Any:
        """Return the next number, in a format of `struct`."""
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def line(self) -> str:
        """Return the text up to the next line end."""
        end = self.data.find(b"\n", self.place, self.place + 1000)
        if end < 0:
            raise ValueError(f"truncated: a name expected at {self.place}")
        text = self.data[self.place : end]
        self.place = end + 1
        return _text(text)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_new(self, value: Any) -> None:
        """Push an object that takes more memory than the opcode takes bytes."""
        self.objects += 1
        if self.objects > _MOST_OBJECTS:
            raise ValueError(f"expected at most {_MOST_OBJECTS} containers and tensors")
        self.stack.append(value)

    def pop(self) -> Any:
        """Return the topmost value, which is no mark."""
        if not self.stack or self.stack[-1] is _MARK:
            raise ValueError(f"damaged: no value on the stack at {self.place}")
        return self.stack.pop()

    def top(self) -> Any:
        """Return the topmost value, and leave it there."""
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        """Return the values above the last mark, and remove the mark too."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise ValueError(f"damaged: no mark on the stack at {self.place}")

    def remember(self, index: int) -> None:
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"damaged: no value {index} in the memo")
        self.push(self.memo[index])


def _text(data: bytes) -> str:
    return data.decode()  # what is not UTF-8 raises a ValueError


def _integer(machine: _Machine, size: int) -> None:
    if not 0 <= size <= _LONGEST_INTEGER:
        raise ValueError(f"expected integers of at most {_LONGEST_INTEGER} bytes, got one of {size}")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _import(machine: _Machine, module: Any, name: Any) -> None:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("damaged: imports something whose name is no str")
    imported = Global(module, name)
    meaning = machine.builder.resolve(imported)
    if meaning is None:
        raise ValueError(
            f"imports {imported}, which reading would have to trust: only tensors and containers are read. "
            "If you trust the file, write its weights again where PyTorch is installed: "
            "old = torch.load(path, weights_only=False); torch.save(old.state_dict(), new) for a module, "
            'torch.save(old["model"], new) for a part of a checkpoint'
        )
    machine.push(meaning)


def _stack_import(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    _import(machine, module, name)


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    if type(function) is not Global or type(arguments) is not tuple:
        raise ValueError(f"damaged: calls something that is no function, at {machine.place}")
    machine.push_new(machine.builder.call(function, arguments))


def _build(machine: _Machine) -> None:
    """Drop attributes: a state dict has `_metadata`, the versions of modules."""
    state, value = machine.pop(), machine.top()
    if type(value) is not OrderedDict or type(state) is not dict:
        raise ValueError(f"sets attributes of a {type(value).__name__}: only an OrderedDict may have some")


def _set_items(machine: _Machine, items: list[Any]) -> None:
    mapping = machine.top()
    if type(mapping) not in (dict, OrderedDict) or len(items) % 2:
        raise ValueError(f"damaged: sets items of a {type(mapping).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        mapping[_as_key(key)] = value


def _append(machine: _Machine, values: list[Any]) -> None:
    if type(machine.top()) is not list:
        raise ValueError(f"damaged: appends to a {type(machine.top()).__name__}")
    machine.top().extend(values)


def _add(machine: _Machine, values: list[Any]) -> None:
    if type(machine.top()) is not set:
        raise ValueError(f"damaged: adds to a {type(machine.top()).__name__}")
    machine.top().update(map(_as_key, values))


def _as_key(key: Any) -> Any:
    """Check a key of a dict or set: one whose hash takes no time and can hardly be chosen."""
    if type(key) in (str, float, bool, bytes, type(None)) or (type(key) is int and key in _INT64):
        return key
    raise ValueError(f"expected keys of str, int, float, bool or None, got {type(key).__name__}")


def _one_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _tuple_of(machine: _Machine, count: int) -> None:
    machine.push(tuple([machine.pop() for _ in range(count)][::-1]))


def _drop(value: Any) -> None:
    """Do nothing with a value."""


def _protocol(machine: _Machine) -> None:
    version = machine.number("<B")
    if not 2 <= version <= 5:
        raise ValueError(f"expected a pickle of protocol 2 to 5, got {version}")


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.PROTO: _protocol,
    pickle.FRAME: lambda machine: _drop(machine.number("<Q")),
    pickle.MARK: lambda machine: machine.push(_MARK),
    pickle.POP: lambda machine: _drop(machine.pop()),
    pickle.POP_MARK: lambda machine: _drop(machine.pop_to_mark()),
    pickle.DUP: lambda machine: machine.push(machine.top()),
    # values
    pickle.NONE: lambda machine: machine.push(None),
    pickle.NEWTRUE: lambda machine: machine.push(True),
    pickle.NEWFALSE: lambda machine: machine.push(False),
    pickle.BININT: lambda machine: machine.push(machine.number("<i")),
    pickle.BININT1: lambda machine: machine.push(machine.number("<B")),
    pickle.BININT2: lambda machine: machine.push(machine.number("<H")),
    pickle.LONG1: lambda machine: _integer(machine, machine.number("<B")),
    pickle.LONG4: lambda machine: _integer(machine, machine.number("<i")),
    pickle.BINFLOAT: lambda machine: machine.push(machine.number(">d")),
    pickle.BINUNICODE: lambda machine: machine.push(_text(machine.take(machine.number("<I")))),
    pickle.BINUNICODE8: lambda machine: machine.push(_text(machine.take(machine.number("<Q")))),
    pickle.SHORT_BINUNICODE: lambda machine: machine.push(_text(machine.take(machine.number("<B")))),
    pickle.BINBYTES: lambda machine: machine.push(machine.take(machine.number("<I"))),
    pickle.BINBYTES8: lambda machine: machine.push(machine.take(machine.number("<Q"))),
    pickle.SHORT_BINBYTES: lambda machine: machine.push(machine.take(machine.number("<B"))),
    # containers
    pickle.EMPTY_TUPLE: lambda machine: machine.push(()),
    pickle.TUPLE1: lambda machine: _tuple_of(machine, 1),
    pickle.TUPLE2: lambda machine: _tuple_of(machine, 2),
    pickle.TUPLE3: lambda machine: _tuple_of(machine, 3),
    pickle.TUPLE: lambda machine: machine.push(tuple(machine.pop_to_mark())),
    pickle.EMPTY_LIST: lambda machine: machine.push_new([]),
    pickle.APPEND: lambda machine: _append(machine, [machine.pop()]),
    pickle.APPENDS: lambda machine: _append(machine, machine.pop_to_mark()),
    pickle.EMPTY_DICT: lambda machine: machine.push_new({}),
    pickle.SETITEM: _one_item,
    pickle.SETITEMS: lambda machine: _set_items(machine, machine.pop_to_mark()),
    pickle.EMPTY_SET: lambda machine: machine.push_new(set()),
    pickle.ADDITEMS: lambda machine: _add(machine, machine.pop_to_mark()),
    pickle.FROZENSET: lambda machine: machine.push_new(frozenset(map(_as_key, machine.pop_to_mark()))),
    # the memo
    pickle.BINPUT: lambda machine: machine.remember(machine.number("<B")),
    pickle.LONG_BINPUT: lambda machine: machine.remember(machine.number("<I")),
    pickle.MEMOIZE: lambda machine: machine.remember(len(machine.memo)),
    pickle.BINGET: lambda machine: machine.recall(machine.number("<B")),
    pickle.LONG_BINGET: lambda machine: machine.recall(machine.number("<I")),
    # names, calls and storages
    pickle.GLOBAL: lambda machine: _import(machine, machine.line(), machine.line()),
    pickle.STACK_GLOBAL: _stack_import,
    pickle.REDUCE: _reduce,
    pickle.BUILD: _build,
    pickle.BINPERSID: lambda machine: machine.push(machine.builder.load(machine.pop())),
}
