"""The messages that docs/troubleshooting.md quotes are those that appear."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

import fastrnn as fr
from fastrnn import _dispatch
from fastrnn.cli import output_files
from fastrnn.cli.output_files import OutputFiles
from fastrnn.files.output_lock import hold_output
from fastrnn.train import SGD, Trainer, TrainingDiverged

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)`", PAGE, flags=re.MULTILINE)
X = np.zeros((5, 2, 8), np.float32)


def lstm():
    return fr.LSTM(8, 16, seed=0)


def write_a_parameter():
    lstm().parameters["weight_hh_l0"][0] = 0


def write_what_the_tape_keeps():
    y, _, _ = lstm().forward(X)
    y *= 2


def diverge():
    text = "to be or not to be, " * 20
    vocabulary = fr.Vocabulary.from_text(text)
    model = fr.LanguageModel(len(vocabulary), cell="rnn", hidden_size=8, nonlinearity="relu", seed=0)
    list(Trainer(model, fr.ChunkedText(vocabulary.encode(text), 2, 10), SGD(model, 1e36)).run(5))


def read_latin(folder):
    path = folder / "latin.txt"
    path.write_bytes("café au lait\n".encode("latin-1"))
    fr.data.read_text([path])


def load_zeros(folder):
    path = folder / "bad.safetensors"
    path.write_bytes(bytes(10))
    fr.Sequential.load(path)


def write_what_another_writes(folder):
    with hold_output(folder / "model.safetensors"), hold_output(folder / "model.safetensors"):
        pass


def is_quoted(message):
    """Return whether the page has the message; where the page writes ..., anything may stand."""
    patterns = (re.escape(one).replace(re.escape("..."), ".*") for one in QUOTED)
    return any(re.search(pattern, message, flags=re.DOTALL) for pattern in patterns)


@pytest.mark.parametrize(
    "call",
    [
        lambda: lstm()(X.astype(np.float64)),
        lambda: lstm()(X[..., :7]),
        lambda: lstm()(np.array([[9]])),
        lambda: lstm()(X, lengths=[6, 2]),
        lambda: lstm()(np.ma.masked_array(X)),
        lambda: fr.softmax_cross_entropy(np.zeros((2, 4), np.float32), [1, 4]),
        lambda: fr.LSTM(100_000, 1_000_000),
        lambda: fr.Vocabulary.from_text("abc").encode("xyz"),
        write_a_parameter,
        write_what_the_tape_keeps,
        diverge,
    ],
)
def test_a_message_of_a_call_is_quoted_as_it_appears(call):
    with pytest.raises((TypeError, ValueError, MemoryError, TrainingDiverged)) as raised:
        call()
    assert is_quoted(f"{raised.typename}: {raised.value}"), raised.value


@pytest.mark.parametrize("call", [read_latin, load_zeros, write_what_another_writes])
def test_a_message_about_a_file_is_quoted_as_it_appears(call, tmp_path):
    with pytest.raises(ValueError, match=r"latin|safetensors") as raised:
        call(tmp_path)
    message = f"{raised.typename}: {raised.value}".replace(f"{tmp_path}{os.sep}", "")
    assert is_quoted(message), message


def test_the_warning_of_a_file_system_is_quoted_as_it_appears(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(output_files, "file_system_of", lambda path: "cifs")
    with click.Context(click.Command("train")):
        OutputFiles(str(tmp_path / "model.safetensors")).check([])
    message = capsys.readouterr().err
    assert is_quoted(message), message


@pytest.mark.parametrize(("name", "value"), [("FASTRNN_ISA", "sse9"), ("FASTRNN_NUM_THREADS", "abc")])
def test_a_message_at_import_is_quoted_as_it_appears(name, value):
    environment = {**os.environ, "PYTHONPATH": str(Path(fr.__file__).parents[1]), name: value}
    command = [sys.executable, "-c", "import fastrnn; fastrnn.isa()"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    message = run.stderr.splitlines()[-1]
    assert is_quoted(message), message


def test_the_message_of_a_set_that_the_cpu_lacks_is_quoted_as_it_appears(monkeypatch):
    names = ["avx512", "avx2", "baseline"]
    monkeypatch.setattr(_dispatch._cpu, "supported", lambda: names)
    monkeypatch.setattr(_dispatch, "available_isas", lambda: names)
    monkeypatch.setenv("FASTRNN_ISA", "avx512_bf16")
    with pytest.raises(ImportError) as raised:
        _dispatch._choose()
    assert is_quoted(f"{raised.typename}: {raised.value}"), raised.value


def test_a_message_that_is_not_on_the_page_is_not_quoted():
    assert not is_quoted("ValueError: x: expected [T, N, 8], got nothing")
