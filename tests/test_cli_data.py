"""The data sets that come with the package, as files: listed, written, and trained on as the program says."""

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastrnn.data.shipped import DATA_SETS
from test_cli import run, run_well

NAMES = "name,kind\n" + "anna,a\nbobo,o\n" * 6


@dataclass(frozen=True)
class StandIn:
    name: str = "vowels"
    summary: str = "names and their vowel"
    task: str = "classify"
    origin: str = "made up"
    files: tuple = ("vowels.csv", "vowels-valid.csv")
    command: str = "fastrnn fit classify vowels.csv --valid vowels-valid.csv --out vowels.safetensors"

    def write(self, folder=".", *, overwrite=False):
        for name in self.files:
            Path(folder, name).write_text(NAMES)
        return [Path(folder, name) for name in self.files]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stand_in(folder, monkeypatch):
    sets = {"vowels": StandIn(), "t": StandIn("t", "a text", "text")}
    monkeypatch.setattr("fastrnn.cli.data.DATA_SETS", sets)
    return folder


def typed(line):
    """Run a line that a command printed, with few epochs."""
    program, *words = shlex.split(line)
    assert program == "fastrnn"
    kept = [w for k, w in enumerate(words) if not {"--steps", "--epochs"} & {w, words[max(k - 1, 0)]}]
    few = {"fit": ["--epochs", "1"], "train": ["--steps", "2"]}.get(words[0])
    return run_well(*words) if few is None else run_well(*kept, *few)


def test_data_lists_each_set_in_a_line(stand_in):
    lines = run_well("data").stdout.splitlines()
    assert lines[:2] == ["vowels  names and their vowel", "t       a text"]
    assert lines[2].endswith("fastrnn data vowels")
    sets = json.loads(run_well("data", "--json").stdout)["data_sets"]
    assert sets[0]["files"] == ["vowels.csv", "vowels-valid.csv"]


@pytest.mark.parametrize("options", [[], ["--out", "new/my folder"]])
def test_what_data_prints_runs_as_typed(stand_in, options):
    shown = run_well("data", "vowels", *options).stdout
    lines = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
    assert len(lines) == 2
    typed(lines[0])
    assert "accuracy" in typed(lines[1]).stderr
    assert Path("vowels-predictions.csv").read_text().startswith("name,kind,prediction\n")
    assert "names and their vowel; made up" in shown


def test_files_that_exist_are_kept_unless_overwrite_is_given(stand_in):
    (stand_in / "vowels-valid.csv").write_text("mine")
    result = run("data", "vowels")
    assert (result.exit_code, sorted(os.listdir())) == (2, ["vowels-valid.csv"])
    assert (
        "vowels-valid.csv: already there; to replace it, type: fastrnn data vowels --overwrite"
        in result.stderr
    )
    paths = json.loads(run_well("data", "vowels", "--overwrite", "--json").stdout)["files"]
    assert [Path(path).read_text() for path in paths] == [NAMES, NAMES]


def test_an_unknown_name_leads_to_the_names_there_are(stand_in):
    assert "did you mean vowels?" in run("data", "VOWELS").stderr
    result = run("data", "vowel")
    assert result.exit_code == 2
    assert "NAME: expected one of vowels, t, got 'vowel'; did you mean vowels?" in result.stderr


@pytest.mark.parametrize("name", ["cycles", "reber"])
def test_what_is_the_loss_is_not_shown_as_another_measure(folder, name):
    line = json.loads(run_well("data", name, "--json").stdout)["commands"][0]
    shown = typed(line).stdout
    assert re.search(r" 1 epoch, .* validation loss \d+\.\d+\n", shown), shown


def test_every_shipped_set_trains_and_is_used_as_the_program_says(folder):
    for name in DATA_SETS:
        for line in json.loads(run_well("data", name, "--json").stdout)["commands"]:
            typed(line)
