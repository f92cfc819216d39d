"""The option --config and the file of options beside each model: what they hold, and what they refuse."""

import json
import os
import pty

import click
import pytest

import fastrnn as fr
from fastrnn.cli.config import option_names
from fastrnn.cli.fit import command as fit_command
from fastrnn.cli.settings import TrainingSettings
from fastrnn.cli.toml_files import as_toml, read_toml
from fastrnn.cli.train import command as train_command
from fastrnn.train import load_checkpoint
from test_cli import SMALL, assert_one_line, folder, run, run_well, start
from test_cli_streams import read_all

__all__ = ["folder"]  # a fixture

CONFIG = """# mine
files = ["text.txt"]
hidden_size = 12
num-layers = 1
batch-size = 4
seq-length = 20
learning-rate = 1
optimizer = "sgd"
steps = 5
tied = true
"""


def settings_of(path):
    return TrainingSettings.from_json(load_checkpoint(path).training.values["settings"])


@pytest.fixture
def words(folder):
    (folder / "words.csv").write_text("word,vowel\n" + "lili,i\nmumu,u\n" * 6)
    return folder


# --- train ---


def test_options_come_from_a_file_and_those_on_the_command_line_win(folder):
    (folder / "c.toml").write_text(CONFIG)
    run_well("train", "--config", "c.toml", "--out", "m.safetensors", "--hidden_size", 9)
    found = settings_of("m.safetensors")
    assert (found.hidden_size, found.num_layers, found.optimizer, found.tied) == (9, 1, "sgd", True)
    assert (found.files, found.learning_rate, found.steps) == (("text.txt",), 1.0, 5)
    assert found.dropout == TrainingSettings.dropout


def test_files_on_the_command_line_replace_those_of_the_file(folder):
    (folder / "c.toml").write_text(CONFIG)
    (folder / "other.txt").write_text("green bottles\n" * 50)
    run_well("train", "other.txt", "--config", "c.toml", "--out", "m.safetensors")
    assert settings_of("m.safetensors").files == ("other.txt",)


def test_a_length_on_the_command_line_replaces_the_other_kind_of_the_file(folder):
    (folder / "c.toml").write_text(CONFIG)
    run_well("train", "--config", "c.toml", "--epochs", 0.1, "--out", "m.safetensors")
    assert (settings_of("m.safetensors").epochs, settings_of("m.safetensors").steps) == (0.1, None)
    (folder / "c.toml").write_text(CONFIG + "epochs = 3\n")
    assert_one_line(run("train", "--config", "c.toml", "--out", "n.safetensors"), 2, "give only one of them")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--level", "word", "--cutoffs", "3,6", "--valid", "text.txt", "--epochs", 0.1],
        ["--sentences", "--length-model", "tau", "--max-length", 99, "--clip-value", 0.5, "--steps", 3],
    ],
)
def test_the_file_beside_a_model_trains_the_same_model_again(folder, options):
    length = [] if options else ["--steps", 3]
    run_well("train", "text.txt", *SMALL, *options, *length, "--out", "m.safetensors")
    run_well("train", "--config", "m.config.toml", "--out", "n.safetensors")
    assert settings_of("n.safetensors") == settings_of("m.safetensors")
    one, two = (load_checkpoint(f"{name}.safetensors").model.parameters.flat for name in "mn")
    assert one.tobytes() == two.tobytes()
    first, second = ((folder / f"{name}.config.toml").read_text().splitlines() for name in "mn")
    assert first[1:] == second[1:]
    assert first[0].endswith("fastrnn train --config m.config.toml --out FILE")


def test_what_differs_from_the_defaults_is_printed_at_the_start(folder):
    shown = run_well("train", "text.txt", *SMALL, "--steps", 2, "--out", "m.safetensors").stdout
    line = (
        "options: hidden-size = 12, num-layers = 1, batch-size = 4, seq-length = 20, steps = 2; all are in "
    )
    assert f"{line}m.config.toml\n" in shown.partition("done")[0]


def test_a_resumed_training_takes_what_the_file_changes_and_refuses_what_cannot_change(folder):
    run_well("train", "text.txt", *SMALL, "--steps", 2, "--out", "m.safetensors")
    (folder / "more.toml").write_text("steps = 4\nlearning-rate = 0.5\n")
    run_well("train", "--resume", "m.safetensors", "--config", "more.toml")
    assert (settings_of("m.safetensors").steps, settings_of("m.safetensors").learning_rate) == (4, 0.5)
    assert "learning-rate = 0.5" in (folder / "m.config.toml").read_text()
    (folder / "more.toml").write_text("hidden-size = 4\n")
    result = run("train", "--resume", "m.safetensors", "--config", "more.toml")
    assert_one_line(result, 2, "--hidden-size: is 12 in this training and cannot change to 4")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hiden-size = 3", r"c\.toml, line 2: hiden-size: no such option; did you mean hidden-size\?"),
        ("lr = 3", "c.toml, line 2: lr: no such option; in fastrnn: --learning-rate X"),
        ("nonsense = 3", "nonsense: no such option; see fastrnn train --help"),
        ('config = "x"', "config: no such option"),
        ('hidden-size = "many"', 'c.toml, line 2: hidden-size: expected an integer, got "many"'),
        ("hidden-size = 3.5", "hidden-size: expected an integer, got 3.5"),
        ("hidden-size = true", "hidden-size: expected an integer, got true"),
        ("hidden-size = [1]", r"hidden-size: expected an integer, got \[1\]"),
        ("hidden-size = 0", "c.toml, line 2: hidden-size: 0 is not in the range x>=1"),
        ("dropout = nan", "dropout: nan is not"),
        ('dropout = "a"', 'dropout: expected a number, got "a"'),
        ('cell = "elman"', "c.toml, line 2: cell: 'elman' is not one of"),
        ("cell = 3", "cell: expected a text, got 3"),
        ("tied = 1", "tied: expected true or false, got 1"),
        ("cutoffs = [1.5]", "cutoffs: expected"),
        ('files = ["no.txt"]', "c.toml, line 2: files: File 'no.txt' does not exist"),
        ("encoding = 'nix'", "encoding"),
        ("x = ", r"c\.toml: expected TOML, such as hidden-size = 256: .*line 2"),
        ("[model]\nhidden-size = 3", "c.toml: model: no such option"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(folder, line, message):
    (folder / "c.toml").write_text(f"# mine\n{line}\n")
    before = sorted(path.name for path in folder.iterdir())
    assert_one_line(run("train", "text.txt", "--config", "c.toml", "--out", "m.safetensors"), 2, message)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"cell = 'caf\xe9'"])
