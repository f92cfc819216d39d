"""Every script of `examples/` runs, with data that it makes: ``--small`` is a run of a few seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

FOLDER = Path(__file__).resolve().parents[1] / "examples"
# Without what scripts share, which is no script.
EXAMPLES = sorted(path for path in FOLDER.rglob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


def test_there_are_examples():
    assert {path.parent.name for path in EXAMPLES} >= {"examples", "long_term"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")))
def test_the_example_runs(path, tmp_path):
    # The package that this process has imported, in a folder of its own for what the script writes.
    package = str(Path(fastrnn.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path), "--small"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
