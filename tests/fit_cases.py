"""Small trainings of every model and loss, each with what a batch may have that couples its rows."""

import numpy as np

from fastrnn.models import (
    Forecaster,
    Seq2Seq,
    SequenceClassifier,
    SequenceGenerator,
    SequenceRegressor,
    SequenceTagger,
    Transcriber,
)

COUNT = 22  # in batches of 5: the last one has 2 rows, fewer than there are shards
# Some words once only: they are read as the unknown one at random.
SETTINGS = {
    "hidden_size": 6, "epochs": 2, "batch_size": 5, "learning_rate": 0.02, "random_state": 3, "dropout": 0.2,
}  # fmt: skip
RANDOM = np.random.default_rng(0)
LENGTHS = RANDOM.integers(2, 9, COUNT)
TEXTS = ["".join(RANDOM.choice(list("abcd"), length)) for length in LENGTHS]
FEATURES = [RANDOM.normal(size=(length, 2)) for length in LENGTHS]
CLASSES = ["many" if text.count("a") > 1 else "few" for text in TEXTS]
LABELS = [set(text) & set("ab") for text in TEXTS]
NUMBERS = [[float(x.mean()), float(x.max())] for x in FEATURES]
TAGS = [[step.upper() if step != "d" else None for step in text] for text in TEXTS]
TAGS[0] = [None] * len(TAGS[0])  # nothing in it counts
TWO_TAGS = [[step in "ab" for step in text] for text in TEXTS]
STEP_LABELS = [[{step, "c"} & set("abc") for step in text] for text in TEXTS]
WORDS = [[letter * 2 for letter in text] for text in TEXTS]
FRAMES = [np.eye(4)[["abcd".index(step) for step in text for _ in range(3)]] for text in TEXTS]
CHORDS = [[{ord(step)} for step in text] for text in TEXTS]
SERIES = [np.cumsum(RANDOM.normal(size=(size, 1)), axis=0) for size in (13, 17)]

#: For each name: the class, the settings besides `SETTINGS`, X and y.
CASES = {
    "classes": (SequenceClassifier, {"class_weight": "balanced"}, TEXTS, CLASSES),
    "classes, attention": (SequenceClassifier, {"pooling": "attention"}, FEATURES, CLASSES),
    "labels": (SequenceClassifier, {"class_weight": {"a": 3.0}, "pooling": "mean"}, TEXTS, LABELS),
    "squared errors": (SequenceRegressor, {"weight_decay": 0.01}, FEATURES, NUMBERS),
    "absolute errors": (SequenceRegressor, {"loss": "absolute", "pooling": "max"}, TEXTS, LENGTHS),
    "huber": (SequenceRegressor, {"loss": "huber", "num_layers": 2}, FEATURES, NUMBERS),
    "tags": (SequenceTagger, {"class_weight": "balanced"}, TEXTS, TAGS),
    "two tags": (SequenceTagger, {"class_weight": "balanced"}, FEATURES, TWO_TAGS),
    "labels of steps": (SequenceTagger, {"class_weight": "balanced"}, TEXTS, STEP_LABELS),
    "tags by a CRF": (SequenceTagger, {"crf": True}, TEXTS, TAGS),
    "characters": (SequenceTagger, {"char_features": "gru"}, WORDS, TAGS),
    "translations": (Seq2Seq, {"label_smoothing": 0.1}, TEXTS, [text[::-1] for text in TEXTS]),
    "input feeding": (
        Seq2Seq, {"input_feeding": True, "attention": "multiplicative", "context": "both"}, FEATURES, TEXTS,
    ),
    "transcripts": (
        Transcriber, {"noise": 0.1, "time_mask": 3, "feature_mask": 1, "stack_frames": 2}, FRAMES, TEXTS,
    ),
    "tokens": (SequenceGenerator, {"scheduled_sampling": 0.5}, CLASSES, TEXTS),
    "chords": (SequenceGenerator, {"condition_as": "input", "scheduled_sampling": 0.5}, NUMBERS, CHORDS),
    "numbers": (SequenceGenerator, {"scheduled_sampling": 0.5}, None, FEATURES),
    "numbers, squared": (SequenceGenerator, {"numbers_as": "squared"}, None, FEATURES),
    "series": (Forecaster, {"window": 6, "cell_options": {"zoneout": (0.1, 0.1)}}, SERIES, None),
}  # fmt: skip


def new_model(name, **changes):
    """Return the model of a case, and its X and y."""
    kind, own, X, y = CASES[name]
    return kind(**{**SETTINGS, **own, **changes}), X, y
