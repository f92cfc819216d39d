"""What a stranger's model file cannot do to the program: choose paths, never end, command the terminal."""

import json
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

import fastrnn as fr
from fastrnn.cli import main
from fastrnn.cli.standard_streams import show
from fastrnn.train import load_checkpoint, save_checkpoint
from training_cases import TEXT

SMALL = [
    "--hidden-size",
    "8",
    "--num-layers",
    "1",
    "--batch-size",
    "4",
    "--seq-length",
    "20",
    "--sample-every",
    "0",
]


def run(*arguments, stdin=None):
    return CliRunner().invoke(
        main, [str(argument) for argument in arguments], prog_name="fastrnn", input=stdin
    )


def refusal(*arguments, stdin=None):
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def run_well(*arguments, stdin=None):
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with a text, a model and its log."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT)
    before = os.getcwd()
    os.chdir(folder)
    run_well("train", "text.txt", "--out", "m.safetensors", *SMALL, "--steps", 6)
    os.chdir(before)
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    for path in trained.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change_settings(path, **settings):
    checkpoint = load_checkpoint(path)
    checkpoint.training.values["settings"].update(settings)
    save_checkpoint(path, checkpoint.model, checkpoint.vocabulary, checkpoint.training)


def test_a_training_resumes_where_its_log_is(folder):
    first = json.loads((folder / "m.jsonl").read_text().splitlines()[0])
    assert first["settings"]["files"] == ["text.txt"]
    run_well("train", "--resume", "m.safetensors", "--steps", 8)
    run_well("train", "--resume", "m.safetensors", "--steps", 9, "--out", "n.safetensors")
    run_well("train", "--resume", "n.safetensors", "--steps", 10)
    assert load_checkpoint("n.safetensors").training.values["step"] == 10


@pytest.mark.parametrize("log", ["none", "strange", "of another text", "a folder"])
def test_without_its_log_a_training_resumes_with_the_texts_given_again(folder, log):
    (folder / "m.jsonl").unlink()
    if log == "strange":
        (folder / "m.jsonl").write_bytes(b'[1]\n"settings"\n{"settings": 3}\n{"settings"\n\xff"settings"\n')
    elif log == "of another text":
        (folder / "m.jsonl").write_text(
            '{"step": 1, "settings": {"files": ["other.txt"], "accumulate": 1}}\n'
        )
    elif log == "a folder":
        (folder / "m.jsonl").mkdir()
    message = refusal("train", "--resume", "m.safetensors", "--steps", 8)
    assert "files: named in the file, but not confirmed" in message
    assert message.endswith("repeat them: fastrnn train --resume m.safetensors text.txt\n")
    if log != "a folder":
        run_well("train", "--resume", "m.safetensors", "text.txt", "--steps", 8)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("valid", "/etc/passwd", "--valid /etc/passwd"),
        ("tensorboard", "home of others", "--tensorboard 'home of others'"),
        ("accumulate", 2**31, "--accumulate 2147483648"),
        ("files", ["/etc/passwd", "\x1b]0;x\x07"], r"/etc/passwd '\x1b]0;x\x07'"),
    ],
)
def test_a_file_does_not_choose_what_is_read_or_written_or_never_ends(folder, setting, value, words):
    change_settings("m.safetensors", **{setting: value})
    before = sorted(os.listdir())
    message = refusal("train", "--resume", "m.safetensors", "--steps", 8)
    assert f"{setting}" in message
    assert words in message
    assert sorted(os.listdir()) == before


def test_a_training_on_the_usual_text_resumes_without_a_log(folder):
    run_well("train", *SMALL, "--steps", 2, "--valid-fraction", 0.001, "--out", "s.safetensors")
    (folder / "s.jsonl").unlink()
    run_well("train", "--resume", "s.safetensors", "--steps", 3)


# --- pipes, devices and standard input ---


@pytest.mark.parametrize("path", ["pipe", "/dev/zero"])
def test_pipes_and_devices_are_refused_at_once(folder, path):
    os.mkfifo("pipe")
    before = sorted(os.listdir())
    for arguments in (
        ["eval", "m.safetensors", path],
        ["train", path],
        ["train", "text.txt", "--valid", path],
        ["eval", path, "text.txt"],
        ["sample", path],
        ["score", path, "a"],
        ["next", path],
        ["train", "--resume", path],
        ["train", "text.txt", "--out", path, *SMALL],
    ):
        assert f"{path}: not a regular file" in refusal(*arguments)
    assert sorted(os.listdir()) == before


def test_a_log_that_is_a_pipe_is_refused_before_training(folder):
    os.mkfifo("x.jsonl")
    assert "x.jsonl: not a regular file" in refusal("train", "text.txt", "--out", "x.safetensors", *SMALL)
    assert not os.path.exists("x.safetensors")


def test_texts_come_from_standard_input(folder):
    text = b"\xef\xbb\xbf" + TEXT.encode()
    run_well("train", "-", "--out", "n.safetensors", *SMALL, "--steps", 6, stdin=text)
    one, two = load_checkpoint("m.safetensors"), load_checkpoint("n.safetensors")
    assert one.model.parameters.flat.tobytes() == two.model.parameters.flat.tobytes()
    run_well("train", "--resume", "n.safetensors", "--steps", 7, stdin=text)
    loss = run_well("eval", "m.safetensors", "-", "--json", stdin=text).stdout
    assert loss == run_well("eval", "m.safetensors", "text.txt", "--json").stdout
    assert "standard input: is empty" in refusal("eval", "m.safetensors", "-", stdin=b"")
    assert "can be only one of the texts" in refusal("train", "-", "--valid", "-", stdin=text)


# --- the terminal ---

NASTY = "a\x1b]0;owned\x07b\x9b2Jc\x7f\u202ed\re\tf\n"
SHOWN = "a\\x1b]0;owned\\x07b\\x9b2Jc\\x7f\\u202ed\\re\tf\r\n"  # the terminal itself adds the last \r


def on_a_terminal(program, *arguments):
    reader, writer = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=writer) as process:
        os.close(writer)
        output = b""
        while True:
            try:
                part = os.read(reader, 1000)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            output += part
    os.close(reader)
    assert process.returncode == 0
    return output.decode()


def test_control_characters_are_escapes_on_a_terminal_and_raw_elsewhere(capsys):
    show(NASTY, end="")
    assert capsys.readouterr().out == NASTY
    program = "import sys; from fastrnn.cli.standard_streams import show; show(sys.argv[1], end='')"
    assert on_a_terminal(program, NASTY).endswith(SHOWN.replace("\t", "\t"))


def test_symbols_of_a_strangers_vocabulary_do_not_command_the_terminal(tmp_path):
    vocabulary = fr.Vocabulary(["\x1b", "\x9b", "[2J"[0]])
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0), vocabulary)
    program = "import sys; from fastrnn.cli import main; main(sys.argv[1:])"
    for options in (["sample", "--length", "50"], ["sample", "--count", "3"], ["next"], ["score"]):
        texts = ["\x1b["] if options[0] in ("score", "next") else ["--prompt", "["]
        output = on_a_terminal(program, options[0], str(path), *texts, *options[1:])
        assert "\x1b" not in output
        assert "\x9b" not in output
        assert "\\x1b" in output
    assert "\\x1b" in on_a_terminal(program, "score", str(path), "\x1b[\x9b", "--tokens")
