"""Whole programs as users of several kinds write them: they run, and strict type checkers find nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn
from type_completeness import LEAST, completeness

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "user_programs"
PRINTED = {
    "char_rnn": "loss fell: True; wrote 40 characters; after t comes 'h'",
    "coming_from_pytorch": "loss fell: True; (64, 16); 3456",
    "low_precision": "loss fell: True; kept: True; smaller: True; as in one call: (True, True)",
    "on_device_stream": "the same after a restart: True; as in one call: True; 2 parts; (2, 8)",
    "own_network": "the loss fell: True; (1, 10, 22, 3, 1, 2)",
    "researcher": "gradients agree: True; (7, 2, 5); (7, 2, 3); (1, 2, 5)",
    "resumed_training": "'to be' of 15 symbols; (2, 1, 15)",
    "scikit_learn": "accuracy: True; (40, 2); the same after loading: True; (12,)",
}
needs_pyright = pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")


def run(*command):
    """Run a program with the package that this process tests; return what it printed."""
    home = str(Path(fastrnn.__file__).parents[1])
    mypy_path = {} if "site-packages" in home else {"MYPYPATH": home}  # mypy finds what is installed itself
    environment = {**os.environ, **mypy_path, "PYTHONPATH": home}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mypy(path):
    """Run mypy's strict checks, without a configuration, which a user does not have."""
    pytest.importorskip("mypy")
    return run(sys.executable, "-m", "mypy", "--strict", "--config-file=", str(path))


def test_every_program_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_a_program_runs_without_a_warning(name):
    assert run(sys.executable, "-W", "error", str(FOLDER / f"{name}.py")).strip() == PRINTED[name]


def test_mypy_finds_nothing_in_them():
    assert "Success" in mypy(FOLDER)


@needs_pyright
def test_pyright_finds_nothing_in_them():
    run("pyright", "--pythonpath", sys.executable, str(FOLDER))


@needs_pyright
def test_type_checkers_know_the_types_of_nearly_all_public_symbols():
    assert completeness() >= LEAST


def test_a_wrong_argument_is_an_error_for_the_type_checker(tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text(
        "import numpy as np\n"
        "import fastrnn as fr\n"
        "lstm, linear = fr.LSTM(2, 3), fr.Linear(3, 1)\n"
        "x = np.zeros((4, 5, 2), np.float32)\n"
        "lstm(x, hx=None)\n"
        "lstm.zero_gard()\n"
        "y, state, tape = lstm.forward(x)\n"
        "y, tape = linear.forward(y)\n"
        "linear.backward(linear.forward(y)[1], y, need_dx=False).shape\n"
    )
    with pytest.raises(AssertionError) as caught:
        mypy(program)
    found = [line.split(":")[1] for line in str(caught.value).splitlines() if ": error:" in line]
    assert found == ["5", "6", "8", "9"]
