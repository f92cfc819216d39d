"""Models with ``fit`` that train in bfloat16: settings, files, and what stays float32."""

import json

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import models
from fastrnn.files.tensor_file import read_description
from precision_model_cases import CASES, fitted, numbers, pairs, parts_of, quantized, words
from test_cli import run_well


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_trains_in_bfloat16_is_nearly_the_one_of_float32(name):
    wide, narrow = fitted(name), fitted(name, "bfloat16")
    assert narrow.network_.precision == "bfloat16"
    assert not narrow.network_.quantized
    assert not np.array_equal(narrow.network_.parameters.flat, wide.network_.parameters.flat)
    assert narrow.history_["loss"][-1] == pytest.approx(wide.history_["loss"][-1], rel=0.1, abs=0.05)
    layers = [
        part for part in parts_of(narrow.network_) if isinstance(part, (fr.layers.Recurrent, fr.Linear))
    ]
    precisions = {part.precision for part in layers if not isinstance(part, fr.layers.Logistic)}
    assert precisions == {"bfloat16"}


@pytest.mark.parametrize("name", CASES)
def test_training_in_bfloat16_is_repeatable(name):
    again = CASES[name].make(precision="bfloat16").fit(*CASES[name].training)
    assert again.history_["loss"] == fitted(name, "bfloat16").history_["loss"]
    assert numbers(name, again).tobytes() == numbers(name, fitted(name, "bfloat16")).tobytes()


def test_precision_is_a_setting_like_others():
    model = models.SequenceTagger(precision="bfloat16", hidden_size=4)
    assert model.get_params()["precision"] == "bfloat16"
    assert repr(model) == "SequenceTagger(hidden_size=4, precision='bfloat16')"
    assert model.set_params(precision="float32").precision == "float32"
    for case in CASES.values():
        assert case.kind().precision == "float32"


def test_scikit_learn_clones_the_precision_and_searches_over_it(sklearn):
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    model = CASES["classifier"].make(precision="bfloat16", epochs=1)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"precision": ["float32", "bfloat16"]}, cv=2).fit(
        *CASES["classifier"].training
    )
    assert search.best_estimator_.network_.precision == search.best_params_["precision"]
    assert clone(quantized("classifier", "int8")).fit(*words(20, 0)).network_.quantized is False


@pytest.mark.parametrize("name", CASES)
def test_a_file_says_the_precision_only_where_it_is_not_float32(name, tmp_path):
    path = tmp_path / "m.safetensors"
    fitted(name).save(path)
    description = read_description(path.read_bytes())
    assert "precision" not in description["settings"]
    assert type(fitted(name)).load(path).precision == "float32"
    model = fitted(name, "bfloat16")
    model.save(path)
    assert read_description(path.read_bytes())["settings"]["precision"] == "bfloat16"
    again = type(model).load(path)
    assert (again.precision, again.network_.precision) == ("bfloat16", "bfloat16")
    assert not again.network_.quantized
    assert again.network_.parameters.flat.tobytes() == model.network_.parameters.flat.tobytes()
    assert numbers(name, again).tobytes() == numbers(name, model).tobytes()


def test_a_precision_that_cannot_be_trained_is_refused_and_nothing_is_lost():
    X, y = words(20, 0)
    model = CASES["classifier"].make(epochs=1).fit(X, y)
    before = model.predict_proba(X).tobytes()
    for precision, message in (
        ("int8", r"precision: int8 is for inference; write fr\.quantize"),
        ("float16", "precision: expected 'float32' or 'bfloat16', got 'float16'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.set_params(precision=precision).fit(X, y)
    with pytest.raises(ValueError, match="precision: expected 'float32' for dtype float64, got 'bfloat16'"):
        model.set_params(precision="bfloat16", dtype="float64").fit(X, y)
    assert model.predict_proba(X).tobytes() == before


def test_a_file_with_a_precision_that_no_model_has_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    fitted("classifier", "bfloat16").save(path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["fastrnn"] = header["__metadata__"]["fastrnn"].replace("bfloat16", "float16")
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(fr.train.CheckpointError, match="precision: expected 'float32' or 'bfloat16'"):
        models.SequenceClassifier.load(path)


def test_partial_fit_and_an_early_stop_keep_the_precision():
    X, y = words(60, 0)
    model = CASES["classifier"].make(precision="bfloat16").partial_fit(X, y).partial_fit(X, y)
    assert model.network_.precision == "bfloat16"
    assert model.history_["loss"][1] < model.history_["loss"][0]
    model = CASES["classifier"].make(precision="bfloat16", early_stopping=True, epochs=3).fit(X, y)
    assert model.network_.precision == "bfloat16"
    assert len(model.history_["validation_score"]) == model.n_iter_


def test_cells_with_options_stay_float32_and_the_rest_is_converted():
    X, y = words(60, 0)
    for settings in ({"cell": "slstm"}, {"cell": "mingru"}, {"cell_options": {"layer_norm": True}}):
        model = CASES["classifier"].make(precision="bfloat16", epochs=2, **settings).fit(X, y)
        assert model.network_.output.precision == "bfloat16"
        assert model.network_.encoder.rnn.precision == "float32"
        assert np.isfinite(model.predict_proba(X)).all()


def test_a_decoder_that_reads_a_context_at_each_step_stays_float32_and_the_encoder_does_not():
    X, y = pairs(40, 0)
    model = CASES["translator"].make(precision="bfloat16", context="both", epochs=1).fit(X, y)
    network = model.network_
    assert (network.encoder.rnn.precision, network.decoder.rnn.precision) == ("bfloat16", "float32")
    assert (network.initial.precision, network.output.precision) == ("bfloat16", "bfloat16")
    assert network.attention.precision == "float32"


def test_the_program_fits_in_bfloat16(tmp_path):
    rows = [f"{word},{kind}\n" for word, kind in zip(*words(40, 0), strict=True)]
    (tmp_path / "words.csv").write_text("".join(["word,kind\n", *rows]))
    small = ["--hidden-size", "4", "--epochs", "1", "--precision", "bfloat16"]
    run_well("fit", "classify", tmp_path / "words.csv", "--out", tmp_path / "m.safetensors", *small)
    assert models.SequenceClassifier.load(tmp_path / "m.safetensors").network_.precision == "bfloat16"


def test_reservoirs_have_no_precision():
    with pytest.raises(TypeError, match="precision"):
        models.EchoStateClassifier(precision="bfloat16")
    model = models.EchoStateClassifier(hidden_size=12, dtype="float32", random_state=0).fit(*words(20, 0))
    with pytest.raises(ValueError, match="expected weights to quantize, got none in this ReservoirNetwork"):
        fr.quantize(model, "int8")
    assert not model.network_.quantized
