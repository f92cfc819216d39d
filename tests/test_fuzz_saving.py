"""Faults while a checkpoint is saved, in the short form of `fuzz.saving`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn
from fuzz.saving import FAULTS

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="kills, limits and /proc are Linux's")
@pytest.mark.parametrize("faults", FAULTS)
def test_no_checkpoint_is_lost_by(faults):
    package = str(Path(fastrnn.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.saving", "--faults", faults, "--count", "40"],
        env={**os.environ, "PYTHONPATH": package},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    met = int(result.stdout.split()[1])
    assert met > 0, result.stdout
