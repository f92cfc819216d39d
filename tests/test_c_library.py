"""The C library: the same bits as Python, its memory, and misuse."""

import ctypes
import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import fastrnn as fr
from c_library import (
    ARGUMENT,
    BUSY,
    FILE,
    FORMAT,
    HANDLE,
    NONE,
    OK,
    SIGNATURES,
    UNSUPPORTED,
    Failed,
    Library,
    Recurrent,
    address,
    installed,
)
from fastrnn import _dispatch
from fastrnn.train import save_checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Library(installed(tmp_path_factory.getbasetemp()))


NETWORKS = {
    "lstm": lambda: [fr.LSTM(3, 5, num_layers=2, seed=1), fr.Linear(5, 4, seed=2)],
    "gru": lambda: [fr.GRU(3, 33, seed=1), fr.Linear(33, 17, bias=False, seed=2), fr.Activation("tanh")],
    "gru before": lambda: [fr.GRU(3, 40, reset_after=False, seed=1), fr.Activation("sigmoid")],
    "rnn": lambda: [
        fr.RNN(3, 20, seed=1),
        fr.RNN(20, 16, nonlinearity="relu", bias=False, seed=2),
        fr.Head(16, [8, 9], 2, seed=3),
        fr.Activation("hard_sigmoid"),
    ],
    "slstm": lambda: [fr.SLSTM(3, 9, seed=1), fr.Activation("relu"), fr.Head(9, [4], 2, activation="relu")],
    "dense stack": lambda: [fr.Stack(fr.GRU(3, 8), fr.LSTM(11, 8), fr.RNN(19, 9), connect="dense", seed=1)],
    "residual stack": lambda: [fr.Stack(fr.GRU(3, 8), fr.LSTM(8, 8), fr.LSTM(8, 8), connect="residual")],
    "one number": lambda: [fr.LSTM(3, 1, seed=1), fr.Linear(1, 1, seed=2)],
    "learned state": lambda: [learned(fr.LSTM(3, 6, num_layers=2, learn_state=True, seed=1))],
    "learned slstm": lambda: [learned(fr.SLSTM(3, 6, num_layers=2, learn_state=True, seed=1))],
}


def learned(layer):
    rng = np.random.default_rng(3)
    state = {name: rng.normal(size=value.shape) for name, value in layer.state_dict().items()}
    layer.load_state_dict({name: value.astype(np.float32) * 0.5 for name, value in state.items()})
    return layer


def saved(network, path):
    if isinstance(network, fr.LanguageModel):
        save_checkpoint(path, network, vocabulary(network))
    else:
        network.save(path)
    return str(path).encode()


def vocabulary(model):
    return fr.Vocabulary([chr(ord("a") + i) for i in range(model.vocabulary_size)])


def assert_same_bits(library, network, path, inputs):
    """Compare every step with Python's stream, and a reset with a new one."""
    model = library.made("open", saved(network, path))
    stream, expected = library.made("create_stream", model, len(inputs[0])), network.stream(len(inputs[0]))
    info = library.info(model)
    library.call("close_model", model)  # the stream keeps what it needs
    for _ in range(2):
        for x in inputs:
            wanted = np.atleast_2d(expected.step(x))
            assert library.step(stream, x, info.output_size).tobytes() == wanted.tobytes()
        expected.reset()
        library.call("reset", stream)
    library.call("close_stream", stream)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_from_a_file_has_the_bits_of_python(library, tmp_path, name, rows):
    network = fr.Sequential(*NETWORKS[name]())
    inputs = np.random.default_rng(0).normal(size=(20, rows, 3)).astype(np.float32) * 2
    inputs[3] = 1e-40  # denormal
    inputs[7] = 1e30
    assert_same_bits(library, network, tmp_path / "network", inputs)


