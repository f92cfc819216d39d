"""Quantized models in the C library: their weights, in float32 arithmetic, and damaged files."""

import numpy as np
import pytest

import fastrnn as fr
from c_library import FORMAT, UNSUPPORTED, Failed, Library, installed
from fastrnn.train import save_checkpoint
from stored_tensors import changed, description_of, floats, q, stored, written


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Library(installed(tmp_path_factory.getbasetemp()))


def small_network(folder):
    path = folder / "network"
    fr.quantize(fr.Sequential(fr.LSTM(3, 5, seed=1)), "int8").save(path)
    return path


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_quantized_model_is_computed_in_float32_with_its_weights(library, tmp_path, precision, tied):
    model = fr.LanguageModel(11, embedding_size=9, hidden_size=9, tied=tied, seed=1)
    small = fr.quantize(model, precision)
    model.load_state_dict(small.state_dict())
    path = tmp_path / "model"
    save_checkpoint(path, small, fr.Vocabulary([*"abcdefghijk"]))
    handle = library.made("open", str(path).encode())
    stream, expected = library.made("create_stream", handle, 2), model.stream(2)
    for ids in np.random.default_rng(0).integers(-1, 11, (20, 2)):
        assert library.step(stream, ids, 11).tobytes() == expected.step(ids).tobytes()


WEIGHT = "part0.weight_hh_l0"
DAMAGES = {
    "no scale": (lambda t: {n: a for n, a in t.items() if n != f"{WEIGHT}.scale"}, "got no such tensor"),
    "a scale for all rows": (lambda t: {**t, f"{WEIGHT}.scale": floats([1.0])}, r"expected F32 \[20\]"),
    "another dtype": (
        lambda t: {**t, f"{WEIGHT}.scale": ("BF16", np.ones(20, np.uint16))}, r"expected F32, got BF16 \[20\]"
    ),
    "a NaN": (lambda t: changed(t, f"{WEIGHT}.scale", 3, np.nan), "not finite"),
    "a negative scale": (lambda t: changed(t, f"{WEIGHT}.scale", 3, -1.0), "scales of at least 0"),
    "too large a scale": (lambda t: changed(t, f"{WEIGHT}.scale", 3, 3e38), "not finite"),
    "-128": (lambda t: changed(t, WEIGHT, (2, 1), -128), r"integers in -127 \.\. 127, got -128"),
    "a bias": (lambda t: {**t, "part0.bias_hh_l0": q(np.zeros(20))}, r"expected F32 \[20\], got I8"),
    "a scale of nothing": (lambda t: {**t, "x.scale": floats([1.0])}, "x.scale: not a parameter"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_quantized_file_is_refused(library, tmp_path, name):
    damage, message = DAMAGES[name]
    path = small_network(tmp_path)
    content = path.read_bytes()
    written(path, damage(stored(content)), description_of(content))
    with pytest.raises(Failed, match=message) as error:
        library.made("open", str(path).encode())
    assert error.value.status == FORMAT


@pytest.mark.parametrize(
    ("change", "message", "status"),
    [
        ({"quantized": "bfloat16"}, "expected F32 .* got I8", FORMAT),
        ({"quantized": "int4"}, "quantized: expected bfloat16 or int8, got int4", FORMAT),
        ({"quantized": 8}, "quantized: ", FORMAT),
        ({"format_version": 1}, "expected F32 .* got I8", FORMAT),
        ({"format_version": 3}, "format version 3; this library reads 1 and 2", UNSUPPORTED),
    ],
)
def test_a_wrong_header_of_a_quantized_file_is_refused(library, tmp_path, change, message, status):
    path = small_network(tmp_path)
    content = path.read_bytes()
    written(path, stored(content), {**description_of(content), **change})
    with pytest.raises(Failed, match=message) as error:
        library.made("open", str(path).encode())
    assert error.value.status == status


PARTS = {
    "lstm": lambda: fr.LSTM(3, 5, seed=1),
    "linear": lambda: fr.Linear(3, 5, seed=1),
    "head": lambda: fr.Head(3, [4], 5, seed=1),
}


@pytest.mark.parametrize("name", PARTS)
def test_the_precision_that_a_layer_was_trained_in_changes_nothing(library, tmp_path, name):
    network, path = fr.Sequential(PARTS[name]()), tmp_path / "network"
    network.save(path)
    content = path.read_bytes()
    described, x = description_of(content), np.ones((2, 3), np.float32)
    described["parts"][0]["precision"] = "bfloat16"
    written(path, stored(content), described)
    stream = library.made("create_stream", library.made("open", str(path).encode()), 2)
    assert library.step(stream, x, 5).tobytes() == network.stream(2).step(x).tobytes()
    described["parts"][0]["precision"] = "int8"
    written(path, stored(content), described)
    with pytest.raises(
        Failed, match=r"parts\[0\].precision: expected float32 or bfloat16, got int8"
    ) as error:
        library.made("open", str(path).encode())
    assert error.value.status == FORMAT


def test_the_precision_that_a_language_model_was_trained_in_changes_nothing(library, tmp_path):
    model, path = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0), tmp_path / "model"
    save_checkpoint(path, model, fr.Vocabulary([*"abc"]))
    content = path.read_bytes()
    described = description_of(content)
    described["model"]["precision"] = "bfloat16"
    written(path, stored(content), described)
    stream = library.made("create_stream", library.made("open", str(path).encode()), 1)
    assert library.step(stream, np.array([1]), 3).tobytes() == model.stream(1).step([1]).tobytes()
    described["model"]["precision"] = ["bfloat16"]
    written(path, stored(content), described)
    with pytest.raises(Failed, match=r"model.precision"):
        library.made("open", str(path).encode())
