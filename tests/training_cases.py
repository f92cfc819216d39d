"""A small text, model and trainer for the tests of training."""

import numpy as np

from fastrnn import ChunkedText, LanguageModel, Vocabulary
from fastrnn.train import Adam, PlateauSchedule, Trainer, Validation

TEXT = "".join(
    f"{number} green bottles hanging on the wall, and if {number % 7} should fall.\n" for number in range(60)
)
VOCABULARY = Vocabulary.from_text(TEXT)
IDS = VOCABULARY.encode(TEXT)


def make_model(cell="lstm", **options):
    options = {"hidden_size": 13, "num_layers": 2, "dropout": 0.2, "seed": 0, **options}
    return LanguageModel(len(VOCABULARY), cell=cell, **options)


def make_trainer(model=None, *, every=7, patience=None, optimizer=Adam, **options):
    """Make a trainer with everything that has state: dropout, moments, a plateau, validation."""
    model = model or make_model()
    return Trainer(
        model,
        ChunkedText(IDS[:3000], 4, 20),
        optimizer(model, 5e-3),
        schedule=PlateauSchedule(5e-3, warmup=3),
        clip_norm=1.0,
        validation=Validation(IDS[3000:], every=every, patience=patience, batch_size=3),
        **options,
    )


def without_time(records):
    """Return records without what differs between two equal runs."""
    return [{**vars(record), "tokens_per_second": None} for record in records]


def parameters_of(trainer):
    return trainer.model.parameters.flat.tobytes()


def same_arrays(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
