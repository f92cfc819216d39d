"""A fuzzer of PyTorch's files: each mutated file is read, or is refused with a ModelFileError.

What is read also goes through `from_state_dict`, where only a ValueError, TypeError or MemoryError may come
out. The long form, with a line for each failure and a summary at the end::

    python tests/pt_mutations.py --count 10000 --seed 0 --format safetensors
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
import sys
import tempfile
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
from safetensors.numpy import save

import fastrnn as fr
from fastrnn.interop import ModelFileError, from_state_dict, load_pt
from mutation_runs import Report, run_all, run_program
from torch_files import Tensor, bfloat16, packed, records, saved

SLOWEST = 5.0  # seconds for one file; the machine may be busy
MOST_MEMORY = 1 << 30  # bytes that the whole process may reach
CANARY = "FASTRNN_MUTATIONS_WERE_EXECUTED"


def values() -> list[Any]:
    """Return what the good files hold."""
    rng = np.random.default_rng(0)
    lstm = OrderedDict(
        (f"rnn.{name}", value)
        for name, value in fr.LSTM(3, 4, 2, bidirectional=True, seed=0).state_dict().items()
    )
    model = fr.LanguageModel(5, cell="gru", embedding_size=4, hidden_size=4, num_layers=1, tied=True, seed=0)
    storage = rng.normal(size=24)
    return [
        lstm,
        {"model": OrderedDict(model.state_dict()), "epoch": 3, "best": 0.5, "optimizer": {"state": {0: {}}}},
        {"a.weight": Tensor(storage, (3, 4), (1, 6), 2), "b.weight": Tensor(storage, (24,), (1,))},
        {"fc.weight": bfloat16(rng.normal(size=(2, 3))), "fc.bias": np.zeros(2, np.float16), "seen": {1, 2}},
        {f"cells.{i}.weight_{part}": rng.normal(size=(6, 2)) for i in range(2) for part in ("ih", "hh")},
        [None, True, (1, 2.5, "x"), {"deep": [[{"er": np.arange(3)}]]}],
    ]


def seeds() -> list[bytes]:
    """Return good files of both formats."""
    found = [saved(value, order) for value in values() for order in ("little", "big")]
    for value in values()[:2]:
        state = value.get("model", value)
        found.append(save({name: np.ascontiguousarray(array) for name, array in state.items()}))
    return found


# --- mutations ---

_NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
_ATTACKS = [
    b"cos\nsystem\nX\x04\x00\x00\x00true\x85R",
    b"cos\nputenv\n(X\x0c\x00\x00\x00FASTRNN_TESTX\x01\x00\x00\x001tR",
    f"cbuiltins\nexec\nX\x3a\x00\x00\x00import os; os.environ['{CANARY}'] = '1'  \x85R".encode(),
    b"c__builtin__\neval\nX\x02\x00\x00\x0010\x85R",
    b"ctorch._utils\n_rebuild_tensor_v2\n)R",
    b"ccollections\nOrderedDict\n)R",
    b"ctorch\nSize\n",
    b"ios\nsystem\n",
    b"(ios\nsystem\no",
    b"\x8c\x02os\x8c\x06system\x93)R",
    b"\x82\x01",
    b"\x81",
    b"\x92",
    b"b",
    b"R",
    b"Q",
    b"]q\x00h\x00a",
    b"}q\x00h\x00h\x00s",
    b"c__builtin__\nset\n](h\x00h\x00e\x85R",
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\x7f",
    b"\x8b\xff\xff\xff\x7f",
    b"\x8d\xff\xff\xff\xff\x00\x00\x00\x00",
    b"X\xff\xff\xff\x7f",
    b"(" * 1000,
    b"]" * 3000,
    b"\x85" * 3000,
    b"2" * 1000 + b"t",
    b"0" * 3,
    b"." * 2,
]
_OPCODES = bytes([*range(0x80, 0x99), *b"(.012FGIJKLMNPQRSTUVXabcdeghijlopqrstu]})"])


def _flip(random_: random.Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random_.choice([1, 1, 1, 2, 5, 20])):
        changed[random_.randrange(len(changed))] = random_.choice([0, 1, 0xFF, random_.randrange(256)])
    return bytes(changed)


def _cut(random_: random.Random, data: bytes) -> bytes:
    place, other = sorted((random_.randrange(len(data) + 1), random_.randrange(len(data) + 1)))
    kind = random_.randrange(4)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[place:]
    if kind == 2:
        return data[:place] + data[other:]
    return data[:other] + data[place:]


def _number(random_: random.Random, data: bytes) -> bytes:
    """Overwrite a number of 1, 2, 4 or 8 bytes."""
    size = random_.choice([1, 2, 4, 8])
    place = random_.randrange(max(1, len(data) - size))
    value = random_.choice([*_NUMBERS, random_.getrandbits(64)]) % (1 << 8 * size)
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


def _opcodes(random_: random.Random, code: bytes) -> bytes:
    """Splice opcodes into a pickle, out of it, or from one place to another."""
    for _ in range(random_.choice([1, 1, 2, 4])):
        place = random_.randrange(2, len(code)) if len(code) > 2 else 0
        kind, size = random_.randrange(5), random_.choice([1, 1, 2, 5, 9, 30])
        if kind == 0:
            code = code[:place] + random_.choice(_ATTACKS) + code[place:]
        elif kind == 1:
            code = code[:place] + bytes(random_.choices(_OPCODES, k=size)) + code[place:]
        elif kind == 2:
            code = code[:place] + bytes([random_.choice(_OPCODES)]) + code[place + 1 :]
        elif kind == 3:
            code = code[:place] + code[place + size :]
        else:
            other = random_.randrange(len(code) + 1)
            code = code[:place] + code[other : other + size] + code[place:]
    return code


def _words(random_: random.Random, code: bytes) -> bytes:
    """Change a name or a size within a pickle."""
    old, new = random_.choice(
        [
            (b"FloatStorage", random_.choice([b"DoubleStorage", b"BoolStorage", b"QInt8Storage", b"Tensor"])),
            (b"DoubleStorage", random_.choice([b"FloatStorage", b"ByteStorage", b"ComplexDoubleStorage"])),
            (
                b"_rebuild_tensor_v2",
                random_.choice([b"_rebuild_tensor", b"_rebuild_parameter", b"_element_size"]),
            ),
            (b"torch", random_.choice([b"os", b"builtins", b"numpy", b"torch.storage"])),
            (b"OrderedDict", random_.choice([b"Counter", b"defaultdict", b"UserDict", b"OrderedDict.x"])),
            (b"weight", random_.choice([b"bias", b"weight_hh_l0", b"a.weight", "é\x00\n".encode()])),
            (b"_l0", random_.choice([b"_l1", b"_l9999", b"_l0_reverse", b"_l-1"])),
            (b"storage", random_.choice([b"tensor", b"module", b""])),
            (b"\x8a\x01", random_.choice([b"\x8a\x02\xff", b"\x8a\x08" + b"\xff" * 7, b"\x8a\xff"])),
        ]
    )
    places = [i for i in range(len(code)) if code.startswith(old, i)]
    if not places:
        return _flip(random_, code)
    place = random_.choice(places)
    return code[:place] + new + code[place + len(old) :]


def _record_names(random_: random.Random, parts: dict[str, bytes]) -> dict[str, bytes]:
    """Take a record away, rename it, or give it the contents of another."""
    name, other = random_.choice(list(parts)), random_.choice(list(parts))
    kind, changed = random_.randrange(4), dict(parts)
    if kind == 0:
        del changed[name]
    elif kind == 1:
        changed[random_.choice(["constants.pkl", "data/7", "../x", "data/", "code/a.py", ""])] = changed.pop(
            name
        )
    elif kind == 2:
        changed[name] = parts[other]
    else:
        changed[name] = random_.choice([b"", b"big", parts[name][:-1], parts[name] * 2])
    return changed


def _fields(random_: random.Random, content: bytes) -> bytes:
    """Change a field of the archive's headers, entries or end."""
    signature = random_.choice([b"PK\x03\x04", b"PK\x01\x02", b"PK\x01\x02", b"PK\x05\x06"])
    places = [i for i in range(len(content) - 30) if content.startswith(signature, i)] or [0]
    end = content.rfind(b"PK\x05\x06")
    place = end if signature == b"PK\x05\x06" else random_.choice(places)
    offset, size = random_.randrange(4, 46), random_.choice([1, 2, 4])
    value = random_.choice([*_NUMBERS, *places, random_.getrandbits(32)]) % (1 << 8 * size)
    at = max(0, place) + offset
    return content[:at] + value.to_bytes(size, "little") + content[at + size :]


