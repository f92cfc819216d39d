"""The program on closed, broken and narrow streams, without its terminal, and its log after a kill."""

import fcntl
import io
import json
import os
import pty
import sys
import termios
import time

import pytest

from fastrnn.cli.progress_bar import ProgressBar
from fastrnn.train import Record, Trainer, load_checkpoint
from test_cli import SMALL, folder, log_of, model, run, run_well, start, training_process

__all__ = ["folder", "model"]  # fixtures


def shell(command, **options):
    """Start a shell command in which "$@" is the program."""
    program = [sys.executable, "-m", "fastrnn"]
    with start(**options, command=["sh", "-c", command, "sh", *program]) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_training_goes_on_without_output(folder, closed):
    options = " ".join(SMALL)
    code, _, err = shell(f'"$@" train text.txt --out m.safetensors {options} --steps 8 {closed}')
    assert (code, err) == (0, "")
    assert load_checkpoint("m.safetensors").training.values["step"] == 8
    assert [record["step"] for record in log_of(folder / "m.jsonl")] == list(range(1, 9))


@pytest.mark.parametrize("both", ["", "2>&1"])
def test_a_training_goes_on_after_its_pipe_is_closed(folder, both):
    options = " ".join(SMALL)
    command = (
        f'{{ "$@" train text.txt {options} --steps 400 --sample-every 3 {both}; echo $? > code; }} | head -1'
    )
    _, out, err = shell(command)
    assert out.startswith("text: text.txt")
    assert err == ""
    assert (folder / "code").read_text() == "0\n"
    assert load_checkpoint("fastrnn-model.safetensors").training.values["step"] == 400


def test_a_result_that_cannot_be_printed_is_an_error(model):
    assert shell(f'"$@" sample {model} > /dev/full')[0] == 1
    code, _, err = shell(f'"$@" train text.txt {" ".join(SMALL)} --steps 2 --json > /dev/full')
    assert code == 1
    assert err.splitlines()[-1] == "fastrnn: error: [Errno 28] No space left on device"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "ascii:strict", "latin-1"])
def test_what_a_terminal_cannot_show_is_escaped(folder, encoding):
    (folder / "snow.txt").write_text("Żółć, läuft → ☃\n" * 100, encoding="utf-8")
    process = start(
        "train", "snow.txt", *SMALL, "--steps", 20, "--sample-every", 10,
        env={"PYTHONIOENCODING": encoding}, errors="replace",
    )  # fmt: skip
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "done at step 20" in out
    assert "\\u2603" in out
    for arguments in (
        ("sample", "fastrnn-model.safetensors", "--prompt", "☃", "--length", 9),
        ("next", "fastrnn-model.safetensors", "☃"),
        ("score", "fastrnn-model.safetensors", "Żółć", "--tokens"),
        ("sample", "fastrnn-model.safetensors", "--prompt", "☀"),
        ("eval", "snow☃.txt", "snow☃.txt"),
        ("train", "--help"),
    ):
        process = start(*arguments, env={"PYTHONIOENCODING": encoding}, errors="replace")
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        assert "codec" not in err
        assert (process.returncode == 0) != ("error: " in err), err
        assert "\\u" in out + err or "--help" in arguments


def test_a_bar_of_ascii_is_shown_where_blocks_cannot_be(folder):
    reader, writer = pty.openpty()
    with start(
        "train", "text.txt", *SMALL, "--steps", 60, stderr=writer, env={"PYTHONIOENCODING": "cp1252"}
    ) as process:
        os.close(writer)
        shown = read_all(reader)
    assert process.returncode == 0
    assert b"|####" in shown


def read_all(descriptor):
    """Read to the end of a terminal, which Linux reports by an error, other systems by an empty read."""
    shown = b""
    while True:
        try:
            part = os.read(descriptor, 4096)
        except OSError:
            part = b""
        if not part:
            os.close(descriptor)
            return shown
        shown += part


# --- how it is stopped ---


