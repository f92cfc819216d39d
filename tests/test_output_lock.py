"""Two processes with one --out: the second is refused and touches nothing, whatever became of the first."""

import contextlib
import errno
import fcntl
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastrnn.cli import main
from fastrnn.files import file_locks
from fastrnn.files.output_lock import InUseError, hold_output
from fastrnn.train import load_checkpoint
from test_cli import SMALL, assert_one_line, folder, run, run_well

__all__ = ["folder"]  # a fixture

HOLD = """
import sys
from fastrnn.files.output_lock import hold_output
with hold_output(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@contextlib.contextmanager
def holder(path):
    """Run a process that holds a file until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def names(path):
    return sorted(entry.name for entry in path.parent.iterdir())


def test_the_second_is_refused_and_told_who_holds_it_and_since_when(path):
    with holder(path) as process, pytest.raises(InUseError) as error, hold_output(path):
        pytest.fail("held twice")
    since = r"since [-0-9]{10} [0-9:]{8}[-+0-9:]+"
    who = f"process {process.pid} on {re.escape(platform.node())}, {since}, writes it"
    assert re.match(
        rf"{re.escape(str(path))}: {who}; wait for its end, or choose another name", str(error.value)
    )


def test_it_is_free_again_after_the_end(path):
    with holder(path) as process:
        process.communicate("\n")
        assert names(path) == []
    with hold_output(path):
        pass
    with hold_output(path):
        assert names(path) == [".model.safetensors.lock"]
    assert names(path) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_process_that_was_killed_is_no_obstacle(path, number):
    with holder(path) as process:
        process.send_signal(number)
        process.wait()
    assert names(path) == [".model.safetensors.lock"]
    with hold_output(path):
        assert json.loads((path.parent / ".model.safetensors.lock").read_bytes())["process"] == os.getpid()
    assert names(path) == []


def test_one_process_holds_a_file_once(path):
    with hold_output(path), pytest.raises(InUseError, match=f"process {os.getpid()} on"), hold_output(path):
        pytest.fail("held twice")


def test_files_beside_each_other_are_held_by_themselves(path):
    with hold_output(path), hold_output(path.with_name("other.safetensors")):
        assert len(names(path)) == 2


def test_two_names_of_one_file_are_one(path):
    link = path.with_name("link.safetensors")
    link.symlink_to(path)
    with hold_output(link), pytest.raises(InUseError), hold_output(path):
        pytest.fail("held twice")


def test_of_many_that_start_at_once_one_at_a_time_holds_it(path):
    code = HOLD.replace(
        'print("held", flush=True)', 'print("held", flush=True); import time; time.sleep(0.5)'
    )
    for _ in range(3):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(path)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for _ in range(4)
        ]  # fmt: skip
        outputs = [process.communicate() for process in processes]
        held = sum(output == "held\n" for output, _ in outputs)
        refused = sum("InUseError" in errors for _, errors in outputs)
        assert held >= 1
        assert held + refused == 4
        assert names(path) == []


def test_a_file_of_a_lock_that_holds_nonsense_is_no_obstacle_but_one_that_is_held_is(path):
    place = path.with_name(f".{path.name}.lock")
    place.write_bytes(b"\xff[]")
    with hold_output(path):
        pass
    place.write_bytes(b"[]")
    with place.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InUseError, match="another process writes it"), hold_output(path):
            pytest.fail("held twice")


