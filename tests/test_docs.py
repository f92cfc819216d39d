"""The table of layers refers to tests, docs/layers.md to options, and the map from PyTorch to names."""

import inspect
import os
import re
import subprocess
import sys
from functools import reduce
from pathlib import Path

import pytest

import fastrnn as fr
from fastrnn.layers.recurrent import options
from fastrnn.layers.recurrent.layer import Recurrent
from layer_coverage import TABLE

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "layers.md"
MAP = TESTS.parent / "docs" / "pytorch-to-fastrnn.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in MAP.read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
LAYERS = [fr.RNN, fr.GRU, fr.LSTM, fr.SLSTM, fr.MinGRU, fr.MinLSTM, fr.Jordan, fr.Stack]


def option_names(layer):
    """Return every keyword of a layer's constructor, those that it passes on as **options included."""
    names = set(inspect.signature(layer).parameters) - {"options"}
    if issubclass(layer, Recurrent):
        own = getattr(options, f"{layer.__name__}Options", options.SharedOptions)
        names |= own.__optional_keys__
    return names


def argument_names(layer):
    """Return every argument of a layer's call, of its forward pass and of its stream; `other` takes none."""
    methods = (layer.__call__, layer.forward, layer.stream)
    return {name for method in methods for name in inspect.signature(method).parameters} - {"self", "other"}


def test_every_test_that_the_table_of_layers_names_exists():
    named = [name for row in TABLE for name in row.tests()]
    assert len(named) > 150
    files = sorted({str(TESTS / name.partition("::")[0]) for name in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-o", "addopts=", *files]
    settings = ["--import-mode=importlib", f"--rootdir={TESTS.parent}"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    run = subprocess.run(
        [*command, *settings], capture_output=True, text=True, cwd=TESTS.parent, env=environment
    )
    known = {line.rpartition("/")[2] for line in run.stdout.splitlines() if "::" in line}
    missing = [name for name in named if name not in known]
    # Without the package onnx its file is not collected.
    optional = [name for name in missing if name.startswith("test_onnx_nodes.py")]
    collected = any(name.startswith("test_onnx_nodes.py") for name in known)
    assert sorted(set(missing) - set([] if collected else optional)) == []


def test_every_row_names_a_test():
    assert [row.layer for row in TABLE if not row.tests()] == []


def test_every_recurrent_layer_is_known_here():
    public = [getattr(fr, name) for name in fr.__all__]
    recurrent = {one for one in public if inspect.isclass(one) and issubclass(one, Recurrent)}
    assert recurrent | {fr.Stack} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_every_option_of_a_layer_has_a_row_in_the_table(layer):
    covered = {name for row in TABLE for name in row.covers}
    assert {layer.__name__} | option_names(layer) | argument_names(layer) <= covered


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_every_option_of_a_layer_is_on_the_page_about_layers(layer):
    text = PAGE.read_text()
    names = {layer.__name__} | (option_names(layer) - {"layers", "input_size", "hidden_size", "output_size"})
    assert sorted(name for name in names if name not in text) == []


def test_every_covered_name_is_an_option():
    known = {layer.__name__ for layer in LAYERS} | {"dcontext"}
    for layer in LAYERS:
        known |= option_names(layer) | argument_names(layer)
    assert sorted({name for row in TABLE for name in row.covers} - known) == []


def test_the_map_from_pytorch_is_read():
    assert len(ROWS) > 40
    assert {len(row) for row in ROWS} <= {2, 3}


def test_every_name_of_the_map_exists():
    named = {name for row in ROWS for name in re.findall(r"(?:fr|fastrnn)\.([A-Za-z_.]*\w)", row[1])}
    assert {"LSTM", "losses.huber", "train.AdamW"} <= named
    for name in named:
        reduce(getattr, name.split("."), fr)


def test_arguments_that_the_map_calls_the_same_exist():
    taken = {
        name
        for function in (fr.LSTM, fr.LSTM.__call__, fr.Composite.load_state_dict)
        for name in inspect.signature(function).parameters
    }
    same = [row[0] for row in ROWS if row[1].startswith("the same")]
    assert same
    assert {name for cell in same for name in re.findall(r"(\w+)=", cell)} <= taken
