"""Whole programs of five kinds of users: they run, and pass mypy's strict checks without a cast."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn as fr

FOLDER = Path(__file__).parent / "typed_programs"
PRINTED = {
    "char_rnn": "loss fell: True; wrote 40 characters; after t comes 'h'",
    "coming_from_pytorch": "loss fell: True; (64, 16); 3456",
    "on_device_stream": "the same after a restart: True; as in one call: True; 2 parts; (2, 8)",
    "researcher": "gradients agree: True; (7, 2, 5); (7, 2, 3); (1, 2, 5)",
    "scikit_learn": "accuracy: True; (40, 2); the same after loading: True; (12,)",
}


def run(*command):
    """Run Python, with the package that this process tests; return what it printed."""
    home = str(Path(fr.__file__).parents[1])
    mypy_path = {} if "site-packages" in home else {"MYPYPATH": home}  # mypy finds what is installed itself
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        env={**os.environ, **mypy_path},
        cwd=FOLDER.parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_program_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_a_users_program_runs_without_a_warning(name):
    assert run("-W", "error", str(FOLDER / f"{name}.py")).strip() == PRINTED[name]


def test_the_programs_pass_strict_checks_of_types():
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    assert "Success" in run("-m", "mypy", "--strict", "--config-file=", str(FOLDER))


def test_a_wrong_argument_is_an_error_for_the_type_checker(tmp_path):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
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
        run("-m", "mypy", "--strict", "--config-file=", str(program))
    found = [line.split(":")[1] for line in str(caught.value).splitlines() if ": error:" in line]
    assert found == ["5", "6", "8", "9"]
