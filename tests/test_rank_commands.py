"""The commands that processes of mpiexec share, and those that they do not: once, the output of one."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from fastrnn.cli import main, program
from test_cli import SMALL, run, run_well
from training_cases import TEXT

ROWS = "name,kind\n" + "".join(f"{'anna' * (1 + n % 3)},a\n{'bobo' * (1 + n % 4)},o\n" for n in range(60))
LINES = [line for line in TEXT.splitlines() if line.strip()][:70]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model of a stream, one of sentences, a classifier, and what they read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("models"))
        (folder / "text.txt").write_text(TEXT)
        (folder / "names.csv").write_text(ROWS)
        for name, more in (("stream", []), ("lines", ["--sentences"])):
            few = [*SMALL, "--steps", 3, "--sample-every", 0]
            run_well("train", "text.txt", "--out", f"{name}.safetensors", *more, *few)
        fit = ["--epochs", 1, "--hidden-size", 4, "--out", "names.safetensors"]
        run_well("fit", "classify", "names.csv", *fit)
        yield folder


@pytest.fixture
def shared(mpiexec, folder, monkeypatch):
    """Return a function that runs the program on several processes, in the folder."""
    monkeypatch.chdir(folder)

    def shared(size, *arguments, given=None):
        if given is None:
            return mpiexec(size, ["-m", "fastrnn", *map(str, arguments)], timeout=120)
        return subprocess.run(
            [*mpiexec.launcher, "-n", str(size), sys.executable, "-m", "fastrnn", *map(str, arguments)],
            env={**os.environ, **mpiexec.environment},
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return shared


SHARED = {
    "eval, lines": (3, "eval", "lines.safetensors", "text.txt", "--json"),
    "eval, streams": (
        2,
        "eval",
        "stream.safetensors",
        "text.txt",
        "--batch-size",
        8,
        "--shards",
        6,
        "--json",
    ),
    "score": (3, "score", "lines.safetensors", *LINES, "--rank", "--tokens"),
    "score, json": (2, "score", "stream.safetensors", *LINES, "--json"),
    "predict": (2, "predict", "names.safetensors", "names.csv", "--proba", "--score"),
    "predict, json": (3, "predict", "names.safetensors", "names.csv", "--proba", "--json"),
}


@pytest.mark.parametrize("case", SHARED)
def test_several_processes_print_what_one_prints(shared, case):
    size, *command = SHARED[case]
    found, wanted = shared(size, *command), run_well(*command)
    assert found.returncode == 0, found.stderr
    assert found.stdout == wanted.stdout
    assert found.stderr == wanted.stderr


OTHERWISE = """
import os, sys
from fastrnn.cli import main
from fastrnn.train.distributed.launch import read_launch
if read_launch().rank == 1:
    {change}
