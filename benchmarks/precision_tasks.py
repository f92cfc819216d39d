"""What `benchmarks.precision_models` trains: a model, its data, and a number for each held-out example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import models
from fastrnn.data import log_mel, read_conll, read_wav, shipped

Numbers = NDArray[np.float64]
DIGITS = "zero one two three four five six seven eight nine".split()


@dataclass(frozen=True)
class Task:
    """A model and its data.

    Attributes
    ----------
    name : str
    model : type
    settings : dict
    load : callable
        Takes a seed; returns the training part and the part held out, each (X, y).
    measure : callable
        Takes a fitted model and (X, y); returns a number for each example: 1 for a right one, or its loss.
    baseline : callable
        Takes both parts; returns the mean of what is reached without a network.
    unit : {"%", "nats", "error"}
        "%": of right examples; else a loss.
    """

    name: str
    model: Any
    settings: dict[str, Any]
    load: Callable[[int], tuple[Any, Any]]
    measure: Callable[[Any, Any, Any], Numbers]
    baseline: Callable[[Any, Any], float]
    unit: str = "%"


# ---- how an example is measured


def right(model: Any, X: Any, y: Any) -> Numbers:
    """Return 1 for each prediction that is exactly right."""
    return np.array([one == other for one, other in zip(model.predict(X), y, strict=True)], np.float64)


def right_tags(model: Any, X: Any, y: Any) -> Numbers:
    """Return 1 for each word whose tag is right."""
    found = zip(chain.from_iterable(model.predict(X)), chain.from_iterable(y), strict=True)
    return np.array([one == other for one, other in found], np.float64)


def errors(model: Any, X: Any, y: Any) -> Numbers:
    """Return the absolute error of each number."""
    return np.abs(model.predict(X) - np.asarray(y))


def step_errors(model: Any, X: Any, y: Any) -> Numbers:
    """Return the absolute error of each forecast one step ahead."""
    found = np.abs(model.one_step_predictions(X) - X)
    return np.asarray(found[~np.isnan(found)])


def nats(model: Any, X: Any, y: Any) -> Numbers:
    """Return the nats of each symbol and each end."""
    return np.concatenate([own[:, 0] for own in model.step_nats(X, y)])


# ---- what is reached without a network


def most_frequent(training: Any, held_out: Any) -> float:
    """Return the fraction of held-out targets that are the most frequent one."""
    return float(np.mean([one == Counter(training[1]).most_common(1)[0][0] for one in held_out[1]]))


def tag_of_word(training: Any, held_out: Any) -> float:
    """Return the fraction of words that have their most frequent tag, new words that of all."""
    every: Counter[str] = Counter(chain.from_iterable(training[1]))
    counts: dict[str, Counter[str]] = {}
    for words, tags in zip(*training, strict=True):
        for word, tag in zip(words, tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    pairs = zip(chain.from_iterable(held_out[0]), chain.from_iterable(held_out[1]), strict=True)
    return float(np.mean([counts.get(word, every).most_common(1)[0][0] == tag for word, tag in pairs]))


def median(training: Any, held_out: Any) -> float:
    """Return the mean error of the training targets' median."""
    return float(np.abs(np.asarray(held_out[1]) - np.median(training[1])).mean())


def last_value(training: Any, held_out: Any) -> float:
    """Return the mean error of a forecast that is the last value."""
    return float(np.abs(np.diff(held_out[0])).mean())


def frequency(training: Any, held_out: Any) -> float:
    """Return the mean nats of a symbol by its frequency, the end included."""
    counts = Counter(chain.from_iterable([*text, ""] for text in training[1]))
    total = sum(counts.values())
    return float(np.mean([-np.log(counts[s] / total) for text in held_out[1] for s in [*text, ""]]))


# ---- data