def test_a_file_system_without_locks_keeps_nobody_out(path, monkeypatch):
    def refuse(descriptor, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold_output(path), hold_output(path):
        pass
    assert names(path) == []


def test_where_open_files_cannot_be_removed_that_is_the_lock(path, monkeypatch):
    monkeypatch.setattr(file_locks, "fcntl", None)  # as on Windows
    with hold_output(path):
        monkeypatch.setattr(type(path), "unlink", refuse_to_unlink)
        with pytest.raises(InUseError, match=f"process {os.getpid()} on"), hold_output(path):
            pytest.fail("held twice")
        monkeypatch.undo()
        monkeypatch.setattr(file_locks, "fcntl", None)
    assert names(path) == []


def refuse_to_unlink(path, missing_ok=False):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def test_a_name_as_long_as_a_name_can_be_is_held(path):
    with hold_output(path.with_name("é" * 127)):
        assert len(os.fsencode(names(path)[0])) < 255


TRAIN = ["train", "text.txt", *SMALL, "--out", "m.safetensors"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "arguments",
    [
        [*TRAIN, "--steps", "3"],
        [*TRAIN, "--steps", "3", "--overwrite"],
        ["train", "--resume", "m.safetensors"],
    ],
)
def test_a_second_training_is_refused_while_the_first_lives_and_touches_nothing(folder, arguments):
    run_well(*TRAIN, "--steps", 3)
    with holder(folder / "m.safetensors") as process:
        before = contents(folder)
        assert_one_line(
            run(*arguments), 2, f"m.safetensors: process {process.pid} on .*, since .*, writes it; "
        )
        assert contents(folder) == before


def test_a_second_fit_is_refused_while_the_first_lives_and_touches_nothing(folder):
    (folder / "words.csv").write_text("word,vowel\n" + "lili,i\nlulu,u\n" * 9)
    fit = ["fit", "classify", "words.csv", "--out", "c.safetensors", "--epochs", 1, "--hidden-size", 4]
    with holder(folder / "c.safetensors") as process:
        before = contents(folder)
        assert_one_line(run(*fit), 2, f"c.safetensors: process {process.pid} on .*, since .*, writes it; ")
        assert contents(folder) == before
    run_well(*fit)


@contextlib.contextmanager
def training(folder):
    """Run a training that has begun, and that only a signal ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fastrnn", *map(str, TRAIN), "--steps", "1000000"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        while not (folder / "m.jsonl").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        yield process


@pytest.mark.parametrize(
    ("other", "shared"), [("m.bin", "m.jsonl"), ("m.best.safetensors", "m.best.safetensors")]
)
def test_a_second_training_with_another_name_but_a_file_of_the_first_is_refused(folder, other, shared):
    with training(folder) as process:
        second = run("train", "text.txt", *SMALL, "--steps", "3", "--out", other, "--overwrite")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert_one_line(second, 2, f"{shared}: process {process.pid} on ")
    assert process.returncode == 130
    assert not [name for name in contents(folder) if name.endswith(".lock")]


def test_a_training_holds_its_files_until_its_end(folder):
    with training(folder) as process:
        assert_one_line(run(*TRAIN, "--overwrite"), 2, f"m.safetensors: process {process.pid} on ")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert ".m.safetensors.lock" not in contents(folder)
    run_well("train", "--resume", "m.safetensors", "--steps", json_step(folder) + 1)


def test_a_file_that_was_saved_to_while_it_was_read_is_not_resumed(folder, monkeypatch):
    run_well(*TRAIN, "--steps", "3")
    before = contents(folder)

    def load(path):
        checkpoint = load_checkpoint(path)
        Path(path).write_bytes(before[Path(path).name])  # as a training that ends only now
        os.utime(path, ns=(0, 0))
        return checkpoint

    monkeypatch.setattr("fastrnn.cli.train.load_checkpoint", load)
    result = CliRunner().invoke(main, ["train", "--resume", "m.safetensors", "--steps", "6"])
    assert result.exit_code == 2
    assert "m.safetensors: another training has saved to it just now" in result.output
    assert contents(folder) == before


def json_step(folder):
    return json.loads((folder / "m.jsonl").read_text().splitlines()[-1])["step"]


def test_a_second_training_of_several_ranks_is_refused_with_one_message(folder, mpiexec):
    train = ["-m", "fastrnn", *map(str, TRAIN), "--steps", "3", "--overwrite"]
    with holder(folder / "m.safetensors") as process:
        before = contents(folder)
        finished = mpiexec(2, train, cwd=folder)
        assert finished.returncode == 2
        assert finished.stderr.count(f"m.safetensors: process {process.pid} on ") == 1
        assert contents(folder) == before
    assert mpiexec(2, train, cwd=folder).returncode == 0
    assert ".m.safetensors.lock" not in contents(folder)