MODELS = {
    "one-hot": {"hidden_size": 12},
    "embedding": {"cell": "gru", "embedding_size": 6, "hidden_size": 12, "num_layers": 1},
    "tied": {"embedding_size": 12, "hidden_size": 12, "tied": True, "eos": 3, "start": -1},
    "head": {"embedding_size": 6, "hidden_size": 12, "head": {"hidden_sizes": [7], "out_features": 9}},
    "stack": {"embedding_size": 8, "rnn": lambda: fr.Stack(fr.GRU(8, 8), fr.LSTM(8, 8), connect="residual")},
    "relu": {"cell": "rnn", "hidden_size": 12, "nonlinearity": "relu", "dropout": 0.5},
    "regularised": {
        "hidden_size": 12,
        "dropout": 0.2,
        "locked_dropout": True,
        "cell_options": {"weight_drop": 0.5, "recurrent_dropout": 0.1, "state_dropout": 0.1},
    },
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_a_language_model_has_the_bits_of_python(library, tmp_path, name, rows):
    settings = {key: value() if callable(value) else value for key, value in MODELS[name].items()}
    model = fr.LanguageModel(11, seed=1, **settings)
    inputs = np.random.default_rng(0).integers(-1, 11, (30, rows))
    assert_same_bits(library, model, tmp_path / "model", inputs)


def test_activations_over_a_step_agree_to_rounding(library, tmp_path):
    for function in ("softmax", "log_softmax"):
        network = fr.Sequential(fr.GRU(3, 9, seed=1), fr.Linear(9, 40, seed=2), fr.Activation(function))
        model = library.made("open", saved(network, tmp_path / "network"))
        stream, x = library.made("create_stream", model, 2), np.ones((2, 3), np.float32)
        np.testing.assert_allclose(library.step(stream, x, 40), network.stream(2).step(x), rtol=1e-5)


def test_a_gru_with_dropout_agrees_to_rounding(library, tmp_path):
    network = fr.Sequential(fr.GRU(3, 9, seed=1, weight_drop=0.5, input_dropout=0.1))
    stream = library.made("create_stream", library.made("open", saved(network, tmp_path / "network")), 2)
    expected, x = network.stream(2), np.ones((2, 3), np.float32)
    for _ in range(5):
        np.testing.assert_allclose(library.step(stream, x, 9), expected.step(x), rtol=1e-5, atol=1e-7)


CELLS = {
    0: lambda D, H: fr.RNN(D, H, seed=1),
    1: lambda D, H: fr.RNN(D, H, nonlinearity="relu", seed=1),
    2: lambda D, H: fr.GRU(D, H, seed=1),
    3: lambda D, H: fr.GRU(D, H, reset_after=False, seed=1),
    4: lambda D, H: fr.LSTM(D, H, seed=1),
}


def add_recurrent(library, model, cell, layer):
    weights = [layer.parameters[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    given = Recurrent(cell, layer.input_size, layer.hidden_size, *map(address, weights))
    library.call("add_recurrent", model, ctypes.byref(given))


@pytest.mark.parametrize("cell", CELLS)
def test_a_network_from_arrays_has_the_bits_of_python(library, cell):
    layer, linear = CELLS[cell](4, 10), fr.Linear(10, 3, seed=2)
    network = fr.Sequential(layer, linear, fr.Activation("tanh"))
    model = library.made("create_model")
    add_recurrent(library, model, cell, layer)
    library.call(
        "add_linear", model, 10, 3, *(address(linear.parameters[name]) for name in ("weight", "bias"))
    )
    library.call("add_activation", model, 0)
    stream, expected = library.made("create_stream", model, 2), network.stream(2)
    for x in np.random.default_rng(0).normal(size=(10, 2, 4)).astype(np.float32):
        assert library.step(stream, x, 3).tobytes() == expected.step(x).tobytes()
    info = library.info(model)
    assert (info.input_size, info.output_size, info.reads_floats, info.reads_ids) == (4, 3, 1, 1)
    assert info.parameters == sum(value.size for value in network.state_dict().values())
    with pytest.raises(Failed, match="no stream yet"):
        library.call("add_activation", model, 0)


def test_an_embedding_from_an_array_has_the_bits_of_python(library):
    embedding, layer = fr.Embedding(5, 4, seed=1), fr.GRU(4, 6, seed=2)
    model = library.made("create_model")
    library.call("add_embedding", model, 5, 4, address(embedding.parameters["weight"]))
    add_recurrent(library, model, 2, layer)
    stream, expected = library.made("create_stream", model, 1), fr.Sequential(embedding, layer).stream(1)
    for ids in np.array([[3], [-1], [0], [4]]):
        assert library.step(stream, ids, 6).tobytes() == expected.step(ids).tobytes()
    with pytest.raises(Failed, match="got floats"):
        library.step(stream, np.ones((1, 5), np.float32), 6)


class Effect(NamedTuple):
    network: fr.Sequential
    model: int
    stream: int


@pytest.fixture
def effect(library, tmp_path):
    """An open network that reads 2 floats, and a stream of one sequence."""
    network = fr.Sequential(fr.LSTM(2, 8, seed=1), fr.GRU(8, 4, seed=2), fr.Linear(4, 3, seed=3))
    model = library.made("open", saved(network, tmp_path / "effect"))
    return Effect(network, model, library.made("create_stream", model, 1))


def test_many_steps_in_one_call_are_the_steps(library, effect):
    x = np.random.default_rng(0).normal(size=(50, 1, 2)).astype(np.float32)
    y = np.empty((50, 1, 3), np.float32)
    library.call("run", effect.stream, 50, address(x), x.size, address(y), y.size)
    expected = effect.network.stream()
    assert y.tobytes() == np.stack([expected.step(x_t) for x_t in x]).tobytes()


def test_a_copy_and_a_saved_state_continue_alike(library, effect):
    x = np.ones((1, 2), np.float32)
    for _ in range(3):
        library.step(effect.stream, x, 3)
    size = library.info(effect.model).state_size
    assert size == 8 + 8 + 4
    state, copy = library.state(effect.stream, size), library.made("copy_stream", effect.stream)
    after = library.step(effect.stream, x, 3)
    assert library.step(copy, x, 3).tobytes() == after.tobytes()
    library.call("set_state", effect.stream, address(state), size)
    assert library.state(effect.stream, size).tobytes() == state.tobytes()
    assert library.step(effect.stream, x, 3).tobytes() == after.tobytes()
    library.call("close_stream", effect.stream)
    library.step(copy, x, 3)


def test_the_state_is_laid_out_as_documented(library, effect):
    x = np.ones((1, 2), np.float32)
    library.step(effect.stream, x, 3)
    expected = effect.network.stream()
    expected.step(x)
    (h, c), g = expected.state
    assert (
        library.state(effect.stream, 20).tobytes()
        == np.concatenate([h.ravel(), c.ravel(), g.ravel()]).tobytes()
    )


def test_what_a_file_says_of_its_text_can_be_asked(library, tmp_path):
    words = fr.Vocabulary(["é", "naïve", "a\0b"], level="word", eos="<eos>")
    model = fr.LanguageModel(len(words), hidden_size=3, eos=words.eos_id, start=words.eos_id)
    save_checkpoint(tmp_path / "model", model, words)
    handle = library.made("open", str(tmp_path / "model").encode())
    info = library.info(handle)
    assert (info.vocabulary_size, info.start, info.eos, info.symbols_are_words) == (4, 3, 3, 1)
    assert [library.text("symbol", handle, i).decode() for i in range(4)] == list(words.symbols)
    assert b'"format_version": 1' in library.text("metadata", handle)
    with pytest.raises(Failed, match=r"id: expected 0 \.\. 3, got 4"):
        library.text("symbol", handle, 4)


def test_without_a_text_there_is_nothing_to_ask(library, effect):
    info = library.info(effect.model)
    assert (info.vocabulary_size, info.start, info.eos) == (0, NONE, NONE)
    with pytest.raises(Failed, match="vocabulary"):
        library.text("symbol", effect.model, 0)


def test_null_and_wrong_sizes_are_refused_and_leave_the_state(library, effect):
    x, y, ids = np.ones(2, np.float32), np.empty(3, np.float32), np.array([0, 2, -2])
    before = library.state(effect.stream, 20)
    cases = [
        ("step", (None, 2, address(y), 3), "x: expected 2 elements, got NULL"),
        ("step", (address(x), 1, address(y), 3), "x: expected 2 elements, got 1"),
        ("step", (address(x), 2, None, 3), "y: expected 3 elements, got NULL"),
        ("step", (address(x), 2, address(y), 4), "y: expected 3 elements, got 4"),
        ("run", (2, address(x), 2, address(y), 3), "x: expected 4 elements, got 2"),
        ("run", (2**63, address(x), 2, address(y), 3), "steps: expected fewer, got 9223372036854775808"),
        ("step_ids", (address(ids), 2, address(y), 3), "ids: expected 1 element, got 2"),
        ("step_ids", (address(ids[1:]), 1, address(y), 3), "ids: expected -1 .. 1, got 2 at position 0"),
        ("step_ids", (address(ids[2:]), 1, address(y), 3), "ids: expected -1 .. 1, got -2 at position 0"),
        ("set_state", (address(before), 19), "state: expected 20 elements, got 19"),
        ("get_state", (None, 20), "state: expected 20 elements, got NULL"),
        ("copy_stream", (None,), "copy: expected an address, got NULL"),
    ]
    for name, arguments, message in cases:
        with pytest.raises(Failed) as failed:
            library.call(name, effect.stream, *arguments)
        assert (failed.value.status, failed.value.message) == (ARGUMENT, message)
    assert library.state(effect.stream, 20).tobytes() == before.tobytes()


def test_closed_null_and_made_up_handles_are_errors(library, effect):
    x, y = np.ones(2, np.float32), np.empty(3, np.float32)
    closed_stream, closed_model = library.made("create_stream", effect.model, 1), library.made("create_model")
    library.call("close_stream", closed_stream)
    library.call("close_model", closed_model)
    assert library.made("create_stream", effect.model, 1) != closed_stream  # the place is used again
    rng = np.random.default_rng(0)
    made_up = [None, 1, 8, 2**64 - 1, *(int(value) for value in rng.integers(0, 2**63, 200))]
    for handle in (*made_up, closed_stream, effect.model, address(x)):
        step = library.status("step", handle, address(x), 2, address(y), 3)
        assert step == library.status("close_stream", handle) == HANDLE
    for handle in (*made_up, closed_model, effect.stream, address(x)):
        assert (
            library.status("describe", handle, address(x)) == library.status("close_model", handle) == HANDLE
        )
    assert b"closed" in library.dll.fastrnn_last_error()


def test_thousands_of_streams_have_handles_of_their_own(library, effect):
    handles = [library.made("create_stream", effect.model, 1) for _ in range(3000)]
    assert len({*handles, effect.stream}) == 3001
    for handle in handles:
        library.call("close_stream", handle)
    assert all(library.status("reset", handle) == HANDLE for handle in handles)
    library.call("reset", effect.stream)


def test_a_stream_is_refused_to_a_second_thread_meanwhile(library, effect):
    x, found = np.ones((2000, 2), np.float32), set()

    def run():
        y = np.empty((2000, 3), np.float32)
        for _ in range(20):
            found.add(library.status("run", effect.stream, 2000, address(x), x.size, address(y), y.size))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OK in found
    assert found <= {OK, BUSY}


def test_models_that_do_not_fit_together_are_refused(library):
    weights = np.zeros(100, np.float32)
    model = library.made("create_model")
    cases = [
        (
            "create_stream",
            (1, ctypes.byref(ctypes.c_void_p())),
            "model: expected one with layers, got one without",
        ),
        ("add_activation", (0,), "activation: expected after a layer, got as the first"),
        ("add_linear", (2, 3, None, None), "weight: expected an address, got NULL"),
        ("add_linear", (0, 3, address(weights), None), "input_size: expected 1 or more, got 0"),
        ("add_linear", (2, 0, address(weights), None), "outputs: expected 1 or more, got 0"),
        ("add_recurrent", (None,), "layer: expected an address, got NULL"),
    ]
    for name, arguments, message in cases:
        with pytest.raises(Failed) as failed:
            library.call(name, model, *arguments)
        assert (failed.value.status, failed.value.message) == (ARGUMENT, message)
    library.call("add_linear", model, 2, 3, address(weights), None)
    for name, arguments, message in [
        (
            "add_linear",
            (4, 3, address(weights), None),
            "input_size: expected 3, the output of the layer before, got 4",
        ),
        ("add_embedding", (4, 3, address(weights)), "embedding: expected as the first layer"),
        ("add_activation", (6,), "activation: expected a fastrnn_activation, got 6"),
    ]:
        with pytest.raises(Failed) as failed:
            library.call(name, model, *arguments)
        assert (failed.value.status, failed.value.message) == (ARGUMENT, message)
    with pytest.raises(Failed, match="not enough memory"):
        library.call("add_linear", model, 3, 2**50, address(weights), None)
    library.made("create_stream", model, 1)
    with pytest.raises(Failed, match="not enough memory"):
        library.made("create_stream", model, 2**60)


def test_files_that_are_no_models_are_refused(library, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(Failed, match="No such file") as failed:
        library.made("open", str(path).encode())
    assert failed.value.status == FILE
    with pytest.raises(Failed, match="not a regular file"):
        library.made("open", str(tmp_path).encode())
    path.write_bytes(b"text")
    with pytest.raises(Failed, match="file: not a safetensors file: no header") as failed:
        library.made("open", str(path).encode())
    assert failed.value.status == FORMAT
    with pytest.raises(Failed, match="path: expected an address"):
        library.made("open", None)


def test_a_small_file_does_not_become_a_large_model(library):
    linear = {"name": "a", "kind": "Linear", "in_features": 2, "out_features": 2, "bias": False}
    tanh = {"name": "b", "kind": "Activation", "function": "tanh"}
    for parts, message in [
        ([linear, linear], "a.weight: expected in one layer, got in several"),
        ([linear] + [tanh] * 10_000, "parts: expected at most 10000, got 10001"),
    ]:
        description = json.dumps({"format_version": 1, "kind": "Sequential", "parts": parts})
        weight = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
        header = json.dumps({"__metadata__": {"fastrnn": description}, "a.weight": weight}).encode()
        content = len(header).to_bytes(8, "little") + header + bytes(16)
        with pytest.raises(Failed) as failed:
            library.made("open_memory", content, len(content))
        assert (failed.value.status, failed.value.message) == (FORMAT, message)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: fr.Sequential(fr.LSTM(2, 3, dtype="float64"), fr.Linear(3, 1, dtype="float64")), "float64"),
        (
            lambda: fr.Sequential(fr.LSTM(2, 3, bidirectional=True)),
            r"parts\[0\].bidirectional is not in this",
        ),
        (
            lambda: fr.LanguageModel(20, hidden_size=8, cutoffs=[5, 10]),
            "adaptive softmax is not in this library",
        ),
        (
            lambda: fr.LanguageModel(20, hidden_size=8, length_model="halt"),
            "length_model is not in this library",
        ),
    ],
)
def test_models_that_the_library_lacks_are_refused_by_name(library, tmp_path, network, message):
    with pytest.raises(Failed, match=message) as failed:
        library.made("open", saved(network(), tmp_path / "network"))
    assert failed.value.status == UNSUPPORTED


def test_the_instruction_set_is_pythons_and_a_wrong_one_is_refused(library):
    assert library.dll.fastrnn_isa().decode() == _dispatch.kernels.isa
    assert library.dll.fastrnn_version().decode() == fr.__version__
    audio = library.prefix / "bin" / "audio"
    run = subprocess.run([audio], env={"FASTRNN_ISA": "mmx"}, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "fastrnn: FASTRNN_ISA: expected avx512_bf16, avx512, avx2 or baseline, got mmx\n"


@pytest.mark.parametrize("isa", fr.available_isas())
def test_each_of_pythons_instruction_sets_can_be_asked_for(library, isa):
    audio = library.prefix / "bin" / "audio"
    run = subprocess.run([audio], env={"FASTRNN_ISA": isa}, capture_output=True, text=True)
    engine = _dispatch.MODULES[isa].removeprefix("_kernels_")
    if run.returncode == 0:
        assert run.stdout.startswith(f"fastrnn {fr.__version__} on {engine}, ")
    else:  # where these tests built the library themselves, for one set
        assert engine != _dispatch.kernels.isa
        assert run.stderr == f"fastrnn: FASTRNN_ISA: this library was built without {isa}\n"


def test_the_header_is_c99_and_cxx98(library, tmp_path):
    for compiler, standard, name in (("cc", "c99", "h.c"), ("c++", "c++98", "h.cpp")):
        (tmp_path / name).write_text("#include <fastrnn.h>\nint main(void) { return fastrnn_isa() == 0; }\n")
        command = [compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
        subprocess.run([*command, f"-I{library.prefix}/include", tmp_path / name], check=True)


def symbols(path, *options):
    """Return (member of an archive or "", line) for each symbol."""
    run = subprocess.run(["nm", "-A", *options, path], capture_output=True, text=True, check=True)
    lines = [line.split(":") for line in run.stdout.splitlines()]
    return [(parts[-2] if len(parts) > 2 else "", parts[-1]) for parts in lines]


def test_each_engine_is_a_closed_world(library):
    """A template that two engines share might hold instructions that the CPU lacks."""
    archive = library.path.with_suffix(".a")
    shown = {
        (member, *line.split()[-2:]) for member, line in symbols(archive, "--defined-only", "--extern-only")
    }
    engines = {(member, name) for member, kind, name in shown if member.startswith("engine_")}
    assert engines
    assert engines == {(member, f"fastrnn_{member.removesuffix('.o')}") for member, _ in engines}


def test_the_shared_library_shows_its_functions_alone_and_needs_the_c_library_alone(library):
    shown = {line.split()[-1] for _, line in symbols(library.path, "-D", "--defined-only")}
    header = (ROOT / "cpp" / "c" / "fastrnn.h").read_text()
    assert shown == {f"fastrnn_{name}" for name in (*SIGNATURES, "last_error", "version", "isa")}
    assert all(f"{name}(" in header for name in shown)
    if readelf := shutil.which("readelf"):
        run = subprocess.run([readelf, "-d", library.path], capture_output=True, text=True, check=True)
        needed = {line.split("[")[1].rstrip("]") for line in run.stdout.splitlines() if "(NEEDED)" in line}
        assert {name.split(".")[0].split("-")[0] for name in needed} <= {"libc", "libm", "ld"}