def test_a_file_that_is_not_utf_8_is_named(folder, content):
    (folder / "c.toml").write_bytes(content)
    assert_one_line(run("train", "text.txt", "--config", "c.toml"), 2, r"c\.toml: expected UTF-8")


def test_the_file_with_the_options_is_no_output(folder):
    (folder / "m.config.toml").write_text(CONFIG)
    result = run("train", "--config", "m.config.toml", "--out", "m.safetensors")
    assert_one_line(result, 2, r"--out: m\.config\.toml: already there")
    assert (folder / "m.config.toml").read_text() == CONFIG


# --- fit ---


def test_fit_reads_and_writes_the_same_kind_of_file(words):
    options = [
        "--epochs",
        2,
        "--embedding-size",
        "none",
        "--cell-options",
        '{"zoneout": 0.1}',
        "--y",
        "vowel",
    ]
    run_well("fit", "classify", "words.csv", *options, "--no-bidirectional", "--out", "m.safetensors")
    _, saved = read_toml("m.config.toml")
    assert (saved["embedding-size"], saved["cell-options"]) == ("none", {"zoneout": 0.1})
    assert (saved["files"], saved["y"], saved["bidirectional"]) == (["words.csv"], ["vowel"], False)
    run_well("fit", "classify", "--config", "m.config.toml", "--out", "n.safetensors")
    one, two = (fr.models.SequenceClassifier.load(f"{name}.safetensors") for name in "mn")
    assert one.get_params() == two.get_params()
    assert one.network_.parameters.flat.tobytes() == two.network_.parameters.flat.tobytes()
    again = run_well(
        "fit", "classify", "--config", "m.config.toml", "--epochs", 1, "--json", "--out", "o.safetensors"
    )
    assert json.loads(again.stdout)["epochs"] == 1


def test_fit_shows_on_a_terminal_what_differs_from_the_defaults(words):
    reader, writer = pty.openpty()
    options = ["--epochs", 1, "--hidden-size", 4, "--out", "m.safetensors"]
    with start("fit", "classify", "words.csv", *options, stderr=writer) as process:
        os.close(writer)
        shown = read_all(reader).decode()
        out, _ = process.communicate(timeout=60)
    assert shown.startswith("options: hidden-size = 4, epochs = 1; all are in m.config.toml\r\n")
    assert out.endswith("saved m.safetensors, and its options in m.config.toml\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epocs = 3", r"fit classify: error: c\.toml, line 1: epocs: no such option; did you mean epochs\?"),
        ('embedding-size = "x"', "embedding-size: expected an integer"),
        ("bidirectional = 0", "bidirectional: expected true or false, got 0"),
        ("out = 3", "out: expected a text, got 3"),
    ],
)
def test_a_wrong_line_of_a_file_for_fit_is_named(words, line, message):
    (words / "c.toml").write_text(line)
    result = run("fit", "classify", "words.csv", "--config", "c.toml", "--out", "m.safetensors")
    assert_one_line(result, 2, message)


# --- all options ---


def test_every_option_of_train_can_be_in_a_file():
    names = option_names(train_command)
    settings = {name.replace("_", "-") for name in TrainingSettings().to_json() if name != "held_out"}
    assert settings <= set(names)
    assert {option.name for option in train_command.params} - {each.name for each in names.values()} == {
        "config"
    }
    task = fit_command.get_command(click.Context(fit_command), "classify")
    assert {"files", "x", "json", "bidirectional", "hidden-size", "out"} <= set(option_names(task))


@pytest.mark.parametrize(
    "value",
    ['a "quoted" \\ text\n\t\x7f\x00é😀', [1, 2.5, 1e-30, 1e300], {"a b": [True, {"c": ""}]}, -3, 1e16],
)
def test_what_is_written_as_toml_is_read_back(tmp_path, value):
    path = tmp_path / "t.toml"
    path.write_text(f"key = {as_toml(value)}\n", encoding="utf-8")
    assert read_toml(str(path))[1] == {"key": value}