def mutate(random_: random.Random, number: int, goods: list[bytes], parts: list[dict[str, bytes]]) -> bytes:
    """Return the bytes of a mutated file."""
    content, level = goods[number % len(goods)], random_.random()
    if content.startswith(b"PK") and level < 0.7:
        found = dict(random_.choice(parts))
        if level < 0.15:
            found["data.pkl"] = _words(random_, found["data.pkl"])
        elif level < 0.5:
            found["data.pkl"] = _opcodes(random_, found["data.pkl"])
        elif level < 0.6:
            change = random_.choice([_flip, _cut, _number])
            found["data.pkl"] = change(random_, found["data.pkl"])
        else:
            found = _record_names(random_, found)
        return packed(found)
    if content.startswith(b"PK") and level < 0.85:
        for _ in range(random_.choice([1, 1, 2])):
            content = _fields(random_, content)
        return content
    if not content.startswith(b"PK") and level < 0.7:  # the header of a safetensors file
        length = struct.unpack("<Q", content[:8])[0]
        change = random_.choice([_flip, _cut, _number])
        header = change(random_, content[8 : 8 + length])
        claimed = len(header) if random_.random() < 0.9 else random_.choice(_NUMBERS)
        return struct.pack("<Q", claimed) + header + content[8 + length :]
    return random_.choice([_flip, _cut, _number])(random_, content)


