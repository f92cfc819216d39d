"""No command overwrites a file unasked: what it says instead, and what --overwrite does."""

import json
import re
import shlex
import time

import pytest

from fastrnn.train import load_checkpoint
from test_cli import SMALL, assert_one_line, folder, log_of, model, run, run_well

__all__ = ["folder", "model"]  # fixtures

TRAIN = ["train", "text.txt", *SMALL, "--steps", "3"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines_to_type(message):
    """Return the command lines in an error message, as the shell would split them."""
    return [shlex.split(line) for line in re.findall(r"type: fastrnn ([^;\n]+)", message)]


@pytest.mark.parametrize("options", [["--out", "m.safetensors"], []])
def test_train_refuses_files_that_exist_and_both_lines_that_it_names_work(folder, options):
    run_well(*TRAIN, *options)
    before = contents(folder)
    name = options[-1] if options else "fastrnn-model.safetensors"
    stem = name.removesuffix(".safetensors")
    result = run(*TRAIN, *options)
    names = ", ".join(
        f"{stem}{end}" for end in (".safetensors", ".best.safetensors", ".jsonl", ".config.toml")
    )
    assert_one_line(result, 2, f"--out: {re.escape(names)}: already there; to continue its training, type: ")
    assert contents(folder) == before
    resume, overwrite = lines_to_type(result.stderr)
    assert resume == ["train", "--resume", name]
    assert overwrite == [*TRAIN, *options, "--overwrite"]
    run_well(*resume, "--steps", 5)
    assert load_checkpoint(name).training.values["step"] == 5
    run_well(*overwrite)
    assert load_checkpoint(name).training.values["step"] == 3
    assert [record["step"] for record in log_of(folder / f"{stem}.jsonl")] == [1, 2, 3]


@pytest.mark.parametrize("name", ["m.best.safetensors", "m.jsonl", "m.config.toml"])
def test_train_refuses_to_overwrite_the_best_model_and_the_log_of_another(folder, name):
    (folder / name).write_text("mine")
    result = run(*TRAIN, "--out", "m.safetensors")
    assert_one_line(result, 2, f"--out: {re.escape(name)}: already there; to replace it, type: fastrnn train")
    assert "--resume" not in result.stderr  # there is nothing to resume
    assert (folder / name).read_text() == "mine"


def test_a_resumed_training_replaces_its_own_files_but_no_others(model, folder):
    run_well(*TRAIN, "--out", "n.safetensors")
    before = contents(folder)
    more = ["train", "--resume", model, "--steps", 35]
    result = run(*more, "--out", "n.safetensors")
    assert_one_line(result, 2, r"--out: n\.safetensors, .*n\.config\.toml: already there; to replace them")
    assert contents(folder) == before
    run_well(*lines_to_type(result.stderr)[0])
    assert load_checkpoint("n.safetensors").training.values["step"] == 35
    run_well(*more, "--out", f"../{folder.name}/{model}")


def test_the_line_to_type_is_quoted_and_has_the_option_before_two_dashes(folder):
    (folder / "my text.txt").write_text((folder / "text.txt").read_text())
    run_well(*TRAIN, "--out", "m.safetensors")
    result = run("train", "--out", "m.safetensors", *SMALL, "--steps", 2, "--", "my text.txt")
    run_well(*lines_to_type(result.stderr)[1])
    assert load_checkpoint("m.safetensors").training.values["step"] == 2


def commands(folder, model):
    """Return a command line without its output for each command that writes one file."""
    rows = "".join(f"{word},{word[1]}\n" for word in ["lili", "mumu"] * 5)
    (folder / "words.csv").write_text("word,vowel\n" + rows)
    fit = ["fit", "classify", "words.csv", "--hidden-size", "4", "--epochs", "1", "--out"]
    run_well(*fit, "fitted.safetensors")
    return {
        "fit": fit,
        "predict": ["predict", "fitted.safetensors", "words.csv", "--out"],
        "inspect": ["inspect", model, "--text", "text.txt", "--length", "50", "--out"],
        "convert": ["convert", "m.safetensors"],
    }


@pytest.mark.parametrize("name", ["fit", "predict", "inspect", "convert"])
def test_a_command_refuses_an_output_that_exists_until_it_is_told_to_replace_it(model, folder, name):
    command = commands(folder, model)[name]
    output = "out.html" if name == "inspect" else "out.safetensors"
    (folder / output).write_text("mine")
    began = time.monotonic()
    result = run(*command, output)
    assert time.monotonic() - began < 5.0  # before the work, not after it
    assert_one_line(result, 2, f"{re.escape(output)}: already there; to replace it, type: fastrnn {name}")
    assert (folder / output).read_text() == "mine"
    [again] = lines_to_type(result.stderr)
    assert again == [*map(str, command), output, "--overwrite"]
    run_well(*again)
    assert (folder / output).read_bytes() != b"mine"


def test_json_says_it_on_standard_error_alone(model):
    result = run(*TRAIN, "--out", model, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    summary = run_well(*TRAIN, "--out", model, "--json", "--overwrite")
    assert json.loads(summary.stdout)["step"] == 3


def test_no_best_model_of_another_training_stays_beside_the_one_that_replaces_it(model, folder):
    assert (folder / "m.best.safetensors").exists()
    run_well(*TRAIN, "--valid-fraction", "0", "--out", model, "--overwrite")
    assert not (folder / "m.best.safetensors").exists()


def test_a_training_resumed_into_other_files_names_the_best_model_where_it_is(model, folder):
    run_well(*TRAIN, "--out", "n.safetensors", "--seed", "5")
    best = (folder / "m.best.safetensors").read_bytes()
    worse = ["--learning-rate", "9", "--steps", "35", "--out", "n.safetensors", "--overwrite", "--json"]
    assert (
        json.loads(run_well("train", "--resume", model, *worse).stdout)["best_model"] == "m.best.safetensors"
    )
    assert not (folder / "n.best.safetensors").exists()
    assert (folder / "m.best.safetensors").read_bytes() == best
