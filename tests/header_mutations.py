"""A fuzzer of checkpoint headers: each mutated file loads, or is refused with a CheckpointError.

The long form, with a line for each failure and a summary at the end::

    python tests/header_mutations.py --count 1000000 --seed 0
"""

from __future__ import annotations

import copy
import json
import marshal
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import fastrnn as fr
from fastrnn.cli.resumed_settings import saved_settings
from fastrnn.cli.settings import TrainingSettings
from fastrnn.data import SentenceBatches
from fastrnn.files.tensor_file import file_content
from fastrnn.layers.base.quantization import quantized_form
from fastrnn.train import (
    SGD,
    CheckpointError,
    ExponentialAverage,
    NonMonotonicAverage,
    PlateauSchedule,
    Trainer,
    TrainingDiverged,
    TrainingState,
    Validation,
)
from fastrnn.train.checkpoint import describe_checkpoint, parse_checkpoint
from mutation_runs import Report, run_all, run_program

TEXT = "to be, or not to be: that is the question\n" * 4


class Seed(NamedTuple):
    """A good checkpoint: its tensors' header entries, their bytes, its description, and its trainer."""

    entries: dict[str, Any]
    data: bytes
    description: dict[str, Any]
    trainer: Trainer | None
    copied: bytes


def seeds() -> list[Seed]:
    """Return checkpoints of several models, vocabularies and trainings."""
    chars = fr.Vocabulary.from_text(TEXT, eos="<eos>")
    ids = chars.encode(TEXT)
    V = len(chars)
    small: dict[str, Any] = {"hidden_size": 4, "num_layers": 1, "seed": 0}
    stack = fr.Stack(fr.GRU(3, 4, layer_norm=True, seed=0), fr.RNN(4, 4, leak=[0.5] * 4, seed=0), dropout=0.1)
    words = fr.Vocabulary.from_text(TEXT, level="word", eos="<eos>", tokenizer=_bpe())
    plain = fr.LanguageModel(V, **small)
    lines = SentenceBatches([[1, 2, 3], [4, 5], [1, 2]], 2, eos=chars.eos_id, seed=0)
    halting = SentenceBatches([[1, 2, 3], [4, 5], [1, 2]], 2, seed=0)
    options = {"peephole": True, "zoneout": (0.1, 0.2), "skip": 2, "learn_state": True}
    optioned = fr.LanguageModel(V, embedding_size=3, cell_options=options, **small)
    tau = fr.LanguageModel(
        V, embedding_size=4, length_model="tau", max_length=5, start=-1, tied=True, **small
    )
    halt = fr.LanguageModel(V, cell="gru", length_model="halt", start=-1, **small)
    rare = fr.LanguageModel(len(words), embedding_size=3, cutoffs=[2, 4], eos=words.eos_id, **small)
    stacked = fr.LanguageModel(V, rnn=stack, embedding_size=3, locked_dropout=True, dropout=0.1, seed=0)
    stream = fr.ChunkedText(ids, 2, 8)
    valid = Validation(ids[:20], 2, 3)
    trainings = [
        (chars, Trainer(plain, stream, validation=valid, schedule=PlateauSchedule(1e-3), clip_norm=5.0)),
        (chars, Trainer(stacked, stream, average=ExponentialAverage(stacked))),
        (chars, Trainer(optioned, stream, SGD(optioned, 0.1, momentum=0.9), accumulate=2)),
        (chars, Trainer(tau, halting, SGD(tau, 0.1), validation=Validation(halting, 2),
                        average=NonMonotonicAverage(tau, 1))),
        (chars, Trainer(halt, halting)),
        (words, Trainer(rare, fr.ChunkedText(words.encode_stream(TEXT), 2, 4))),
    ]  # fmt: skip
    result = []
    for vocabulary, trainer in trainings:
        list(trainer.run(5))
        state = trainer.state()
        state.values["settings"] = TrainingSettings(files=("a.txt",), valid="b.txt").to_json()
        state.values["text"] = "0" * 64
        result.append(_seed(*describe_checkpoint(trainer.model, vocabulary, state), trainer))
    eos = fr.LanguageModel(V, eos=chars.eos_id, start=-1, **small)
    list(Trainer(eos, lines).run(2))
    whitespace = fr.Vocabulary.from_text(TEXT, level="word", tokenizer="whitespace", unknown="skip")
    result.append(_seed(*describe_checkpoint(eos, chars), None))
    result.append(_seed(*describe_checkpoint(fr.LanguageModel(len(whitespace), **small), whitespace), None))
    result += [_quantized(plain, chars, "int8"), _quantized(tau, chars, "bfloat16")]
    return result


