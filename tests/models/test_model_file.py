"""Files of models with ``fit``: what is in them, other kinds, and damaged ones, which are refused."""

import json
import random
import struct
import tracemalloc

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.cli.model_tasks import TASKS
from fastrnn.models import SequenceClassifier
from fastrnn.models.base.model_file import kind_of_file, source_of_file, write_model
from fastrnn.train import CheckpointError, load_checkpoint
from header_mutations import Seed, mutate

WORDS = ["lili", "mimi", "lulu", "mumu"]
VOWELS = ["i", "i", "u", "u"]


def seed_of(path):
    """Return a file as what `header_mutations.mutate` takes."""
    import marshal

    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    entries = json.loads(content[8 : 8 + length])
    description = json.loads(entries.pop("__metadata__")["fastrnn"])
    return Seed(entries, content[8 + length :], description, None, marshal.dumps((entries, description)))


def write(path, seed, description=None, entries=None):
    metadata = {"fastrnn": json.dumps(seed.description if description is None else description)}
    header = json.dumps({"__metadata__": metadata, **(seed.entries if entries is None else entries)}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + seed.data)


@pytest.fixture(scope="module")
def models():
    small = {"hidden_size": 3, "embedding_size": 2, "epochs": 1, "random_state": 0}
    random_ = np.random.default_rng(0)
    features = [random_.normal(size=(n, 2)) for n in (2, 3, 1, 4)]
    return [
        SequenceClassifier(**small, pooling="attention", class_weight="balanced").fit(WORDS, VOWELS),
        SequenceClassifier(**small, cell="gru", cell_options={"layer_norm": True}).fit(features, VOWELS),
        SequenceClassifier(**small, num_layers=2, cell="slstm").fit(
            [[1, 2], [3], [2], [1]], [{1}, {2}, {1}, set()]
        ),
    ]  # fmt: skip


@pytest.fixture
def seeds(models, tmp_path):
    found = []
    for model in models:
        model.save(tmp_path / "m.safetensors")
        found.append(seed_of(tmp_path / "m.safetensors"))
    return found


def test_a_file_is_safetensors_with_the_parameters_and_a_description(models, tmp_path):
    from safetensors.numpy import load_file

    path = tmp_path / "m.safetensors"
    models[0].save(path)
    tensors = load_file(path)
    assert tensors.keys() == dict(models[0].network_.state_dict()).keys()
    description = seed_of(path).description
    assert description["kind"] == "SequenceClassifier"
    assert description["settings"]["pooling"] == "attention"
    assert description["learned"]["targets"] == {"classes": ["i", "u"], "multilabel": False, "matrix": False}
    kept = {"loss", "learning_rate", "seconds", "gradient_norm", "gradient_norm_max"}
    assert set(description["history"]) == kept
    assert kind_of_file(path) == "SequenceClassifier"
    assert source_of_file(path) == {}
    write_model(path, models[0], {"x": "word"})
    assert source_of_file(path) == {"x": "word"}
    assert SequenceClassifier.load(path).predict(WORDS).tolist() == models[0].predict(WORDS).tolist()


