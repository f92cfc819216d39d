"""A fuzzer of model files for the C library: each mutated file runs, or is refused with a reason.

The long form, on an installed library (a crash ends it; the last line that it printed names the file)::

    FASTRNN_C_PREFIX=build/installed python tests/c_file_mutations.py --count 10000 --seed 0
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import fastrnn as fr
from c_library import FORMAT, MEMORY, PREFIX, UNSUPPORTED, Failed, Library, address
from header_mutations import Seed, mutate, seed_of_content, seeds
from mutation_runs import Report, run_all, run_program

REFUSED = {FORMAT, UNSUPPORTED, MEMORY}


def goods() -> list[Seed]:
    """Return good files: networks of every kind of part, and language models."""
    stack = fr.Stack(fr.GRU(4, 4), fr.LSTM(4, 4), fr.RNN(4, 4), connect="residual")
    networks = [
        fr.Sequential(fr.LSTM(2, 3, num_layers=2), fr.Linear(3, 1)),
        fr.Sequential({"encoder": fr.Embedding(5, 4), "rnn": stack, "head": fr.Head(4, [3], 5)}),
        fr.Sequential(fr.GRU(2, 3, reset_after=False, learn_state=True), fr.Activation("softmax")),
        fr.Sequential(fr.SLSTM(2, 3), fr.Linear(3, 2, bias=False), fr.Activation("tanh")),
    ]
    small = [fr.quantize(networks[1], "int8"), fr.quantize(networks[2], "bfloat16")]
    return [*map(network_seed, [*networks, *small]), *seeds()]


def network_seed(network: fr.Sequential) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network")
        network.save(path)
        return seed_of_content(path.read_bytes())


def damage(random_: random.Random, content: bytes) -> bytes:
    """Return the bytes of a file cut, lengthened, or with some bytes changed anywhere."""
    kind, place = random_.randrange(4), random_.randrange(len(content) + 1)
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content + random_.randbytes(random_.choice([1, 8, 1000]))
    if kind == 2:
        return content[:place] + content[place + random_.choice([1, 4, 100]) :]
    damaged = bytearray(content)
    for _ in range(random_.choice([1, 3, 30])):
        damaged[random_.randrange(len(damaged))] = random_.randrange(256)
    return bytes(damaged)


def mutated(random_: random.Random, seed: Seed) -> bytes:
    if random_.random() < 0.8:
        return mutate(random_, seed)
    header = json.dumps({"__metadata__": {"fastrnn": json.dumps(seed.description)}, **seed.entries}).encode()
    return damage(random_, len(header).to_bytes(8, "little") + header + seed.data)


def check(library: Library, content: bytes) -> str:
    """Open a file and run two steps; return how it ended. An exception or a crash is a failure."""
    try:
        model = library.made("open_memory", content, len(content))
    except Failed as error:
        if error.status not in REFUSED or not error.message.isprintable() or not error.message:
            raise
        return "unsupported" if error.status == UNSUPPORTED else "refused"
    info = library.info(model)
    stream, y = library.made("create_stream", model, 2), np.empty((2, info.output_size), np.float32)
    for _ in range(2):
        if info.reads_floats:
            x = np.ones((2, info.input_size), np.float32)
            library.call("step", stream, address(x), x.size, address(y), y.size)
        if info.reads_ids:
            ids = np.array([-1, info.input_size - 1])
            library.call("step_ids", stream, address(ids), 2, address(y), y.size)
    for symbol in range(info.vocabulary_size):
        library.text("symbol", model, symbol).decode()
    library.call("close_model", model)
    library.call("close_stream", stream)
    return "ran"


def run(
    count: int, seed: int, report: Report = print, first: int = 0, library: Library | None = None
) -> Counter[str]:
    """Check mutated files, and return the number of each outcome; report each failure, with its number."""
    files, own = goods(), library or Library(Path(os.environ[PREFIX]))

    def check_one(number: int, random_: random.Random) -> str:
        return check(own, mutated(random_, files[number % len(files)]))

    return run_all(check_one, range(first, count), seed, report)


if __name__ == "__main__":
    raise SystemExit(run_program(run, __doc__))
