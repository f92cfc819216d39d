"""The help of every command: complete, whole sentences, in sections, with examples that exist."""

import re
import shlex

import click
import pytest

from fastrnn.cli import main
from fastrnn.cli.command_group import first_sentence
from fastrnn.cli.examples import EXAMPLES
from fastrnn.cli.model_tasks import TASKS
from fastrnn.cli.sections import SectionedCommand
from test_cli import assert_one_line, run, run_well

NAMES = [name for name in main.list_commands(None) if name != "fit"]
ALL = [[], *([name] for name in NAMES), ["fit"], *(["fit", task] for task in TASKS)]


def command_of(words):
    found = main
    for word in words:
        found = found.get_command(click.Context(found), word)
        assert found is not None, words
    return found


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_three_ways_lead_to_the_same_help(words):
    shown = run_well(*words, "--help").stdout
    assert shown == run_well(*words, "-h").stdout == run_well("help", *words).stdout
    assert re.search(r"^  -h, --help +Show this message and exit\.$", shown, re.MULTILINE)
    assert "Examples:\n    " in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_option_says_what_it_does(words):
    options = [one for one in command_of(words).params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("group", [[], ["fit"]], ids=" ".join)
def test_the_list_of_commands_has_whole_sentences(group):
    shown = " ".join(run_well(*group, "--help").stdout.split())
    command = command_of(group)
    for name in command.list_commands(None):
        sentence = first_sentence(command_of([*group, name]))
        assert sentence.endswith(".")
        assert f"{name} {sentence}" in shown
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("words", [["train"], *(["fit", task] for task in TASKS)], ids=" ".join)
def test_a_section_names_options_that_exist_and_each_option_is_shown_once(words):
    command = command_of(words)
    assert isinstance(command, SectionedCommand)
    names = [name for section in command.sections.values() for name in section]
    assert len(set(names)) == len(names)
    assert set(names) <= {option.name for option in command.params}
    assert {"threads", "as_json"}.isdisjoint(names)
    shown = run_well(*words, "--help").stdout.partition("\nFiles:\n")[2]
    for option in command.params:
        if isinstance(option, click.Option):
            assert len(re.findall(rf"^  {option.opts[0]}\b(?!-)", shown, re.MULTILINE)) == 1, option.name


@pytest.mark.parametrize(
    "line", [line for examples in EXAMPLES.values() for line, _ in examples], ids=lambda line: line[:60]
)
def test_an_example_is_a_command_with_options_that_exist(line, monkeypatch):
    program = shlex.split(line.rpartition("| ")[2].partition(" <")[0].removeprefix("mpiexec -n 4 "))
    assert program.pop(0) == "fastrnn"
    command = main
    while program and isinstance(command, click.Group):
        command = command.get_command(click.Context(command), program.pop(0))
        assert command is not None, line
    monkeypatch.setattr(click.Path, "convert", lambda self, value, *_: value)  # its files do not exist
    command.make_context("fastrnn", program)


def test_help_of_what_does_not_exist_says_what_does():
    assert_one_line(run("help", "trian"), 2, r"no such command 'trian'; did you mean train\?")
    assert_one_line(run("help", "fit", "clasify"), 2, r"'clasify'; did you mean classify\?")
    assert_one_line(run("help", "train", "fast"), 2, "'fast'; fastrnn train has none")


def test_underscores_in_options_are_dashes():
    result = run("train", "missing.txt", "--hidden_size", "many")
    assert_one_line(result, 2, "missing.txt|'many' is not a valid integer")
    assert "no such option" not in result.stderr
