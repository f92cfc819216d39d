"""The README's Python runs unchanged, and its commands exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

# The commands run in other folders, where a relative PYTHONPATH would not resolve.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fastrnn.__file__).parents[1])}
ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
SHELL_BLOCKS = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
FASTRNN_LINES = sorted(
    {
        line.strip().removeprefix("$ ")
        for block in SHELL_BLOCKS
        for line in block.replace("\\\n", " ").splitlines()
    }
)
FASTRNN_LINES = [line for line in FASTRNN_LINES if line.startswith("fastrnn ")]


def test_the_readme_shows_python_and_commands():
    assert PYTHON_BLOCKS
    assert FASTRNN_LINES


@pytest.mark.parametrize("number", range(len(PYTHON_BLOCKS)))
def test_a_python_block_runs(number, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PYTHON_BLOCKS[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("line", FASTRNN_LINES)
def test_a_command_and_its_options_exist(line):
    words = [word for word in line.partition("#")[0].split() if word]
    command = [sys.executable, "-m", *words[:2], "--help"]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    known = set(re.findall(r"(?<![\w-])--[\w-]+", run.stdout))
    assert options <= known