main(sys.argv[1:], prog_name="fastrnn")
"""


@pytest.mark.parametrize(
    ("change", "command", "message"),
    [
        ("sys.argv[3] = 'names.csv'", ("eval", "stream.safetensors", "text.txt"), "FILE: text.txt on rank 0"),
        ("os.chdir('other')", ("eval", "lines.safetensors", "text.txt"), "text.txt: rank 1 "),
        ("os.chdir('other')", ("prepare", "text.txt", "--out", "a.ids"), "text.txt: rank 1 "),
        (
            "sys.argv += ['--level', 'word']",
            ("prepare", "text.txt", "--out", "a.ids"),
            "--level: None on rank 0",
        ),
        ("os.chdir('other')", ("predict", "names.safetensors", "names.csv"), "names.csv: rank 1 "),
        (
            "sys.argv += ['--json', '--out', 'a.csv']",
            ("predict", "names.safetensors", "names.csv"),
            "--out: None on rank 0",
        ),
        ("sys.argv[-1] = 'o'", ("score", "stream.safetensors", "a"), "TEXTS: ('a',) on rank 0"),
    ],
)
def test_other_options_or_files_on_one_process_are_refused(
    mpiexec, folder, monkeypatch, change, command, message
):
    monkeypatch.chdir(folder)
    other = folder / "other"
    other.mkdir(exist_ok=True)
    for path in folder.glob("*.*"):
        (other / path.name).write_bytes(path.read_bytes())
    for name in ("text.txt", "names.csv"):
        (other / name).write_text((folder / name).read_text().replace("a", "o"))
    result = mpiexec(2, ["-c", OTHERWISE.format(change=change), *command], timeout=60)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("fastrnn: error: expected the same on all ranks: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "a.ids").exists()


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (("score", "stream.safetensors", "-"), "".join(f"{line}\n" for line in LINES)),
        (("predict", "names.safetensors", "-", "--format", "csv"), ROWS),
    ],
)
def test_standard_input_is_that_of_the_first_process(shared, command, given):
    found, wanted = shared(2, *command, given=given), CliRunner().invoke(main, command, given)
    assert (found.returncode, found.stdout, found.stderr) == (0, wanted.stdout, "")


def test_predictions_are_written_once_and_over_nothing(shared, folder):
    command = ("predict", "names.safetensors", "names.csv", "--out", "out.csv")
    assert shared(2, *command).returncode == 0
    assert (folder / "out.csv").read_text() == run_well(*command[:3]).stdout
    again = shared(2, *command)
    assert again.returncode == 2
    assert again.stderr.count("already there") == 1
    (folder / "out.csv").unlink()


def test_processes_without_a_stream_are_told_of_with_what_gives_them_one(shared):
    found = shared(3, "eval", "stream.safetensors", "text.txt", "--json")
    assert found.stdout == run_well("eval", "stream.safetensors", "text.txt", "--json").stdout
    assert found.stderr == (
        "fastrnn eval: warning: 2 of 3 processes have no stream to read; type --batch-size 3 or more\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eval", "stream.safetensors", "one.txt"), "expected at least 2 tokens"),
        (("eval", "stream.safetensors", "other.txt", "--unknown", "error"), "is not in the vocabulary"),
        (("eval", "names.safetensors", "text.txt"), "expected a model of fastrnn train"),
        (("eval", "stream.safetensors", "text.txt", "--shards", "3"), "2 processes do not divide 3 shards"),
        (("score", "nothing.safetensors", "a"), "does not exist"),
        (("score", "stream.safetensors", "a", ""), "texts[1]: expected at least 1 token"),
        (("predict", "names.safetensors", "names.csv", "--x", "nothing"), "nothing"),
    ],
)
def test_an_error_is_said_once_with_the_exit_code_of_one_process(shared, folder, arguments, words):
    (folder / "one.txt").write_text(TEXT[0])
    (folder / "other.txt").write_text(TEXT + "\N{SNOWMAN}")
    found = shared(2, *arguments)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.count("error:") == 1
    assert words in found.stderr
    if "--shards" not in arguments:
        assert found.stderr.splitlines()[-1] == run(*arguments).stderr.strip()


def test_an_interrupt_ends_all_processes_within_seconds(mpiexec, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "long.txt").write_text(TEXT * 12_000)  # half a minute of work
    command = ["-m", "fastrnn", "eval", "stream.safetensors", "long.txt"]
    launcher = mpiexec.start(2, command)
    while len(mpiexec.running()) < 2:
        assert launcher.poll() is None
        time.sleep(0.1)
    time.sleep(3)  # the second process waits for the first one's stream
    assert launcher.poll() is None
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(timeout=20) != 0
    deadline = time.monotonic() + 5
    while mpiexec.running() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mpiexec.running() == []


# --- commands that run in one process ---


def test_other_commands_run_once_and_say_that_the_other_processes_are_idle(shared):
    command = ("sample", "stream.safetensors", "--length", 40, "--seed", 1)
    found = shared(3, *command)
    assert (found.returncode, found.stdout) == (0, run_well(*command).stdout)
    assert found.stderr == (
        "fastrnn: warning: sample runs in one process: 2 of the 3 that mpiexec started do nothing; "
        "type fastrnn sample without mpiexec\n"
    )
    assert len(json.loads(shared(2, "info", "--json").stdout)) > 3


@pytest.mark.parametrize("command", ["next", "inspect", "plot", "data", "quantize", "convert", "bench"])
def test_only_the_first_process_runs_a_command_of_one_process(monkeypatch, capsys, command):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "1")
    with pytest.raises(SystemExit) as ended:
        main([command, "no such argument"], prog_name="fastrnn")
    assert ended.value.code == 0
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("PMI_RANK", "0")
    with pytest.raises(SystemExit) as ended:
        main([command, "--no-such-option"], prog_name="fastrnn")
    assert ended.value.code == 2
    assert f"type fastrnn {command} without mpiexec" in capsys.readouterr().err


def test_commands_that_the_processes_share_run_on_each_of_them(monkeypatch, capsys):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "1")
    for command in program._COMMANDS.keys() - program._OF_ONE_PROCESS:
        with monkeypatch.context() as patch:
            patch.setattr(program, "leave_to_first", lambda *given: pytest.fail(str(given)))
            patch.setattr(program.importlib, "import_module", _only_a_command)
            with pytest.raises(SystemExit) as ended:
                main([command], prog_name="fastrnn")
        assert ended.value.code == 0
        assert capsys.readouterr().out == "it runs\n"


def _only_a_command(name):
    return SimpleNamespace(command=click.Command("any", callback=lambda: print("it runs")))


def test_a_variable_that_only_looks_like_a_launcher_s_changes_nothing(monkeypatch, folder):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MY_RANK", "3")
    monkeypatch.setenv("SLURM_PROCID", "0")
    result = run("sample", "stream.safetensors", "--length", 5)
    assert result.exit_code == 0
    assert result.stderr == ""
