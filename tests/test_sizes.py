"""Sizes are judged before anything is made: at once, in little memory, with the argument or the bytes."""

import resource
import subprocess
import sys

import pytest

import fastrnn as fr
from fastrnn import _memory
from fastrnn.language.length_outputs import LengthOutput
from fastrnn.layers import AdaptiveSoftmax, Softmax
from fastrnn.layers.description import described_shapes, from_description

HUGE = 2**40
LAYERS = [fr.RNN, fr.GRU, fr.LSTM, fr.SLSTM, fr.MinGRU, fr.MinLSTM]


@pytest.fixture(autouse=True)
def little_memory():
    """Let the process grow by no more than 512 MiB: a list of many shapes, or half a model, would."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("count", [10_001, HUGE, 10**100])
def test_more_layers_than_a_network_has_are_refused(layer, count):
    with pytest.raises(ValueError, match=rf"^num_layers: expected 1 \.\. 10000, got {count}$"):
        layer(4, 5, num_layers=count)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: fr.LanguageModel(5, num_layers=n),
        lambda n: fr.LanguageModel.from_config({"vocabulary_size": 5, "num_layers": n}),
        lambda n: described_shapes({"kind": "LSTM", "input_size": 3, "hidden_size": 4, "num_layers": n}),
        lambda n: from_description({"kind": "GRU", "input_size": 3, "hidden_size": 4, "num_layers": n}),
    ],
)
def test_more_layers_than_a_network_has_are_refused_in_models_and_descriptions(make):
    with pytest.raises(ValueError, match=r"^num_layers: expected 1 \.\. 10000, got 1099511627776$"):
        make(HUGE)


def test_a_skip_longer_than_a_state_can_hold_is_refused():
    for make in (
        lambda: fr.LSTM(4, 5, skip=2**24),
        lambda: fr.LanguageModel(5, hidden_size=13, cell_options={"skip": 2**24}),
    ):
        with pytest.raises(ValueError, match=r"^skip: expected 0 \.\. 65536, got 16777216$"):
            make()


@pytest.mark.parametrize(
    ("make", "bytes_", "largest"),
    [
        (lambda: fr.LSTM(4, HUGE), 4 * (4 * HUGE * (4 + HUGE + 2)), "weight_hh_l0"),
        (lambda: fr.GRU(1, 10**5, num_layers=10**4), None, "weight_hh_l0"),
        (lambda: fr.RNN(1, 100, num_layers=10**4, skip=2**16), None, "past"),
        (lambda: fr.LSTM(4, 5).stream(2**30), 4 * 2**30 * 10, "h"),
        (lambda: fr.LSTM(4, 5, skip=1000, dtype="float64").stream(2**24), None, "past"),
        (lambda: fr.Linear(HUGE, HUGE), 4 * HUGE * (HUGE + 1), "weight"),
        (lambda: fr.Embedding(HUGE, 2**30), 4 * HUGE * 2**30, "weight"),
        (lambda: Softmax(2**30, HUGE), 4 * HUGE * (2**30 + 1), "weight"),
        (lambda: fr.Head(4, [2**20] * 50, 3), 4 * (2**40 * 49 + 2**20 * 7), "weight of layer 1"),
        (lambda: AdaptiveSoftmax(2**20, HUGE, [5]), None, "tail0.output.weight"),
        (lambda: LengthOutput(8, HUGE, 8), 4 * HUGE * 17, "output.weight"),
        (lambda: fr.LanguageModel(2**36, hidden_size=64, embedding_size=64), None, "embedding.weight"),
        (lambda: fr.LanguageModel(5, embedding_size=8, hidden_size=8, length_model="tau", max_length=HUGE),
         None, "length.output.weight"),
        (lambda: fr.LanguageModel(5, embedding_size=10**6, hidden_size=10**6, num_layers=10**4), None,
         "rnn.weight_ih_l0"),
    ],
)  # fmt: skip
def test_what_cannot_fit_is_refused_with_its_bytes_before_any_part_is_made(
    monkeypatch, make, bytes_, largest
):
    monkeypatch.setattr(_memory, "machine_memory", lambda: 1 << 34)
    number = r"\d+" if bytes_ is None else bytes_
    with pytest.raises(
        MemoryError,
        match=rf"^(parameters|state): cannot allocate {number} bytes.*; the largest is {largest} \[.*; use ",
    ):
        make()


def test_what_fits_is_made():
    assert fr.RNN(1, 1, num_layers=10_000, bias=False).num_parameters == 20_000
    assert fr.RNN(2, 3, skip=2**16).stream().state[1].shape == (1, 1, 2**16, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-layers", HUGE], "num_layers: expected 1 .. 10000, got 1099511627776"),
        (["--hidden-size", HUGE], "not enough memory: training needs about"),
        (["--embedding-size", HUGE, "--num-layers", "9999"], "not enough memory: training needs about"),
    ],
)
def test_the_program_refuses_them_in_one_line(tmp_path, options, message):
    (tmp_path / "text.txt").write_text("to be or not to be " * 400)
    command = [sys.executable, "-m", "fastrnn", "train", "text.txt", *map(str, options)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