def _quantized(model: fr.LanguageModel, vocabulary: fr.Vocabulary, precision: str) -> Seed:
    small = fr.quantize(model, precision)
    tensors, description = describe_checkpoint(small, vocabulary)
    return seed_of_content(file_content(tensors, json.dumps(description), quantized_form(small)))


def _bpe() -> Any:
    """Return a small tokeniser of the package tokenizers, or the usual one without the package."""
    try:
        import tokenizers
    except ImportError:
        return "words"
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=40, show_progress=False)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def _seed(tensors: dict[str, Any], description: dict[str, Any], trainer: Trainer | None) -> Seed:
    return seed_of_content(file_content(tensors, json.dumps(description)), trainer)


def seed_of_content(content: bytes, trainer: Trainer | None = None) -> Seed:
    """Return a file as what `mutate` takes."""
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    description = json.loads(entries.pop("__metadata__")["fastrnn"])
    return Seed(entries, content[8 + length :], description, trainer, marshal.dumps((entries, description)))


# --- mutations ---

_INTEGERS = [0, 1, -1, 2, 3, 255, 2**16, 2**24, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400]
_FLOATS = [0.0, -0.5, 0.5, 0.999, 1.0, 1.5, 1e300, -1e300, 1e-320]
_NAMES = ["", "x", ",", "float16", "float64", "Stack", "LSTM", "jordan", "f4,f4", "\x1b[2J", "\ud800", "\x00"]
_WORDS = ["eos", "<eos>", "none", "error", "callable", "huggingface", "words", "9" * 5000, "é" * 99,
          "int8", "bfloat16", "I8", "BF16", "F32"]  # fmt: skip
_LISTS: list[Any] = [[], [0], [[]], [1, 2], ["a", "a"], [None], [-1], [0.5, 0.5], [10**9] * 3, [[1], [2, 3]]]
_MAPPINGS: list[Any] = [{}, {"kind": "LSTM"}, {"kind": "Stack", "layers": []}, {"x": 1}, {"value": "{}"}]
_CODES = [0, 9, 34, 44, 58, 91, 123, 125, 127, 233, 0x2028]
_TOKENS, _NUMBERS = ["1", "4", "true", "null", '"', ":"], ["Infinity", "NaN", "0", "-", "1e999", "9" * 400]


def _strange(random_: random.Random) -> Any:
    """Return a value that is hardly ever right."""
    others = [None, True, False, math.inf, -math.inf, math.nan]
    kind = random_.randrange(8)
    if kind == 7:
        return _nested(random_.choice([3, 30, 150]))
    return random_.choice([others, _INTEGERS, _INTEGERS, _FLOATS, _NAMES + _WORDS, _LISTS, _MAPPINGS][kind])


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"kind": "Stack", "layers": [value]}
    return value


def _places(value: Any, depth: int = 8) -> Iterator[tuple[Any, Any]]:
    """Yield each container in a value with each of its keys; of long lists, a few."""
    if not depth:
        return
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = [*range(min(len(value), 3))]
    else:
        return
    for key in keys:
        yield value, key
        yield from _places(value[key], depth - 1)


def _mutate_value(random_: random.Random, root: Any) -> None:
    container, key = random_.choice(list(_places(root)) or [(root, None)])
    if key is None:
        return
    value, action = container[key], random_.random()
    if action < 0.55:
        container[key] = copy.deepcopy(_strange(random_))
    elif action < 0.65:
        del container[key]
    elif action < 0.75 and isinstance(value, (int, float)) and not isinstance(value, bool):
        container[key] = random_.choice(
            [value + 1, value - 1, -value, value * 2, value * 2**32, float(min(value, 10**300))]
        )
    elif action < 0.8:
        container[key] = random_.choice([[value], {"a": value}, str(value), [value, value]])
    elif action < 0.9 and isinstance(container, dict):
        container[random_.choice(["x", "kind", "skip", "rnn", "seed", "order", "", *container])] = (
            copy.deepcopy(value)
        )
    elif isinstance(container, dict):
        value = container.pop(key)
        container[random_.choice(["x", *container])] = value
    else:
        container.append(value)


