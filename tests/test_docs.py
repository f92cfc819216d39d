"""The documentation's references to tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TABLE = TESTS.parent / "docs" / "layers.md"
NAME = re.compile(r"`(test_\w+\.py)(::test_\w+(?:\[[^`]*\])?)`")


def test_every_test_that_the_table_of_layers_names_exists():
    named = NAME.findall(TABLE.read_text())
    assert len(named) > 150
    files = sorted({str(TESTS / file) for file, _ in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-o", "addopts=", *files]
    options = ["--import-mode=importlib", f"--rootdir={TESTS.parent}"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    run = subprocess.run(
        [*command, *options], capture_output=True, text=True, cwd=TESTS.parent, env=environment
    )
    known = {line.rpartition("/")[2] for line in run.stdout.splitlines() if "::" in line}
    missing = [f"{file}{test}" for file, test in named if f"{file}{test}" not in known]
    # Without the package onnx its file is not collected.
    optional = [name for name in missing if name.startswith("test_onnx_nodes.py")]
    collected = any(name.startswith("test_onnx_nodes.py") for name in known)
    assert sorted(set(missing) - set([] if collected else optional)) == []
