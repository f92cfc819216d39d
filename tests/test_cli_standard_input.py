"""A training on standard input: alone, beside files, resumed, empty, and typed on a terminal."""

import os
import pty

import pytest
from click.testing import CliRunner

from fastrnn.cli import main
from fastrnn.train import load_checkpoint
from test_cli import SMALL, assert_one_line, folder, run_well, start
from training_cases import TEXT

__all__ = ["folder"]  # a fixture

FEW = [*SMALL, "--steps", "4", "--sample-every", "0"]


def run_with(text, *arguments):
    return CliRunner().invoke(main, [*map(str, arguments)], input=text, prog_name="fastrnn")


def parameters_of(path):
    return load_checkpoint(path).model.parameters.flat.tobytes()


def test_a_training_on_standard_input_is_that_on_the_same_file(folder):
    run_well("train", "text.txt", *FEW, "--out", "file.safetensors")
    result = run_with(TEXT, "train", "-", *FEW, "--out", "input.safetensors")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("text: standard input: ")
    assert parameters_of("input.safetensors") == parameters_of("file.safetensors")
    resumed = run_with(TEXT, "train", "--resume", "input.safetensors", "--steps", 6)
    assert resumed.exit_code == 0, resumed.stderr
    run_well("train", "--resume", "file.safetensors", "--steps", 6)
    assert parameters_of("input.safetensors") == parameters_of("file.safetensors")


def test_standard_input_can_be_one_of_several_texts_or_the_validation_text(folder):
    (folder / "twice.txt").write_text(TEXT + TEXT)
    run_well("train", "twice.txt", *FEW, "--out", "file.safetensors")
    assert run_with(TEXT, "train", "text.txt", "-", *FEW, "--out", "input.safetensors").exit_code == 0
    assert parameters_of("input.safetensors") == parameters_of("file.safetensors")
    result = run_with(TEXT, "train", "text.txt", "--valid", "-", *FEW, "--out", "valid.safetensors")
    assert f"{len(TEXT):,} to validate on" in result.stdout


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"", ["-"], "standard input: is empty; send a text to it, or name a FILE instead of -"),
        (b"caf\xe9", ["-"], "standard input: not UTF-8: byte 0xe9 at offset 3"),
        (TEXT.encode(), ["-", "--valid", "-"], "-: standard input can be only one of the texts"),
        (TEXT.encode(), ["-", "-"], "-: standard input can be only one of the texts"),
    ],
)
def test_what_cannot_be_read_from_standard_input_is_one_line_and_leaves_no_file(
    folder, content, arguments, message
):
    assert_one_line(run_with(content, "train", *arguments, *FEW), 2, message)
    assert os.listdir() == ["text.txt"]


def test_a_terminal_is_told_that_a_text_is_awaited_and_one_ctrl_d_ends_it(folder):
    reader, writer = pty.openpty()
    process = start("train", "-", *FEW, stdin=writer)
    try:
        os.write(reader, b"green bottles hanging on the wall\n" * 20 + b"\x04")
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(writer)
        os.close(reader)
    assert err == "reading the text from standard input; Ctrl-D on an empty line ends it\n"
    assert "done at step 4" in out