def mutate(random_: random.Random, seed: Seed) -> bytes:
    """Return the bytes of a checkpoint with a mutated header."""
    # A tenth of the time of copy.deepcopy.
    entries, description = marshal.loads(seed.copied)
    metadata: Any = {}
    level = random_.random()
    for _ in range(random_.choice([1, 1, 1, 2, 3])):
        if level < 0.45:
            _mutate_value(random_, description)
        elif level < 0.65:  # the training, which the rest would outnumber
            part = random_.choice(["training", "vocabulary", "model"])
            _mutate_value(
                random_, description[part] if isinstance(description.get(part), dict) else description
            )
        elif level < 0.8:
            _mutate_value(random_, entries)
    text = json.dumps(description)
    if 0.8 <= level < 0.9:
        text = _mutate_text(random_, text)
    metadata["fastrnn"] = text
    if 0.9 <= level < 0.92:
        metadata = random_.choice(
            [None, [], {}, text, {"fastrnn": description}, {"fastrnn": None}, {"x": text}]
        )
    header = json.dumps({"__metadata__": metadata, **entries}).encode("utf-8", "surrogatepass")
    if level >= 0.92:
        header = _mutate_text(random_, header.decode()).encode("utf-8", "surrogatepass")
        if level >= 0.96:
            damaged = bytearray(header or b"{")
            for _ in range(random_.choice([1, 1, 2, 5])):
                damaged[random_.randrange(len(damaged))] = random_.randrange(256)
            header = bytes(damaged)
    header = header or b"{"
    length = len(header)
    if random_.random() < 0.02:
        length = random_.choice(
            [0, 1, length - 1, length + 1, 2**63, 2**31, 10**8, random_.randrange(length)]
        )
    return length.to_bytes(8, "little") + header + seed.data


def _mutate_text(random_: random.Random, text: str) -> str:
    text = text or "{"
    place, other = random_.randrange(len(text)), random_.randrange(len(text))
    kind = random_.randrange(6)
    if kind == 0:
        return text[:place]
    if kind == 1:
        return text[:place] + chr(random_.choice(_CODES)) + text[place + 1 :]
    if kind == 2:
        return text[:place] + text[min(place, other) : max(place, other)] + text[place:]
    if kind == 3:
        return text.replace(random_.choice(_TOKENS), random_.choice(_NUMBERS), 1)
    depth = random_.choice([10, 1000, 20000]) if kind == 4 else 1
    return text.replace('": ', '": ' + "[" * depth, 1)


# --- the check ---


def check(seed: Seed, content: bytes) -> str:
    """Load a file and restore its training; return how it ended. Any other exception is a failure."""
    try:
        checkpoint = parse_checkpoint(content)
        if checkpoint.training is None:
            return "loaded"
        saved_settings(checkpoint)
    except CheckpointError as error:
        refused = str(error)
    else:
        return _restore(seed, checkpoint.training)
    assert refused.isprintable(), "the message holds control characters"
    return "refused"


def _restore(seed: Seed, training: TrainingState) -> str:
    if seed.trainer is None:
        return "loaded"
    try:
        seed.trainer.restore(training)
    except ValueError:  # documented: the state does not fit this trainer
        return "not restored"
    try:
        next(seed.trainer.run(2**62), None)
    except TrainingDiverged:
        return "diverged"
    return "trained"


def run(count: int, seed: int, report: Report = print, first: int = 0) -> Counter[str]:
    """Check mutated files, and return the number of each outcome; report each failure, with its number."""
    goods = seeds()
    np.seterr(all="ignore")

    def check_one(number: int, random_: random.Random) -> str:
        good = goods[number % len(goods)]
        return check(good, mutate(random_, good))

    return run_all(check_one, range(first, count), seed, report)


if __name__ == "__main__":
    sys.exit(run_program(run, __doc__, 1_000_000))
