"""The option --threads: on every command that computes, it sets what FASTRNN_NUM_THREADS sets."""

import json

import click
import pytest

import fastrnn
from fastrnn.cli import main, threads
from fastrnn.cli.train import Session
from fastrnn.train import load_checkpoint
from test_cli import SMALL, assert_one_line, folder, model, run, run_well

__all__ = ["folder", "model"]  # fixtures

COMPUTES = ["train", "sample", "eval", "score", "next", "inspect", "predict", "convert", "bench"]


@pytest.mark.parametrize("command", [*COMPUTES, "fit classify", "fit forecast"])
def test_every_command_that_computes_has_the_option(command):
    found = main
    for word in command.split():
        found = found.get_command(click.Context(main), word)
    assert "--threads" in {name for option in found.params for name in option.opts}


@pytest.mark.parametrize("count", [1, 2])
def test_the_command_runs_with_that_number_of_threads_and_then_with_those_before(folder, monkeypatch, count):
    seen, before = [], fastrnn.get_num_threads()
    execute = Session.execute
    monkeypatch.setattr(
        Session, "execute", lambda self: seen.append(fastrnn.get_num_threads()) or execute(self)
    )
    run_well("train", "text.txt", *SMALL, "--steps", 2, "--threads", count)
    assert (seen, fastrnn.get_num_threads()) == ([count], before)


def test_the_numbers_do_not_depend_on_it(folder):
    for count in (1, 2):
        run_well(
            "train", "text.txt", *SMALL, "--steps", 9, "--threads", count, "--out", f"{count}.safetensors"
        )
    one, two = (load_checkpoint(f"{count}.safetensors").model.parameters.flat for count in (1, 2))
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("count", ["0", "-1", "many", "1.5", "1025"])
@pytest.mark.parametrize("command", ["sample", "next"])
def test_what_is_no_number_of_threads_is_refused(model, command, count):
    assert_one_line(run(command, model, "--threads", count), 2, "'--threads'")


def test_more_threads_than_cpus_are_said_on_standard_error(model, monkeypatch):
    monkeypatch.setattr(threads, "count_cpus", lambda: 2)
    result = run_well("next", model, "green", "--threads", 3, "--json")
    assert json.loads(result.stdout)["prefix"] == "green"
    warning = "--threads: 3 wanted, but this process may use 2 CPUs; no more will run"
    assert result.stderr == f"fastrnn next: warning: {warning}\n"
    assert run_well("next", model, "green", "--threads", 2).stderr == ""
