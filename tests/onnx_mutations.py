"""A fuzzer of ONNX files: each mutated file loads and runs, or is refused with a clean error.

The long form, with a line for each failure and a summary at the end::

    python tests/onnx_mutations.py --count 10000 --seed 0
"""

from __future__ import annotations

import math
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import fastrnn as fr
from fastrnn.interop.onnx.operator_table import limited_room
from mutation_runs import Report, run_all, run_program

FIXTURES = Path(__file__).parent / "data" / "onnx"
SLOWEST = 5.0  # seconds of this process for one file
MOST_MEMORY = 1 << 30  # bytes that the whole process may reach
ROOM = 1 << 24  # bytes of one array while a mutated model runs

_INTEGERS = [0, 1, -1, 2, 3, 7, 13, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63)]
_FLOATS = [0.0, -1.0, 0.5, 1e30, -1e30, float("nan"), float("inf")]
_TEXTS = [
    "",
    "x",
    "forward",
    "reverse",
    "bidirectional",
    "Tanh",
    "Softsign",
    "\x1b[2J",
    "é" * 99,
    "a/../b",
    "/etc/passwd",
]
_OPERATORS = [
    "LSTM",
    "GRU",
    "RNN",
    "Gather",
    "Expand",
    "Tile",
    "ConstantOfShape",
    "Range",
    "Loop",
    "If",
    "Scan",
    "Reshape",
    "Slice",
    "Concat",
    "Pad",
    "Cast",
    "Add",
    "MatMul",
    "Einsum",
    "TopK",
    "Nothing",
    "Split",
    "OneHot",
    "Identity",
]


def seeds() -> list[Any]:
    """Return good models: those of exporters, and two with all that files can have."""
    models = [onnx.load(path) for path in sorted(FIXTURES.glob("*.onnx"))]
    return [*models, _recurrent(), _with_function()]


