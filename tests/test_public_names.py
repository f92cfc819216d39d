"""What people see of the package: its names, without what only its code needs, and a text for each object."""

import importlib
import inspect

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.data import SentenceBatches
from fastrnn.train import (
    SGD,
    Adam,
    AdamW,
    ConstantSchedule,
    CosineSchedule,
    ExponentialAverage,
    NonMonotonicAverage,
    PlateauSchedule,
    RMSprop,
    StepSchedule,
    Trainer,
)


def public_modules(name="fastrnn", found=None):
    """Every module that a public name leads to."""
    found = {} if found is None else found
    found[name] = module = importlib.import_module(name)
    for value in (getattr(module, one) for one in module.__all__):
        if inspect.ismodule(value) and value.__name__ not in found:
            public_modules(value.__name__, found)
    return found


MODULES = public_modules()
CLASSES = {
    value: f"{name}.{one}"
    for name, module in MODULES.items()
    for one, value in ((one, getattr(module, one)) for one in module.__all__)
    if inspect.isclass(value)
}


def test_the_walk_reaches_the_subpackages():
    assert {"fastrnn.layers", "fastrnn.layers.init", "fastrnn.models", "fastrnn.train"} <= set(MODULES)
    assert len(CLASSES) > 80


@pytest.mark.parametrize("name", MODULES)
def test_dir_lists_the_public_names_and_nothing_else(name):
    assert dir(MODULES[name]) == sorted(MODULES[name].__all__)


@pytest.mark.parametrize("kind", CLASSES, ids=CLASSES.values())
def test_every_public_class_has_a_text_of_its_own(kind):
    protocol = getattr(kind, "_is_protocol", False)  # never made
    assert protocol or kind.__repr__ is not object.__repr__


@pytest.fixture
def model():
    return fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)


LAYER = fr.Linear(2, 3, seed=0)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (SGD(LAYER), "SGD(Linear(2, 3))"),
        (SGD(LAYER, 0.5, momentum=0.9), "SGD(Linear(2, 3), learning_rate=0.5, momentum=0.9)"),
        (RMSprop([LAYER, fr.GRU(2, 3)]), "RMSprop([Linear(2, 3), GRU(2, 3)])"),
        (Adam(LAYER, betas=(0.8, 0.9)), "Adam(Linear(2, 3), betas=(0.8, 0.9))"),
        (AdamW(LAYER), "AdamW(Linear(2, 3))"),
        (ConstantSchedule(0.1), "ConstantSchedule(0.1)"),
        (StepSchedule(0.1, every=10), "StepSchedule(0.1, every=10)"),
        (CosineSchedule(0.1, steps=100, warmup=5), "CosineSchedule(0.1, steps=100, warmup=5)"),
        (PlateauSchedule(0.1, patience=2), "PlateauSchedule(0.1, patience=2)"),
        (fr.decode.PlannedLength(max_length=9), "PlannedLength(max_length=9)"),
        (fr.ChunkedText(np.arange(21), 2, 5), "<ChunkedText: 2 rows of 10 tokens, 2 chunks of 5>"),
        (SentenceBatches([[1, 2], [3]], 2), "<SentenceBatches: 2 sentences of 3 tokens, 1 batches>"),
        (LAYER.forward(np.ones((4, 2), "f"))[1], "<LinearTape: x [4, 2]>"),
        (fr.Head(2, [3], 1).forward(np.ones((4, 2), "f"))[1], "<HeadTape of Head(2, [3], 1): x [4, 2]>"),
        (
            fr.Sequential(fr.GRU(2, 3), fr.Linear(3, 1)).forward(np.ones((4, 5, 2), "f"))[2],
            "<SequentialTape of Sequential({'part0': GRU(2, 3), 'part1': Linear(3, 1)}): y [4, 5, 1]>",
        ),
        (
            fr.AttentionPooling(2, 3).forward(np.ones((4, 5, 2), "f"))[2],
            "<PoolingTape: weights [5, 4]>",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_objects_are_shown_with_what_tells_them_apart(one, text):
    assert repr(one) == text


def test_what_trains_a_model_is_shown_with_it(model, tmp_path):
    data = fr.ChunkedText([0, 1, 2] * 10, batch_size=1, seq_length=4)
    trainer = Trainer(model, data)
    next(iter(trainer.run(1)))
    assert repr(trainer).startswith(f"<Trainer of {model!r}: 1 steps, Adam")
    assert repr(ExponentialAverage(model, 0.5)) == f"ExponentialAverage({model!r}, decay=0.5)"
    assert repr(NonMonotonicAverage(model)) == f"NonMonotonicAverage({model!r})"


def test_the_tape_of_attention_is_shown_with_its_weights():
    attention = fr.MultiplicativeAttention(2, 2, weight=False)
    memory = attention.prepare(np.ones((3, 2, 2), "f"))
    tape = attention.forward(np.ones((2, 2), "f"), memory)[2]
    assert repr(tape) == "<AttentionTape: weights [1, 2, 3]>"
