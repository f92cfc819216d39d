"""Whole programs as users write them, with types: they run, and strict type checkers find nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn
from type_completeness import LEAST, completeness

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = sorted((ROOT / "tests" / "user_programs").glob("*.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fastrnn.__file__).parents[1])}
needs_pyright = pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")


def output_of(*command):
    run = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_runs(path):
    assert output_of(sys.executable, str(path)).strip()


def test_mypy_finds_nothing_in_them():
    pytest.importorskip("mypy")
    output_of(sys.executable, "-m", "mypy", "--strict", *map(str, PROGRAMS))


@needs_pyright
def test_pyright_finds_nothing_in_them():
    output_of("pyright", *map(str, PROGRAMS))


@needs_pyright
def test_type_checkers_know_the_types_of_nearly_all_public_symbols():
    assert completeness() >= LEAST
