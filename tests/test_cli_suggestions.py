"""Mistyped words and the words of other programs: what the program says to type instead."""

import re

import click
import pytest

from fastrnn.cli import main
from fastrnn.cli.model_tasks import TASKS
from fastrnn.cli.other_words import _TABLES, COMMANDS, OPTIONS
from test_cli import assert_one_line, run


def options_of(*words):
    found = main
    for word in words:
        found = found.get_command(click.Context(found), word)
        assert found is not None, words
    return {name for option in found.params for name in (*option.opts, *option.secondary_opts)} | {
        "--version"
    }


def assert_exists(line):
    """Check that a line ``fastrnn COMMAND ... --option`` can be typed."""
    words = line.split()
    path = [word for word in words[1:] if re.fullmatch("[a-z]+", word)]
    assert set(re.findall(r"--[\w-]+", line)) <= options_of(*path), line


@pytest.mark.parametrize("line", sorted(set(COMMANDS.values())))
def test_each_command_that_is_suggested_exists(line):
    assert_exists(line)


@pytest.mark.parametrize("command", list(OPTIONS))
def test_each_option_that_is_suggested_exists_and_the_word_it_replaces_does_not(command):
    paths = [("fit", task) for task in TASKS] if command == "fit" else [(command,)]
    for path in paths:
        own = options_of(*path)
        for word, hint in OPTIONS[command].items():
            assert f"--{word}" not in own, word
            line = re.search(r"fastrnn .*", hint)
            if line:
                assert_exists(line[0])
            else:
                assert set(re.findall(r"--[\w-]+", hint)) <= own, hint


def test_no_word_has_two_hints_and_none_is_a_command():
    for tables in _TABLES.values():
        words = [word for table in tables for words in table.values() for word in words.split()]
        assert len(set(words)) == len(words), sorted(word for word in words if words.count(word) > 1)
    assert not set(COMMANDS) & set(main.list_commands(None))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --lr 3", "fastrnn train: error: no such option --lr; in fastrnn: --learning-rate X"),
        ("train --max_iters=5", "no such option --max_iters; in fastrnn: --steps N"),
        ("train t.txt -rnn_size 3", "no such option -rnn_size; in fastrnn: --hidden-size N"),
        ("train --output_dir x", "--output_dir; in fastrnn: --out MODEL.safetensors"),
        ("train --block_size 8", "--seq-length N"),
        ("plot --output x.png", "no such option --output; in fastrnn: --out FILE"),
        ("data --list", "no such option --list; in fastrnn: fastrnn data"),
        ("train --n_layer 8", "--num-layers N"),
        ("train --n_embd 8", "--embedding-size N"),
        ("train --data_dir d", "fastrnn train FILE"),
        ("train --checkpoint d", "--resume MODEL.safetensors"),
        ("train --per_device_train_batch_size 8", "--batch-size N"),
        ("train --nhid 8", "--hidden-size N"),
        ("train --nlayers 8", "--num-layers N"),
        ("train --emsize 8", "--embedding-size N"),
        ("train --bptt 8", "--seq-length N"),
        ("train --device cuda", "the CPU alone; --threads N says how many"),
        ("sample --start=the", "no such option --start; in fastrnn: --prompt TEXT"),
        ("sample --num_samples 2", "--count N"),
        (
            "fit classify --lr 3",
            "fastrnn fit classify: error: no such option --lr; in fastrnn: --learning-rate",
        ),
        ("train --hiden-size 3", r"no such option --hiden-size; did you mean --hidden-size\?"),
        ("train --batchsize 3", r"did you mean --batch-size\?"),
        ("train --nonsense", "no such option --nonsense; see fastrnn train --help"),
        ("generate m", "no such command 'generate'; in fastrnn: fastrnn sample MODEL"),
        ("test m", "fastrnn eval MODEL FILE"),
        ("evaluate m", "fastrnn eval MODEL FILE"),
        ("trian", r"no such command 'trian'; did you mean train\?"),
        (
            "fit words.csv",
            "no such command 'words.csv'; expected one of classify, .*; see fastrnn fit --help",
        ),
        ("fit clasify", r"did you mean classify\?"),
    ],
)
def test_a_word_that_does_not_exist_is_answered_with_the_one_to_type(line, message):
    assert_one_line(run(*line.split()), 2, message)


def test_a_language_model_given_to_predict_is_sent_to_its_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("green bottles\n" * 100)
    few = ["--steps", 1, "--hidden-size", 4, "--batch-size", 2, "--seq-length", 8]
    assert run("train", "text.txt", *few, "--out", "m.safetensors").exit_code == 0
    assert_one_line(
        run("predict", "m.safetensors", "text.txt"), 2, "write fastrnn sample, eval, score or next"
    )