def names(folder: Path) -> Callable[[int], tuple[Any, Any]]:
    """Return a function that splits the surnames of a folder, a file for each language, by a seed."""
    pairs = [
        (f"^{line.strip()}$", path.stem)
        for path in sorted(folder.glob("*.txt"))
        for line in path.read_text(encoding="utf-8").split("\n")
        if line.strip()
    ]

    def load(seed: int) -> tuple[Any, Any]:
        order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
        held_out, training = order[: len(pairs) // 5], order[len(pairs) // 5 :]
        return tuple(zip(*map(pairs.__getitem__, training), strict=True)), tuple(
            zip(*map(pairs.__getitem__, held_out), strict=True)
        )

    return load


def digits(folder: Path) -> Callable[[int], tuple[Any, Any]]:
    """Return a function that reads recordings; those with an index below 10 are held out."""
    parts: tuple[Any, Any] = ([], []), ([], [])
    for path in sorted(folder.glob("*.wav")):
        digit, _, index = path.stem.split("_")
        samples, rate = read_wav(path)
        X, y = parts[int(index) < 10]
        X.append(log_mel(samples, rate, bands=40, normalize=False))
        y.append(DIGITS[int(digit)])
    return lambda seed: parts


def treebank(training: Path, held_out: Path) -> Callable[[int], tuple[Any, Any]]:
    """Return a function that reads sentences and the part of speech of each word."""
    parts = tuple(read_conll(str(path), "form", "upos") for path in (training, held_out))
    return lambda seed: parts


def _shipped(name: str) -> Callable[[int], tuple[Any, Any]]:
    """Return a function that loads a shipped data set; without targets, X is what ``fit`` takes."""

    def load(seed: int) -> tuple[Any, Any]:
        parts = [shipped.DATA_SETS[name].load(part) for part in ("train", "valid")]
        if name == "reber":
            parts = [(None, part) for part in parts]
        elif name == "cycles":
            parts = [(part, None) for part in parts]
        return parts[0], parts[1]

    return load


def tasks(paths: Any) -> Iterator[Task]:
    """Yield the tasks of the shipped data, and of the files that are given."""
    yield Task(
        "names, 12 languages (shipped)", models.SequenceClassifier, {"epochs": 30, "dropout": 0.5},
        _shipped("names"), right, most_frequent,
    )  # fmt: skip
    yield Task(
        "sentences (shipped)", models.SequenceTagger, {}, _shipped("sentences"), right_tags, tag_of_word
    )
    yield Task("dates (shipped)", models.Seq2Seq, {}, _shipped("dates"), right, most_frequent)
    yield Task(
        "sines (shipped)",
        models.SequenceRegressor,
        {"epochs": 30},
        _shipped("sines"),
        errors,
        median,
        "error",
    )
    yield Task("reber (shipped)", models.SequenceGenerator, {}, _shipped("reber"), nats, frequency, "nats")
    yield Task(
        "cycles (shipped)", models.Forecaster, {"window": 22, "epochs": 100}, _shipped("cycles"),
        step_errors, last_value, "error",
    )  # fmt: skip
    if paths.names is not None:
        settings = {
            "hidden_size": 128, "dropout": 0.3, "batch_size": 16, "weight_decay": 0.01,
        }  # fmt: skip
        yield Task(
            "names, 18 languages",
            models.SequenceClassifier,
            settings,
            names(paths.names),
            right,
            most_frequent,
        )
    if paths.treebank is not None:
        settings = {"hidden_size": 100, "dropout": 0.3, "epochs": 6, "batch_size": 16}
        load = treebank(*paths.treebank)
        letters = {"char_features": "lstm", "crf": True}
        for name, own in (("words", {}), ("letters and a CRF", letters)):
            yield Task(
                f"treebank, {name}", models.SequenceTagger, {**settings, **own}, load, right_tags, tag_of_word
            )
    if paths.digits is not None:
        settings = {
            "hidden_size": 64, "num_layers": 2, "stack_frames": 2, "dropout": 0.3, "noise": 0.3, "epochs": 12,
            "learning_rate": 0.004,
        }  # fmt: skip
        yield Task("spoken digits", models.Transcriber, settings, digits(paths.digits), right, most_frequent)
