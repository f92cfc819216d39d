"""The bars of commands that read long inputs: on a terminal, with the speed, and nowhere else."""

import os
import pty
import re
import sys

import numpy as np
import pytest

from fastrnn.cli import main, reading_progress
from fastrnn.cli.reading_progress import in_parts
from test_cli import SMALL, run, run_well
from test_cli_streams import read_all
from training_cases import TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model of a stream, one of sentences, a classifier, and what they read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("models"))
        (folder / "text.txt").write_text(TEXT)
        (folder / "names.csv").write_text("name,kind\n" + "anna,a\nbobo,o\n" * 40)
        for name, more in (("stream", []), ("lines", ["--sentences"])):
            few = [*SMALL, "--steps", 3, "--sample-every", 0]
            run_well("train", "text.txt", "--out", f"{name}.safetensors", *more, *few)
        fit = ["--epochs", 1, "--hidden-size", 4, "--out", "names.safetensors"]
        run_well("fit", "classify", "names.csv", *fit)
        yield folder


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that runs the program and returns what it shows at a terminal as standard error."""
    monkeypatch.setattr(reading_progress, "_DELAY", 0.0)

    def shown(*arguments):
        reader, writer = pty.openpty()
        with monkeypatch.context() as patch, os.fdopen(writer, "w") as stream:
            patch.setattr(sys, "stderr", stream)
            with pytest.raises(SystemExit) as ended:
                main(list(arguments), prog_name="fastrnn")
        assert ended.value.code == 0
        return read_all(reader).decode()

    return shown


READERS = [
    (("eval", "stream.safetensors", "text.txt"), "tokens"),
    (("eval", "lines.safetensors", "text.txt"), "tokens"),
    (("score", "stream.safetensors", *["green bottles hanging on the wall"] * 200), "tokens"),
    (("predict", "names.safetensors", "names.csv", "--proba"), "rows"),
]


@pytest.mark.parametrize(("arguments", "unit"), READERS)
def test_a_terminal_shows_how_far_and_how_fast_a_command_reads(
    folder, terminal, capsys, monkeypatch, arguments, unit
):
    monkeypatch.chdir(folder)
    bars = terminal(*arguments)
    assert re.search(rf"\d+% ?\|.*\| [\d.k]+/[\d.k]+ \[\d\d:\d\d < [\d:?]+\] +[\d.?k]+ ?{unit}/s", bars), bars
    assert re.search(r"\r *\r?$", bars)  # the bar is gone
    assert capsys.readouterr().out == run_well(*arguments).stdout  # and the results are the same


@pytest.mark.parametrize(("arguments", "unit"), READERS)
def test_there_is_no_bar_for_a_program_and_none_for_what_is_quick(
    folder, terminal, monkeypatch, arguments, unit
):
    monkeypatch.chdir(folder)
    assert terminal(*arguments, "--json") == ""
    assert run(*arguments).stderr == ""
    monkeypatch.setattr(reading_progress, "_DELAY", 60.0)
    assert terminal(*arguments).strip() == ""


def test_a_bad_row_has_its_number_in_the_whole():
    def predict(rows):
        for number, row in enumerate(rows):
            if row < 0:
                raise ValueError(f"X[{number}]: expected more")
        return np.array(rows)

    with pytest.raises(ValueError, match=r"X\[70\]"):
        in_parts(predict, [*range(70), -1, *range(20)], shown=True)
    rows = list(range(90))
    assert in_parts(predict, rows, shown=True).tolist() == rows
