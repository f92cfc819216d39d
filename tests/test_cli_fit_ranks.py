"""``mpiexec -n 2 fastrnn fit``: the bits of one process, what is printed once, and how all end."""

import json

import numpy as np
import pytest

import fastrnn as fr
from test_cli import run_well

FIT = ["-m", "fastrnn", "fit", "classify", "names.csv", "--out"]
SMALL = ["--hidden-size", "8", "--epochs", "3", "--dropout", "0.2", "--batch-size", "24"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = zip(*fr.data.load_names(), strict=True)
    lines = [f"{name},{language}\n" for name, language in rows]
    (tmp_path / "names.csv").write_text("".join(["name,language\n", *lines]), encoding="utf-8")
    return tmp_path


def parameters(path):
    return fr.models.SequenceClassifier.load(path).network_.parameters.flat.copy()


def in_program(start, *options):
    """Return a program that runs the command after some lines of its own."""
    command = ["fastrnn", *FIT[2:], "m.safetensors", *SMALL, *options]
    return f"{start}sys.argv = {command}\nrunpy.run_module('fastrnn', run_name='__main__')"


def test_the_command_has_the_bits_of_one_process_and_rank_0_alone_writes(mpiexec, folder):
    run_well(*FIT[2:], "one.safetensors", *SMALL, "--shards", "4")
    result = mpiexec(2, [*FIT, "two.safetensors", *SMALL, "--shards", "4", "--json"])
    assert result.returncode == 0, result
    assert json.loads(result.stdout)["rows"] == 720
    assert not result.stderr
    np.testing.assert_array_equal(parameters("one.safetensors"), parameters("two.safetensors"))
    assert {path.name for path in folder.iterdir()} == {
        "names.csv", "one.safetensors", "one.config.toml", "two.safetensors", "two.config.toml",
    }  # fmt: skip
    assert "shards = 4" in (folder / "two.config.toml").read_text()


def test_the_shards_are_kept_for_a_second_training_with_the_same_options(mpiexec, folder):
    result = mpiexec(2, [*FIT, "two.safetensors", *SMALL])
    assert result.stdout.splitlines()[-1] == "saved two.safetensors, and its options in two.config.toml"
    run_well(*FIT[2:], "one.safetensors", "--config", "two.config.toml")
    np.testing.assert_array_equal(parameters("one.safetensors"), parameters("two.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["names.csv", "--out", "names.csv"], "--out"),
        (["names.csv", "--out", "m.safetensors", "--shards", "3"], "--shards: 2 processes do not divide"),
        (["names.csv", "--out", "m.safetensors", "--y", "tongue"], "--y"),
        (["names.csv", "--out", "m.safetensors", "--hidden-size", "x"], "--hidden-size"),
        (["absent.csv", "--out", "m.safetensors"], "absent.csv"),
    ],
)
def test_bad_input_is_reported_once_and_ends_both_with_code_2(mpiexec, folder, arguments, message):
    result = mpiexec(2, [*FIT[:4], *SMALL, *arguments], timeout=60)
    assert result.returncode == 2, result
    assert result.stderr.count("error: ") == 1
    assert message in result.stderr
    assert not (folder / "m.safetensors").exists()


def test_all_processes_read_the_standard_input_of_the_launcher(mpiexec, folder):
    text = (folder / "names.csv").read_text(encoding="utf-8")
    run_well(*FIT[2:], "one.safetensors", *SMALL, "--shards", "2")
    arguments = [*FIT[:4], "-", "--format", "csv", "--out", "two.safetensors", *SMALL]
    result = mpiexec(2, arguments, text=text, timeout=60)
    assert result.returncode == 0, result
    np.testing.assert_array_equal(parameters("one.safetensors"), parameters("two.safetensors"))


def test_data_that_differ_on_a_process_are_refused(mpiexec, folder):
    (folder / "other").mkdir()
    text = (folder / "names.csv").read_text()
    (folder / "other" / "names.csv").write_text(text.replace("Krol", "Kral"))
    start = "import os, runpy, sys; from mpi4py import MPI\nif MPI.COMM_WORLD.rank: os.chdir('other')\n"
    result = mpiexec(2, ["-c", in_program(start)])
    assert result.returncode == 2, result
    assert "X: expected the same on all ranks, got another on rank 1" in result.stderr


def test_options_that_only_one_process_could_not_start_with_are_refused(mpiexec, folder):
    program = in_program("import runpy, sys; from mpi4py import MPI\n")
    more = "sys.argv += ['--wire', 'bfloat16', '--reduction', 'fastest'] * MPI.COMM_WORLD.rank"
    result = mpiexec(2, ["-c", program.replace("\nrunpy.", f"\n{more}\nrunpy.")], timeout=30)
    assert result.returncode == 2, result
    assert "reduction: ordered on rank 0 " in result.stderr


def test_no_memory_on_one_process_ends_both_with_its_message(mpiexec, folder):
    fail = """
import runpy, sys
from mpi4py import MPI
from fastrnn.models.classifier_network import PooledNetwork
def fail(self, batch, scale=1.0):
    raise MemoryError("no 8 GB")
if MPI.COMM_WORLD.rank == 1:
    PooledNetwork.loss_and_gradients = fail
"""
    result = mpiexec(2, ["-c", in_program(fail)], timeout=60)
    assert result.returncode == 1, result
    assert "rank 1 on " in result.stderr
    assert "not enough memory: no 8 GB" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "m.safetensors").exists()


def test_a_signal_to_one_process_ends_the_command_with_the_model_of_the_epochs_before(mpiexec, folder):
    stop = """
import os, runpy, signal, sys
from mpi4py import MPI
from fastrnn.models.base import fitting
update = fitting.clipped_update
def watched(optimizer, loss, step, *more):
    if MPI.COMM_WORLD.rank == 1 and step == 65:
        os.kill(os.getpid(), signal.SIGUSR1)
    return update(optimizer, loss, step, *more)
fitting.clipped_update = watched
"""
    result = mpiexec(2, ["-c", in_program(stop, "--epochs", "9", "--json")])
    assert result.returncode == 130, result
    report = json.loads(result.stdout)
    assert report["interrupted"]
    assert report["epochs"] == 2  # of 30 steps
    assert result.stderr.count("training interrupted after epoch 2 of 9") == 1
    assert len(parameters("m.safetensors")) == report["parameters"]
