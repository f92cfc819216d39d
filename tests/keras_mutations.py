"""Mutated files of Keras, which must load or be refused with a ModelFileError, soon and in little memory.

python tests/keras_mutations.py --count 10000
"""

from __future__ import annotations

import io
import json
import random
import re
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastrnn as fr
from header_mutations import _mutate_text, _mutate_value
from keras_fixtures import FIXTURES, inputs_of
from mutation_runs import Report, run_all, run_program

SLOWEST = 5.0  # seconds
MOST_MEMORY = 1 << 30
_WORDS = [b"\xff" * 8, bytes(8), b"\x01" + bytes(7), b"\xff" * 4, b"\x00\x10" * 4]
_MARKS = (b"TREE", b"SNOD", b"HEAP", b"GCOL", b"kernel", b"weight_names")


class Seed(NamedTuple):
    """A file that is mutated, what its model reads, and its description if that is elsewhere."""

    name: str
    content: bytes
    inputs: list[np.ndarray]
    config: str | None


def seeds() -> list[Seed]:
    """Return the files that are mutated."""
    result = []
    with zipfile.ZipFile(FIXTURES) as archive:
        for name in archive.namelist():
            version, _, rest = name.partition("_")
            if name.endswith((".keras", ".h5")):
                config = archive.read(f"{version}_text.json").decode() if "weights" in name else None
                inputs = inputs_of(re.split("[._]", rest)[0])
                result.append(Seed(name, archive.read(name), inputs, config))
    return result


def mutate_bytes(random_: random.Random, content: bytes) -> bytes:
    """Return contents with bytes, addresses or sizes changed, most of them near a structure."""
    data = bytearray(content)
    for _ in range(random_.choice([1, 1, 2, 4, 16])):
        place = random_.randrange(len(data))
        if random_.random() < 0.6:  # near a mark
            mark = random_.choice(_MARKS)
            found = data.find(mark, place)
            place = max(found, 0) + random_.randrange(48) if found >= 0 else place
            place = min(place, len(data) - 1)
        action = random_.random()
        if action < 0.4:
            data[place] = random_.randrange(256)
        elif action < 0.6:
            data[place] ^= 1 << random_.randrange(8)
        elif action < 0.8:
            address = random_.choice([random_.randrange(len(data)), data.find(random_.choice(_MARKS), place)])
            word = random_.choice([*_WORDS, max(address, 0).to_bytes(8, "little")])
            start = place // 8 * 8
            data[start : start + len(word)] = word
        elif action < 0.85:
            del data[place : place + random_.choice([1, 8, 512])]
        elif action < 0.9:
            data = data[: max(place, 1)]
        elif action < 0.95:
            other = random_.randrange(len(data))
            data[place : place + 64] = data[other : other + 64]
        else:
            data[place:place] = data[: random_.choice([1, 8, 64])]
        data = data or bytearray(b"\0")
    return bytes(data)


def mutate_archive(random_: random.Random, content: bytes) -> bytes:
    """Return a .keras archive with another configuration or other weights."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    kind = random_.random()
    if kind < 0.6:
        config = json.loads(members["config.json"])
        parts = [config, config["config"], *config["config"]["layers"]]
        for part in random_.choices(parts, k=random_.choice([1, 1, 2, 3])):
            _mutate_value(random_, part)
        members["config.json"] = json.dumps(config).encode("utf-8", "surrogatepass")
    elif kind < 0.75:
        text = _mutate_text(random_, members["config.json"].decode())
        members["config.json"] = text.encode("utf-8", "surrogatepass")
    elif kind < 0.95:
        members["model.weights.h5"] = mutate_bytes(random_, members["model.weights.h5"])
    else:
        members.pop(random_.choice(list(members)))
    result = io.BytesIO()
    how = random_.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(result, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return result.getvalue()


def mutate(random_: random.Random, name: str, content: bytes) -> bytes:
    """Return a mutated file."""
    if name.endswith(".keras") and random_.random() < 0.8:
        return mutate_archive(random_, content)
    return mutate_bytes(random_, content)


def check(path: Path, inputs: list[np.ndarray], config: str | None = None) -> str:
    """Load a file and run it; return how it ended. Any other exception is a failure."""
    try:
        model = fr.interop.load_keras(path, config=config, partial=True)
    except fr.interop.ModelFileError as error:
        message = str(error)
    else:
        return _run(model, inputs)
    assert message.isprintable(), "the message holds control characters"
    return "refused"


def _run(model: Any, inputs: list[np.ndarray]) -> str:
    if model.unplaced or not model.described:
        return "loaded in part"
    try:
        model(inputs if len(inputs) > 1 else inputs[0])
    except (ValueError, TypeError):
        return "loaded, does not fit its input"
    return "loaded"


def run(count: int, seed: int, report: Report = print, first: int = 0) -> Counter[str]:
    """Check mutated files; return the number of each outcome, and report each failure with its number."""
    goods = seeds()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder, "model")

        def check_one(number: int, random_: random.Random) -> str:
            good = goods[number % len(goods)]
            path.write_bytes(mutate(random_, good.name, good.content))
            return check(path, good.inputs, good.config if random_.random() < 0.7 else None)

        return run_all(check_one, range(first, count), seed, report, slowest=SLOWEST, most_memory=MOST_MEMORY)


if __name__ == "__main__":
    sys.exit(run_program(run, __doc__))
