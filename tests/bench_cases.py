"""Shared by the tests of ``fastrnn bench`` and of the benchmark suite."""

import os
import sys
from pathlib import Path

import fastrnn

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # benchmarks/ is not installed

from benchmarks.load import spinning as spinning  # noqa: E402

# A process in which fastrnn returns a wrong answer.
WRONG_WORKER = """
import sys
from fastrnn.cli.benchmark import worker
from fastrnn.cli.benchmark.peers import native
from fastrnn.cli.benchmark.process import serve
from fastrnn.cli.benchmark.task import Task

right = native.prepare

def wrong(problem):
    task = right(problem)
    def answer(result):
        found = task.answer(result)
        found["y"] = found["y"] + 0.25 * (found["y"] == found["y"].flat[0])
        return found
    return Task(task.run, answer, task.before)

native.prepare = wrong
"""


def add_search_path(folder, monkeypatch):
    """Make a measuring process find modules in a folder first, then this package and the suite."""
    places = [str(folder), str(Path(fastrnn.__file__).parents[1]), str(ROOT)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    return folder


def hide_jax(folder):
    """Make a measuring process find a JAX that cannot be imported."""
    (folder / "jax.py").write_text("raise ImportError('no JAX here')\n")
