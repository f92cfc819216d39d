"""Every script of `examples/` runs, with data that it makes: ``--small`` is a run of a few seconds."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

FOLDER = Path(__file__).resolve().parents[1] / "examples"
IN_PYTORCH = FOLDER / "pytorch_language_model.py"
# Without what scripts share, which is no script.
EXAMPLES = sorted(
    path
    for path in FOLDER.rglob("*.py")
    if "__main__" in path.read_text(encoding="utf-8") and path != IN_PYTORCH
)


def test_there_are_examples():
    assert {path.parent.name for path in EXAMPLES} >= {"examples", "long_term"}


def run(path, folder, *options):
    # The package that this process has imported, in a folder of its own for what the script writes.
    package = str(Path(fastrnn.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(path), "--small", *options],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")))
def test_the_example_runs(path, tmp_path):
    result = run(path, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


SEEDED = [
    path
    for path in EXAMPLES
    if re.search(r'"--seeds", type=int, default|compare\.parser', path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("path", SEEDED, ids=lambda path: path.stem)
def test_no_seeds_are_refused(path, tmp_path):
    assert len(SEEDED) > 8
    result = run(path, tmp_path, "--seeds", "0")
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1].endswith("--seeds: expected at least 1")


def test_networks_compared_at_equal_parameters_are_drawn(tmp_path, matplotlib):
    options = ("--networks", "vanilla", "LSTM", "ESN", "--plot", "picture.png")
    result = run(FOLDER / "long_term" / "temporal_order.py", tmp_path, *options)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    parameters = [int(line.split()[2]) for line in result.stdout.splitlines()[2:]]
    assert len(parameters) == 3
    assert all(330 < count <= 400 for count in parameters)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_example_in_pytorch_has_equal_losses_with_either_module(monkeypatch, capsys, torch, cell):
    """Run it in this process, which has imported PyTorch."""
    threads, losses = (torch.get_num_threads(), fastrnn.get_num_threads()), []
    for module in ([], ["--torch"]):
        options = ["--small", "--cell", cell, "--dropout", "0", *module]
        monkeypatch.setattr(sys, "argv", [str(IN_PYTORCH), *options])
        runpy.run_path(str(IN_PYTORCH), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        losses.append([float(line.split("loss ")[1].split(",")[0]) for line in lines])
    torch.set_num_threads(threads[0])
    fastrnn.set_num_threads(threads[1])
    assert len(losses[0]) > 10
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][-1] < losses[0][0]