def test_a_file_of_another_kind_is_refused_and_the_message_says_what_reads_it(models, seeds, tmp_path):
    path = tmp_path / "x.safetensors"
    write(path, seeds[0], {**seeds[0].description, "kind": "Forecaster"})
    with pytest.raises(
        CheckpointError, match=r"expected a SequenceClassifier, got a Forecaster; write Forecaster"
    ):
        SequenceClassifier.load(path)
    language = fr.LanguageModel(2, hidden_size=2, num_layers=1, seed=0)
    fr.train.save_checkpoint(path, language, fr.Vocabulary.from_text("ab"))
    assert kind_of_file(path) == "LanguageModel"
    with pytest.raises(
        CheckpointError, match=r"got a LanguageModel; write fastrnn.train.load_checkpoint\(path\)"
    ):
        SequenceClassifier.load(path)
    models[0].save(path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    for task in TASKS.values():
        if task.kind != "SequenceClassifier":
            with pytest.raises(CheckpointError, match="got a SequenceClassifier; write Sequence"):
                task.model.load(path)


def test_a_mutated_header_loads_or_is_refused_with_a_checkpoint_error(seeds, tmp_path):
    path, outcomes, failures = tmp_path / "m.safetensors", [], []
    with np.errstate(all="ignore"):
        for number in range(300):
            path.write_bytes(mutate(random.Random(f"models {number}"), seeds[number % 3]))
            try:
                model = SequenceClassifier.load(path)
                kind_of_file(path)
                features = model._codec.symbols is None
                model.predict_proba([np.ones((2, model.n_features_in_))] if features else [[1, 2, "a"]])
                outcomes.append("loaded")
            except CheckpointError as error:
                outcomes.append("refused" if str(error).isprintable() else "unprintable")
            except Exception as error:
                failures.append(f"{number}: {type(error).__name__}: {error}")
    assert failures == []
    assert "unprintable" not in outcomes
    assert outcomes.count("refused") > 150
    assert outcomes.count("loaded") > 10


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("settings", "hidden_size"), 2**30, "cannot allocate 36893488284858056704 bytes"),
        (("settings", "hidden_size"), 40_000, r"cannot allocate|expected at most .* bytes"),
        (("settings", "num_layers"), 10**6, "num_layers: expected 1"),
        (("settings", "embedding_size"), 10**9, r"expected at most .* bytes, those of the file"),
        (("settings", "num_layers"), 2, "layer|memory|missing"),
        (("settings", "pooling"), "sum", "pooling: expected"),
        (("settings", "nix"), 1, "settings: unknown nix"),
        (("settings", "cell_options"), {"kind": "Stack"}, "kind|Stack|expected"),
        (("settings", "hidden_size"), "3", "hidden_size: expected an integer, got str"),
        (
            ("learned", "targets"),
            {"classes": [], "multilabel": False, "matrix": False},
            "classes: expected at",
        ),
        (
            ("learned", "targets"),
            {"classes": ["i", 1], "multilabel": False, "matrix": False},
            "classes: expected",
        ),
        (("learned", "targets"), {"classes": ["i", "u"], "multilabel": 0, "matrix": False}, "expected True"),
        (("learned", "weights"), [1.0], "weights: expected 2, got 1"),
        (("learned", "weights"), [1.0, -1.0], r"weights\[1\]: expected"),
        (("learned", "input"), {}, "input.level: missing"),
        (("history",), {"loss": 3}, "history.loss: expected a list, got int"),
        (("history",), {"loss": ["x"]}, r"history.loss\[0\]: expected a number, got str"),
        (("format_version",), 99, "format version 99"),
        (("settings",), None, "settings: expected a mapping, got NoneType"),
    ],
)
def test_a_damaged_field_is_named_and_allocates_little(seeds, tmp_path, where, value, message):
    description = json.loads(json.dumps(seeds[0].description))
    place = description
    for name in where[:-1]:
        place = place[name]
    place[where[-1]] = value
    path = tmp_path / "m.safetensors"
    write(path, seeds[0], description)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            SequenceClassifier.load(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_failed_save_leaves_the_old_file(models, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        models[0].save(tmp_path / "nowhere" / "m.safetensors")
    with pytest.raises(OSError, match=r"folder|directory"):
        models[0].save(tmp_path)
    path = tmp_path / "m.safetensors"
    models[0].save(path)
    before = path.read_bytes()
    models[0]._learned = lambda: {"x": object()}
    try:
        with pytest.raises(TypeError):
            models[0].save(path)
    finally:
        del models[0]._learned
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["m.safetensors"]


def test_history_that_is_not_finite_survives(models, tmp_path):
    model = SequenceClassifier(hidden_size=2, epochs=1, random_state=0).fit(WORDS, VOWELS)
    model.history_["loss"] = [float("nan"), 1.0]
    model.save(tmp_path / "m.safetensors")
    loss = SequenceClassifier.load(tmp_path / "m.safetensors").history_["loss"]
    assert np.isnan(loss[0])
    assert loss[1] == 1.0


def test_settings_changed_after_fit_change_neither_the_network_nor_its_file(tmp_path):
    X, y = ["ab", "ba", "abb", "baa"] * 4, ["x", "y", "x", "y"] * 4
    model = fr.models.SequenceClassifier(hidden_size=4, epochs=2, random_state=0).fit(X, y)
    before = model.predict_proba(X)
    model.set_params(hidden_size=9, pooling="mean", threshold=0.3, cell="gru")
    path = tmp_path / "m.safetensors"
    model.save(path)
    again = fr.models.SequenceClassifier.load(path)
    assert np.array_equal(again.predict_proba(X), before)
    assert np.array_equal(model.predict_proba(X), before)
    assert (again.hidden_size, again.pooling, again.cell, again.threshold) == (4, "last", "lstm", 0.3)
    again.save(path)
    assert fr.models.SequenceClassifier.load(path).get_params() == again.get_params()
