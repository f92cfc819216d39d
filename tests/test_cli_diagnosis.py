"""``fastrnn train`` and its diagnoses: in the log, on the terminal, as JSON, and after a restart."""

import json
import shutil

import pytest

from fastrnn.train import gradient_watch, load_checkpoint
from test_cli import SMALL, folder, log_of, run_well

__all__ = ["folder"]  # a fixture

# A vanilla network without clipping whose gradient's norm rises: to 1.5 times the usual at step 14.
RISING = ["--cell", "rnn", "--optimizer", "sgd", "--learning-rate", "1", "--clip", "0", "--eval-every", "10"]


@pytest.fixture
def touchy(monkeypatch):
    """Warn of a norm of 1.5 times the usual already: that comes at the same step on every machine."""
    monkeypatch.setattr(gradient_watch, "_SPIKE", 1.5)


def diagnosed(log):
    return [record["step"] for record in log if "diagnosis" in record]


def comparable(log):
    """The records without what differs between two equal runs."""
    return [{**record, "tokens_per_second": None, "seconds": None, "settings": None} for record in log]


@pytest.mark.parametrize(
    ("options", "steps"),
    [([], [1, 10, 20]), (["--diagnose-every", 7], [1, 7, 14, 21]), (["--diagnose-every", 0], [])],
)
def test_the_log_has_a_diagnosis_with_each_evaluation_or_as_often_as_asked(folder, options, steps):
    run_well(
        "train", "text.txt", *SMALL, "--steps", 24, "--eval-every", 10, *options, "--out", "m.safetensors"
    )
    log = log_of(folder / "m.jsonl")
    assert len(log) == 24
    assert diagnosed(log) == steps
    for record in log:
        if "diagnosis" in record:
            diagnosis = record["diagnosis"]
            assert set(diagnosis["update_ratios"]) == set(load_checkpoint("m.safetensors").model.parameters)
            assert diagnosis["lags"][-1] == 20
            assert 1.0 < diagnosis["horizon"] <= 20.0
    assert "warnings" not in log[0]


def test_a_warning_is_a_line_on_the_terminal_and_one_in_the_log(folder, touchy):
    command = ["train", "text.txt", *SMALL, *RISING, "--steps", 30, "--out", "m.safetensors"]
    result = run_well(*command, "--json")
    lines = (folder / "m.jsonl").read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines) if "kind" in json.loads(line)]
    warning = json.loads(lines[number])
    step = json.loads(lines[number - 1])["step"]
    assert lines[number].startswith('{"kind": "warning", "about": "exploding_gradients", "step": ')
    assert warning["step"] == step
    assert len(lines) == 31
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert line.startswith(f"warning: step {step}: gradients explode: their norm is ")
    assert ", and nothing clips them; try clipping the gradient's norm, a lower learning rate, " in line
    assert json.loads(result.stdout)["warnings"] == [warning]
    result = run_well(*command, "--diagnose-every", 0, "--overwrite")
    assert "warning" not in result.stderr
    assert len(log_of(folder / "m.jsonl")) == 30


def test_a_training_in_parts_has_the_log_of_a_whole_one_and_warns_once(folder, touchy):
    common = ["train", "text.txt", *SMALL, *RISING]
    run_well(*common, "--steps", 60, "--out", "whole.safetensors")
    whole = log_of(folder / "whole.jsonl")
    (step,) = [record["step"] for record in whole if "kind" in record]
    for cut in (step - 1, step, step + 1):
        run_well(*common, "--steps", cut, "--out", "parts.safetensors", "--overwrite")
        result = run_well("train", "--resume", "parts.safetensors", "--steps", 60)
        assert comparable(log_of(folder / "parts.jsonl")) == comparable(whole)
        assert ("warning" in result.stderr) == (cut < step)


def test_a_restart_takes_back_the_warnings_after_the_checkpoint_and_no_others(folder, touchy):
    common = ["train", "text.txt", *SMALL, *RISING]
    run_well(*common, "--steps", 20, "--out", "m.safetensors")
    shutil.copy("m.safetensors", "kept.safetensors")
    run_well("train", "--resume", "m.safetensors", "--steps", 30)
    shutil.copy("kept.safetensors", "m.safetensors")  # as if the process had been killed
    expected = comparable(log_of(folder / "m.jsonl"))
    own = [record for record in expected if "kind" in record]
    assert [record["step"] <= 20 for record in own] == [True]
    with (folder / "m.jsonl").open("a") as log:
        log.write(json.dumps({**own[0], "step": 25}) + "\n")
        log.write(json.dumps({**own[0], "step": 26, "about": "vanishing_gradients"}) + "\n")
    run_well("train", "--resume", "m.safetensors", "--steps", 30)
    assert comparable(log_of(folder / "m.jsonl")) == expected


def test_a_restart_can_change_how_often_is_diagnosed(folder):
    run_well("train", "text.txt", *SMALL, "--steps", 10, "--eval-every", 5, "--out", "m.safetensors")
    run_well("train", "--resume", "m.safetensors", "--steps", 20, "--diagnose-every", 3)
    assert diagnosed(log_of(folder / "m.jsonl")) == [1, 5, 10, 12, 15, 18]