def test_a_training_whose_terminal_is_gone_is_saved(folder):
    reader, writer = pty.openpty()

    def take_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = start(
        "train", "text.txt", "--out", "m.safetensors", *SMALL, "--steps", 10**6, "--eval-every", 10**6,
        stdin=writer, stdout=writer, stderr=writer, start_new_session=True, preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(writer)
    while not os.path.exists("m.jsonl"):
        time.sleep(0.01)
    os.close(reader)  # the kernel sends SIGHUP, and writing to the terminal now fails
    assert process.wait(timeout=60) == 130
    step = load_checkpoint("m.safetensors").training.values["step"]
    run_well("train", "--resume", "m.safetensors", "--steps", step + 3)
    assert [record["step"] for record in log_of(folder / "m.jsonl")] == list(range(1, step + 4))


def test_a_training_under_nohup_is_not_stopped_by_sighup(folder):
    code, out, _ = shell(
        f"""trap '' HUP; "$@" train text.txt {" ".join(SMALL)} --out m.safetensors --steps 300 &
        while ! test -e m.jsonl; do sleep 0.01; done; kill -HUP $!; wait $!"""
    )
    assert code == 0
    assert "done at step 300" in out


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_ctrl_c_at_any_instruction_of_the_bar_is_a_keyboard_interrupt(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    record = Record(step=1, epoch=0.1, loss=1.0, gradient_norm=1.0, tokens_per_second=1.0, learning_rate=0.1)
    instructions, wanted = 0, -1

    def trace(frame, event, argument):
        nonlocal instructions
        if not frame.f_code.co_filename.endswith(("std.py", "utils.py", "progress_bar.py")):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            instructions += 1
            if instructions == wanted:
                raise KeyboardInterrupt
        return trace

    def interrupted_at(number):
        nonlocal instructions, wanted
        instructions, wanted = 0, number
        bar = ProgressBar(0, 10, to_stderr=True)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            bar.show(record)
            bar.say("a line")
        finally:
            sys.settrace(before)
            bar.close()

    interrupted_at(-1)
    total = instructions
    assert total > 1000
    for number in range(1, total, 7):
        with pytest.raises(KeyboardInterrupt):
            interrupted_at(number)


# --- the log ---


def test_the_log_has_each_step_once_after_a_kill(model, folder):
    log = folder / "m.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == 30
    later = [
        json.dumps({**json.loads(lines[-1]), "step": step, "loss": 99.0}) + "\n" for step in range(31, 36)
    ]
    log.write_text("".join([*lines, *later, '{"step": 36, "lo']))
    descriptor = os.open(log, os.O_RDONLY)
    run_well("train", "--resume", model, "--steps", 40)
    assert [record["step"] for record in log_of(log)] == list(range(1, 41))
    assert log.read_text().startswith("".join(lines))
    assert all(record["loss"] < 99.0 for record in log_of(log))
    assert os.fstat(descriptor).st_ino == os.stat(log).st_ino  # `tail -f` goes on
    os.close(descriptor)


def test_a_log_with_steps_twice_is_mended_and_nothing_else_is_lost(model, folder):
    log = folder / "m.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(["# of mine\n", *lines[:20], *lines[10:]]))
    run_well("train", "--resume", model, "--steps", 31)
    found = log.read_text().splitlines(keepends=True)
    assert found[:31] == ["# of mine\n", *lines]
    assert json.loads(found[31])["step"] == 31


def test_a_resumed_training_that_does_not_start_leaves_the_log(model, folder):
    log = folder / "m.jsonl"
    log.write_text(log.read_text() + '{"step": 31}\n')
    before = log.read_text()
    process = start("train", "--resume", model, "--steps", 30)
    assert process.wait(timeout=60) == 2
    process.communicate()
    assert log.read_text() == before


def test_a_killed_and_resumed_training_has_the_log_of_one_that_was_not(folder):
    process = training_process("--eval-every", 7)
    while not os.path.exists("m.safetensors"):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    step = load_checkpoint("m.safetensors").training.values["step"]
    run_well("train", "--resume", "m.safetensors", "--steps", step + 9)
    run_well("train", "text.txt", *SMALL, "--eval-every", 7, "--steps", step + 9, "--out", "n.safetensors")
    one, two = ([(r["step"], r["loss"]) for r in log_of(folder / name)] for name in ("m.jsonl", "n.jsonl"))
    assert one == two


def test_an_interrupt_between_a_step_and_its_log_loses_no_record(folder, monkeypatch):
    finish = Trainer._finish

    def interrupted(trainer):
        record = finish(trainer)
        if record.step == 3:
            raise KeyboardInterrupt
        return record

    monkeypatch.setattr(Trainer, "_finish", interrupted)
    assert run("train", "text.txt", *SMALL, "--steps", 9, "--out", "m.safetensors").exit_code == 130
    assert [record["step"] for record in log_of(folder / "m.jsonl")] == [1, 2, 3]


def test_curves_of_a_resumed_training_hide_the_steps_after_the_checkpoint(folder):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import SessionLog

    process = training_process("--eval-every", 7, "--tensorboard", "curves")
    while not os.path.exists("m.safetensors"):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    step = load_checkpoint("m.safetensors").training.values["step"]
    with start("train", "--resume", "m.safetensors", "--steps", step + 9) as process:
        process.communicate(timeout=60)
    steps = []
    files = sorted((folder / "curves").iterdir(), key=os.path.getmtime)
    assert len(files) == 2
    for events in map(events_of, files):
        for event in events:
            if event.session_log.status == SessionLog.START:
                steps = [each for each in steps if each < event.step]  # as TensorBoard does
            steps += [event.step for value in event.summary.value if value.tag == "train/loss"]
    assert steps == sorted(set(steps))
    assert steps[-9:] == list(range(step + 1, step + 10))


def events_of(path):
    """Read the events of a file: length, checksum, event, checksum, ..."""
    from tensorboardX.proto.event_pb2 import Event

    content, position = path.read_bytes(), 0
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 8], "little")
        data = content[position + 12 : position + 12 + length]
        if len(data) == length:
            yield Event.FromString(data)
        position += length + 16