# --- the check ---


def check(path: str, content: bytes) -> str:
    """Read a file; return how it ended. Any other exception is a failure."""
    with open(path, "wb") as file:
        file.write(content)
    try:
        state = load_pt(path)
    except ModelFileError as error:
        refused = str(error)
    else:
        return _use(state)
    assert refused.isprintable(), "the message holds control characters"
    assert refused.startswith(path), "the message does not begin with the file"
    return "refused"


def _use(state: Any) -> str:
    """Do with a state what users do."""
    repr(state)
    try:
        imported = from_state_dict(state)
    except (ValueError, TypeError, MemoryError):
        return "read, holds no weights"
    str(imported)
    for make in (imported.to_language_model, imported.to_sequential):
        with contextlib.suppress(ValueError, TypeError, MemoryError):
            make()
    return "read, with layers" if imported.layers else "read, without layers"


def run(count: int, seed: int, report: Report = print, first: int = 0, format: str = "all") -> Counter[str]:
    """Check mutated files, and return the number of each outcome; report each failure, with its number."""
    goods = seeds()
    if format != "all":
        goods = [good for good in goods if good.startswith(b"PK") == (format == "pt")]
    parts = [records(value) for value in values()]
    os.environ.pop(CANARY, None)
    with tempfile.TemporaryDirectory() as folder:

        def check_one(number: int, random_: random.Random) -> str:
            outcome = check(os.path.join(folder, "model.pt"), mutate(random_, number, goods, parts))
            assert CANARY not in os.environ, "the file was executed"
            return outcome

        return run_all(check_one, range(first, count), seed, report, slowest=SLOWEST, most_memory=MOST_MEMORY)


if __name__ == "__main__":
    formats = {"choices": ["pt", "safetensors", "all"], "default": "all", "help": "of the files"}
    sys.exit(run_program(run, __doc__, format=formats))
