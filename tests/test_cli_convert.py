"""The command ``convert``: models of other libraries in, fastrnn's files out, and what it refuses."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastrnn as fr
from fastrnn.train import load_checkpoint
from test_cli import run, run_well
from torch_files import saved

V, E, H = 5, 3, 4
IDS = np.array([[0, 1], [2, 3], [4, 0]])


def layers():
    return {
        "encoder": fr.Embedding(V, E, seed=0),
        "rnn": fr.LSTM(E, H, num_layers=2, seed=1),
        "decoder": fr.Linear(H, V, seed=2),
    }


@pytest.fixture
def source(tmp_path):
    """Write a state dict under the names of a PyTorch module."""
    path = tmp_path / "source.safetensors"
    save_file(fr.Sequential(layers()).state_dict(), path)
    return path


def expected():
    return fr.Sequential(layers())(IDS)[0]


def test_a_state_dict_becomes_a_chain_of_layers(source, tmp_path):
    target = tmp_path / "target.safetensors"
    output = run_well("convert", source, target).stdout
    assert "Sequential({'encoder': Embedding(5, 3), 'rnn': LSTM(3, 4, num_layers=2)" in output
    assert f"written: {target}, {target.stat().st_size:,} bytes" in output
    assert np.array_equal(fr.Sequential.load(target)(IDS)[0], expected())
    tensors = load_file(target)  # and any reader of safetensors finds the same names again
    assert tensors.keys() == load_file(source).keys()


@pytest.mark.parametrize("name", ["epoch=3.ckpt", "pytorch_model.bin"])
def test_checkpoints_have_other_names_too(name, tmp_path):
    state = fr.Sequential(layers()).state_dict()
    (tmp_path / name).write_bytes(saved({"epoch": 3, "state_dict": state}))
    assert list(fr.interop.load(tmp_path / name).layers) == list(layers())


@pytest.mark.parametrize("name", ["symbols.txt", "symbols.json"])
def test_with_a_vocabulary_it_becomes_a_language_model_for_all_commands(source, name, tmp_path):
    target, symbols = tmp_path / "target.safetensors", tmp_path / name
    symbols.write_text(json.dumps(list("abcde")) if name.endswith("json") else "a\nb\nc\nd\ne\n")
    run_well("convert", source, target, "--vocabulary", symbols)
    checkpoint = load_checkpoint(target)
    assert checkpoint.vocabulary.symbols == tuple("abcde")
    np.testing.assert_allclose(checkpoint.model.logits(IDS)[0], expected(), atol=1e-6)
    assert len(run_well("sample", target, "--prompt", "ab", "--length", 8).stdout.strip()) >= 8


def test_json_is_one_object(source, tmp_path):
    target = tmp_path / "target.safetensors"
    result = json.loads(run_well("convert", source, target, "--json").stdout)
    assert result["path"] == str(target)
    assert result["size"] == target.stat().st_size
    assert result["notes"] == ["the file keeps no order; only encoder, rnn, decoder fit together"]
    assert result["parity"] == {}


def test_a_sample_decides_whether_anything_is_written(source, tmp_path):
    target, sample = tmp_path / "target.safetensors", tmp_path / "sample.npz"
    np.savez(sample, x=IDS, y=expected())
    result = json.loads(run_well("convert", source, target, "--sample", sample, "--check", "--json").stdout)
    assert result["parity"]["source"]["equal"]
    assert result["parity"]["target"] == {"equal": True, "largest": 0.0, "differences": {"parameters": 0.0}}
    np.savez(sample, x=IDS, y=expected() + 0.1)
    before = target.read_bytes()
    refused = run("convert", source, target, "--sample", sample, "--overwrite")
    assert refused.exit_code == 2
    assert "DIFFERENT: largest difference output 0.1" in refused.stderr
    assert "nothing was written" in refused.stderr
    assert target.read_bytes() == before


def test_a_sample_in_another_gate_order_names_the_order(tmp_path):
    lstm, path, sample = fr.LSTM(E, H, seed=0), tmp_path / "lstm.safetensors", tmp_path / "sample.npz"
    state = lstm.state_dict()
    for name, value in state.items():
        i, f, g, o = np.split(value, 4)
        state[name] = np.concatenate([i, f, o, g])
    save_file(state, path)
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2, E)).astype(np.float32)
    np.savez(sample, x=x, y=lstm(x)[0])
    refused = run("convert", path, tmp_path / "target.safetensors", "--sample", sample)
    assert refused.exit_code == 2
    assert "gate_order={'lstm': 'ifog'}" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["source.safetensors", "target.bin"],
            "target.bin: expected a name that ends in .safetensors or .onnx",
        ),
        (["words.txt", "target.safetensors"], "words.txt: expected a name that ends in .pt, .pth"),
        (["source.safetensors", "source.safetensors"], "TARGET: source.safetensors: is an input"),
        (
            ["source.safetensors", "t.safetensors", "--vocabulary", "gap.txt"],
            "gap.txt: line 2: expected",
        ),
        (["source.safetensors", "t.safetensors", "--vocabulary", "words.txt"], "expected 5 symbols, got 2"),
        (
            ["source.safetensors", "t.safetensors", "--vocabulary", "bad.json"],
            "expected a JSON list",
        ),
        (["source.safetensors", "t.safetensors", "--sample", "words.txt"], "words.txt: "),
        (
            ["source.safetensors", "t.safetensors", "--sample", "other.npz"],
            "expected the arrays x and y",
        ),
        (["norm.safetensors", "t.safetensors"], "norm: a LayerNorm"),
        (["broken.pt", "t.safetensors"], "broken.pt: "),
    ],
)
def test_bad_input_is_one_line(arguments, message, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("a\nb\n")
    (tmp_path / "gap.txt").write_text("a\n\nb\n")
    (tmp_path / "bad.json").write_text('{"a": 1}')
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 and no more")
    np.savez(tmp_path / "other.npz", z=1)
    norm = {"norm.weight": np.ones(H, np.float32), "norm.bias": np.ones(H, np.float32)}
    save_file({**load_file(source), **norm}, tmp_path / "norm.safetensors")
    result = run("convert", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "t.safetensors").exists()


def test_without_the_library_of_the_source_a_sample_is_asked_for(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("convert", source, tmp_path / "target.safetensors", "--check")
    assert result.exit_code == 2
    assert "PyTorch cannot be imported" in result.stderr
    assert "give a sample of its output" in result.stderr
    assert not (tmp_path / "target.safetensors").exists()


def test_pytorch_is_asked_where_it_is_installed(torch, tmp_path):
    modules = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.Embedding(V, E),
            "rnn": torch.nn.GRU(E, H, bidirectional=True),
            "cell": torch.nn.LSTMCell(2 * H, H),
            "decoder": torch.nn.Linear(H, V),
        }
    )
    source, target = tmp_path / "model.pt", tmp_path / "target.safetensors"
    torch.save({"model": modules.state_dict(), "epoch": 3}, source)
    assert "each layer beside the source: equal" in run_well("convert", source, target, "--check").stdout
    result = json.loads(run_well("convert", source, target, "--check", "--json", "--overwrite").stdout)
    assert result["parity"]["source"]["differences"].keys() == {"encoder", "rnn", "cell", "decoder"}
    assert result["parity"]["source"]["largest"] < 1e-6
    assert result["notes"] == ["read 'model', left out epoch"]
    state = fr.interop.to_state_dict(fr.Sequential.load(target))
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    cell = {name.removesuffix("_l0"): tensors.pop(f"cell.{name}") for name in fr.LSTM(1, 1).parameters}
    modules.load_state_dict(
        {**tensors, **{f"cell.{name}": value for name, value in cell.items()}}, strict=True
    )


def test_several_orders_that_fit_are_left_to_the_user(tmp_path):
    parts = {"b": fr.GRU(H, H, seed=0), "a": fr.Linear(H, H, seed=1)}
    save_file(fr.Sequential(parts).state_dict(), tmp_path / "source.safetensors")
    refused = run("convert", tmp_path / "source.safetensors", tmp_path / "target.safetensors")
    assert "several fit; choose one by in_order('a', 'b') or in_order('b', 'a')" in refused.stderr
    imported = fr.interop.load(tmp_path / "source.safetensors")
    x = np.ones((3, 2, H), np.float32)
    assert np.array_equal(imported.in_order("b", "a").to_sequential()(x)[0], fr.Sequential(parts)(x)[0])
    run_well("convert", tmp_path / "source.safetensors", tmp_path / "target.safetensors", "--order", "b,a")
    assert list(fr.Sequential.load(tmp_path / "target.safetensors").parts) == ["b", "a"]
    with pytest.raises(ValueError, match="names: expected all of a, b, got b"):
        imported.in_order("b")


def test_a_model_of_fastrnn_is_converted_to_itself(source, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    run_well("convert", source, first)
    run_well("convert", first, second, "--check")
    assert first.read_bytes() == second.read_bytes()
    refused = run("convert", first, second, "--vocabulary", second)
    assert refused.exit_code == 2
    assert isinstance(fr.interop.load(first), fr.Sequential)


def test_a_graph_goes_out_and_comes_back(torch, source, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    graph, back = tmp_path / "graph.onnx", tmp_path / "back.safetensors"
    result = json.loads(run_well("convert", source, graph, "--check", "--json").stdout)
    assert result["parity"]["target"]["equal"]
    assert result["parity"]["target"]["differences"].keys() == {"y"}
    result = json.loads(run_well("convert", graph, back, "--check", "--json").stdout)
    assert result["parity"]["source"]["largest"] < 1e-6
    np.testing.assert_allclose(fr.Sequential.load(back)(IDS)[0], expected(), atol=1e-6)


def test_a_graph_of_a_model_in_fewer_bits_says_that_it_computes_in_float32(tmp_path):
    pytest.importorskip("onnx")
    chain = fr.Sequential(fr.LSTM(3, 4, seed=0), fr.Linear(4, 2, seed=1))
    for model, note in (
        (chain, []),
        (fr.Sequential(fr.LSTM(3, 4, precision="bfloat16")), ["products in bfloat16 became float32"]),
        (fr.quantize(chain, "int8"), ["products in int8 became float32"]),
    ):
        model.save(tmp_path / "m.safetensors")
        for target, expected_notes in (("m.onnx", note), ("copy.safetensors", [])):
            options = ["--overwrite", "--json"]
            result = run_well("convert", tmp_path / "m.safetensors", tmp_path / target, *options)
            assert json.loads(result.stdout)["notes"] == expected_notes


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_graph_with_lengths_is_run_on_ids_and_their_lengths(precision, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = fr.models.SequenceClassifier(hidden_size=4, epochs=1, random_state=0)
    model.fit(["ab", "ba", "abc", "cab"], [0, 1, 0, 1])
    (model if precision == "float32" else fr.quantize(model, precision)).save(tmp_path / "m.safetensors")
    result = run_well("convert", tmp_path / "m.safetensors", tmp_path / "m.onnx", "--check", "--json")
    assert json.loads(result.stdout)["parity"]["target"]["equal"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras calls NumPy in an older way
def test_a_model_of_keras_comes_in(keras, tmp_path):
    model = keras.Sequential(
        [
            keras.layers.Input((None,)),
            keras.layers.Embedding(V, E),
            keras.layers.LSTM(H, return_sequences=True),
            keras.layers.Dense(V, activation="softmax"),
        ]
    )
    source, target = tmp_path / "model.keras", tmp_path / "target.safetensors"
    model.save(source)
    result = json.loads(run_well("convert", source, target, "--check", "--json").stdout)
    assert result["parity"]["source"]["largest"] < 1e-6
    y = keras.ops.convert_to_numpy(model(IDS.T))
    np.testing.assert_allclose(fr.Sequential.load(target)(IDS)[0].swapaxes(0, 1), y, atol=1e-6)