def _recurrent() -> Any:
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return (0.5 * rng.normal(size=shape)).astype(np.float32)

    constants = {
        "E": array(5, 3), "W": array(2, 16, 3), "R": array(2, 16, 4), "B": array(2, 32), "P": array(2, 12),
        "W2": array(1, 12, 8).astype(np.float16), "R2": array(1, 12, 4).astype(np.float16),
        "L": array(4, 5), "b": array(5), "shape": np.array([0, 0, -1], np.int64),
        "one": np.array([1], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["E", "ids"], ["x"], "look"),
        helper.make_node("LSTM", ["x", "W", "R", "B", "lens", "", "", "P"], ["Y", "Y_h"], "lstm",
                         hidden_size=4, direction="bidirectional", clip=2.0,
                         activations=["Sigmoid", "Affine", "Tanh"] * 2,
                         activation_alpha=[0.5, 0.25], activation_beta=[0.1, 0.0]),
        helper.make_node("Transpose", ["Y"], ["Yt"], "turn", perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["Yt", "shape"], ["y"], "join"),
        helper.make_node("GRU", ["y", "W2", "R2"], ["Z", "Z_h"], "gru", hidden_size=4, linear_before_reset=1),
        helper.make_node("Squeeze", ["Z", "one"], ["z"], "squeeze"),
        helper.make_node("MatMul", ["z", "L"], ["m"], "product"),
        helper.make_node("Add", ["m", "b"], ["n"], "sum"),
        helper.make_node("LogSoftmax", ["n"], ["out"], "end", axis=-1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "seed",
        [
            helper.make_tensor_value_info("ids", 7, ["T", "N"]),
            helper.make_tensor_value_info("lens", 6, ["N"]),
        ],
        [
            helper.make_tensor_value_info("out", 1, ["T", "N", 5]),
            helper.make_tensor_value_info("Y_h", 1, None),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _with_function() -> Any:
    """Return a model with a function, an If and a Loop."""
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"],
        [helper.make_node("Add", ["a", "a"], ["s"]), helper.make_node("Tanh", ["s"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Add", ["h", "x"], ["g"]),
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["g"], ["each"]),
        ],
        "body",
        [value("i", 7, []), value("go", 9, []), value("h", 1, None)],
        [value("on", 9, []), value("g", 1, None), value("each", 1, None)],
    )
    then, other = (
        helper.make_graph([helper.make_node(op, ["c"], [op])], op, [], [value(op, 1, None)])
        for op in ("Exp", "Neg")
    )
    nodes = [
        helper.make_node("Twice", ["x"], ["t"], "call", domain="own"),
        helper.make_node("Loop", ["count", "", "t"], ["c", "all"], "loop", body=body),
        helper.make_node("ReduceMax", ["c"], ["top"], "top", keepdims=0),
        helper.make_node("Greater", ["top", "zero"], ["positive"], "ask"),
        helper.make_node("If", ["positive"], ["y"], "if", then_branch=then, else_branch=other),
    ]
    constants = {"count": np.array(3, np.int64), "zero": np.array(0, np.float32)}
    graph = helper.make_graph(
        nodes, "seed", [value("x", 1, ["N", 3])], [value("y", 1, None), value("all", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=8)


# --- mutations ---


def _messages(message: Any, depth: int = 0) -> Iterator[Any]:
    """Yield a message and all inside it; of long lists, a few."""
    yield message
    if depth > 12:
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in list(value)[:60] if field.is_repeated else [value]:
                yield from _messages(one, depth + 1)


def _mutate_field(random_: random.Random, message: Any) -> None:
    """Change one field of a message, or set one that is not there."""
    present = [field for field, _ in message.ListFields()]
    fields = present if present and random_.random() < 0.85 else list(message.DESCRIPTOR.fields)
    field = random_.choice(fields)
    name, values = field.name, getattr(message, field.name)
    if field.is_repeated:
        _mutate_list(random_, field, values)
    elif field.type == field.TYPE_MESSAGE:
        if random_.random() < 0.5:
            message.ClearField(name)
        else:
            values.SetInParent()
    else:
        try:
            setattr(message, name, _strange(random_, field, values))
        except (ValueError, TypeError):  # out of the field's range
            message.ClearField(name)


def _mutate_list(random_: random.Random, field: Any, values: Any) -> None:
    place = random_.randrange(len(values)) if len(values) else 0
    action = random_.random()
    if not len(values) or action < 0.2:
        if field.type == field.TYPE_MESSAGE:
            values.add()
        else:
            try:
                values.append(_strange(random_, field, values[place] if len(values) else None))
            except (ValueError, TypeError):
                return
    elif action < 0.4:
        del values[place]
    elif action < 0.5:
        copied = values[place]
        values.append(copied)
    elif action < 0.6 and len(values) > 1:
        order = list(values)
        random_.shuffle(order)
        del values[:]
        values.extend(order)
    elif field.type == field.TYPE_MESSAGE:
        _mutate_field(random_, values[place])
    else:
        try:
            values[place] = _strange(random_, field, values[place])
        except (ValueError, TypeError):
            return


def _strange(random_: random.Random, field: Any, value: Any) -> Any:
    """Return a value of a field's type that is hardly ever right."""
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        text = random_.choice([*_TEXTS, *_OPERATORS, *NAMES])
        return text if field.type == field.TYPE_STRING else _damaged(random_, value or text.encode())
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return random_.choice(_FLOATS)
    if isinstance(value, int) and random_.random() < 0.4:
        return value + random_.choice([-2, -1, 1, 2])
    return random_.choice(_INTEGERS if random_.random() < 0.5 else range(20))


NAMES = ["x", "ids", "W", "R", "Y", "Y_h", "out", "Yt", "shape", "one", "c", "t"]


def _damaged(random_: random.Random, content: bytes) -> bytes:
    """Return bytes with some changed, cut off, repeated or put in."""
    damaged = bytearray(content or b"\0")
    for _ in range(random_.choice([1, 1, 2, 5, 20])):
        place, kind = random_.randrange(len(damaged)), random_.randrange(5)
        if kind < 2:
            damaged[place] = random_.randrange(256)
        elif kind == 2:
            damaged[place:place] = bytes(random_.randrange(256) for _ in range(random_.choice([1, 4, 9])))
        elif kind == 3:
            del damaged[place : place + random_.choice([1, 2, 8, 100])]
            damaged = damaged or bytearray(b"\0")
        else:
            other = random_.randrange(len(damaged))
            damaged[place:place] = damaged[min(place, other) : max(place, other)][:1000]
    return bytes(damaged)


def mutate(random_: random.Random, model: Any) -> bytes:
    """Return the bytes of a mutated model."""
    level = random_.random()
    if level < 0.25:
        return _damaged(random_, model.SerializeToString())
    if level < 0.27:
        content = model.SerializeToString()
        return bytes(content[: random_.randrange(len(content))])
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for _ in range(random_.choice([1, 1, 1, 2, 3, 8])):
        messages = list(_messages(copied))
        _mutate_field(random_, random_.choice(messages))
    return bytes(copied.SerializeToString())


# --- the check ---


class Endless(BaseException):
    """A Loop or a Scan that a mutation has made very long."""


def _stop(*arguments: Any) -> None:
    raise Endless


def check(path: Path, content: bytes, partial: bool) -> str:
    """Load and run a file; return how it ended. Any other exception is a failure."""
    path.write_bytes(content)
    try:
        with limited_room(ROOM):
            model = fr.interop.load_onnx(path, partial=partial)
    except (ValueError, TypeError) as error:
        text = str(error)
        assert text.startswith(str(path)), f"the message does not name the file: {text[:100]}"
        assert text.isprintable(), "the message holds control characters"
        return "refused"
    feeds = {value.name: _input(value) for value in model.inputs}
    if sum(one.nbytes for one in feeds.values()) > ROOM:
        return "loaded"
    try:
        with limited_room(ROOM):
            model.run(feeds)
    except (ValueError, TypeError):
        return "not run"
    return "run"


def _input(value: Any) -> Any:
    sizes = [size if isinstance(size, int) else 3 for size in value.shape or ()]
    kind = {"": "float32", "bfloat16": "float32"}.get(value.dtype, value.dtype)
    if any(size < 0 for size in sizes) or np.prod([float(size) for size in sizes]) > ROOM:
        return np.zeros(1, kind)
    return np.ones(sizes, kind)


def run(count: int, seed: int, report: Report = print, first: int = 0) -> Counter[str]:
    """Check mutated files, and return the number of each outcome; report each failure, with its number."""
    goods = seeds()
    usual = signal.signal(signal.SIGVTALRM, _stop)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.onnx"

        def check_one(number: int, random_: random.Random) -> str:
            content = mutate(random_, goods[number % len(goods)])
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, SLOWEST)
                return check(path, content, random_.random() < 0.2)
            except Endless:  # allowed where the file asks for it: the time belongs to whoever runs it
                assert b"Loop" in content or b"Scan" in content, "too slow"
                return "endless"
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)

        outcomes = run_all(
            check_one, range(first, count), seed, report, slowest=math.inf, most_memory=MOST_MEMORY
        )
    signal.signal(signal.SIGVTALRM, usual)
    return outcomes


if __name__ == "__main__":
    sys.exit(run_program(run, __doc__))
