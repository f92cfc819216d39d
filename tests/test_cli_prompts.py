"""Texts for sample, next, score and eval: where they come from, and what is said of what a model lacks."""

import json
import os
import pty
import re

import pytest
from click.testing import CliRunner

import fastrnn as fr
from fastrnn.cli import main
from fastrnn.cli.sample_text import separated
from fastrnn.train import save_checkpoint
from test_cli import SMALL, run, run_well, start
from training_cases import TEXT


def piped(text, *arguments):
    return CliRunner().invoke(main, list(map(str, arguments)), input=text, prog_name="fastrnn")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model of characters and one of words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("models"))
        (folder / "text.txt").write_text(TEXT)
        few = [*SMALL, "--steps", 3, "--sample-every", 0]
        run_well("train", "text.txt", "--out", "chars.safetensors", *few)
        run_well("train", "text.txt", "--level", "word", "--max-types", 5, "--out", "words.safetensors", *few)
    return folder


@pytest.fixture
def folder(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_a_prompt_comes_from_a_file_or_standard_input_without_its_final_line_end(folder):
    rest = ["--length", 20, "--seed", 1]
    typed = run_well("sample", "chars.safetensors", "--prompt", "green\nbottles", *rest).stdout
    (folder / "prompt.txt").write_text("green\nbottles\n")
    assert run_well("sample", "chars.safetensors", "--prompt-file", "prompt.txt", *rest).stdout == typed
    for option in ("--prompt", "--prompt-file"):
        given = piped("green\nbottles\r\n", "sample", "chars.safetensors", option, "-", *rest)
        assert given.stdout == typed
    both = run("sample", "chars.safetensors", "--prompt", "a", "--prompt-file", "prompt.txt")
    assert "give only one of them" in both.stderr
    assert typed.startswith("green\nbottles")


def test_a_prompt_in_another_encoding_is_refused(folder):
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    shown = run("sample", "chars.safetensors", "--prompt-file", "latin.txt").stderr
    assert "latin.txt: not UTF-8: byte 0xe9 at offset 3" in shown
    assert "; save it as UTF-8\n" in shown
    assert "--encoding" not in shown


def test_a_prefix_comes_from_standard_input(folder):
    assert piped("gre\n", "next", "chars.safetensors", "-").stdout == (
        run_well("next", "chars.safetensors", "gre").stdout
    )
    empty = piped("", "next", "chars.safetensors", "-")
    assert (empty.exit_code, empty.stderr.count("\n")) == (2, 1)
    assert "fastrnn: error: standard input: is empty; send a text to it" in empty.stderr


def test_a_dash_among_texts_stands_for_the_lines_of_standard_input(folder):
    expected = run_well("score", "chars.safetensors", "green", "wall", "bottles").stdout
    assert piped("wall\n\nbottles\n", "score", "chars.safetensors", "green", "-").stdout == expected
    assert "standard input can be only one" in piped("a", "score", "chars.safetensors", "-", "-").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sample", "chars.safetensors", "--prompt", "éa☃é"), r"--prompt: .* the characters 'é', '☃'$"),
        (("sample", "chars.safetensors", "--prompt-file", "strange.txt"), "strange.txt: .* character 'é'$"),
        (("next", "chars.safetensors", "é"), "PREFIX: the model does not know the character 'é'$"),
        (
            ("sample", "chars.safetensors", "--prompt", r"one\ntwo"),
            r"the character '.+'; \\n is a backslash and a letter here: for a line end type \$'one\\ntwo' in",
        ),
        (("next", "startless.safetensors"), "PREFIX: this model knows no start of a text"),
        (("eval", "chars.safetensors", "strange.txt"), "strange.txt: 'é' at .*; --unknown skip leaves out"),
        (("score", "chars.safetensors", "é"), "'é' at position 0 .*; --unknown skip leaves out"),
    ],
)
def test_what_a_model_does_not_know_is_named_with_what_to_type(folder, arguments, message):
    (folder / "strange.txt").write_text("gré", encoding="utf-8")
    startless = fr.LanguageModel(2, hidden_size=4, num_layers=1, seed=0)
    save_checkpoint("startless.safetensors", startless, fr.Vocabulary("ab"))
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr.strip()), result.stderr


def test_a_word_model_warns_of_unknown_words_in_a_prompt(folder):
    result = run_well("sample", "words.safetensors", "--prompt", "zzz bottles yyy", "--length", 3)
    assert result.stderr == (
        "fastrnn sample: warning: --prompt: the model does not know the words 'zzz', 'yyy', "
        "and reads <unk> for each\n"
    )
    assert run_well("sample", "words.safetensors", "--prompt", "bottles", "--length", 3).stderr == ""


def test_the_name_of_a_file_in_place_of_a_text_leads_to_a_warning(folder):
    for arguments in (["score", "words.safetensors", "text.txt"], ["next", "words.safetensors", "text.txt"]):
        assert "text.txt is a file; its name is the text here" in run_well(*arguments).stderr
    result = run_well("sample", "words.safetensors", "--prompt", "text.txt", "--length", 2)
    assert "To read it: --prompt-file text.txt" in result.stderr


def test_a_ranking_of_texts_with_different_numbers_of_unknown_words_says_so(folder):
    for policy in ([], ["--unknown", "skip"]):
        differ = run_well("score", "words.safetensors", "--rank", *policy, "bottles", "bottles zzz")
        assert "from 0 to 1 unknown words" in differ.stderr
    shown = run_well("score", "words.safetensors", "--rank", "--json", "bottles", "bottles zzz")
    assert json.loads(shown.stdout)["comparable"] is False
    alike = run_well("score", "words.safetensors", "--rank", "--json", "bottles zzz", "bottles xxx")
    assert (json.loads(alike.stdout)["comparable"], alike.stderr) == (True, "")
    unranked = run_well("score", "words.safetensors", "--json", "bottles", "bottles zzz")
    assert ("comparable" in json.loads(unranked.stdout), unranked.stderr) == (False, "")


def test_several_samples_have_lines_between_them_and_one_has_none(folder):
    several = run_well("sample", "chars.safetensors", "--count", 3, "--length", 30).stdout
    assert [line for line in several.split("\n") if line.startswith("----")] == [
        f"---- {number} of 3 ----" for number in (1, 2, 3)
    ]
    one = run_well("sample", "chars.safetensors", "--count", 1, "--length", 30).stdout
    assert "----" not in one
    parts = json.loads(run_well("sample", "chars.safetensors", "--count", 3, "--json").stdout)["texts"]
    assert not any("----" in part["text"] for part in parts)


def test_no_text_has_the_line_between_samples():
    texts = ["a\n---- 2 of 2 ----\nb", "----- 1 of 2 -----"]
    lines = separated(texts, always=False)
    assert lines[1::2] == texts
    assert lines[::2] == ["------ 1 of 2 ------", "------ 2 of 2 ------"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "chars.safetensors"),
        ("next", "chars.safetensors", "-", "--top", "1"),
        ("sample", "chars.safetensors", "--prompt", "-", "--length", "3", "--seed", "0"),
    ],
)
def test_text_typed_at_a_terminal_is_announced_and_ends_at_the_first_end_of_input(folder, arguments):
    reader, writer = pty.openpty()
    with start(*arguments, stdin=writer) as process:
        os.write(reader, b"green\n\x04")
        out, err = process.communicate(timeout=60)
    os.close(writer)
    os.close(reader)
    note = "reading the text from standard input; Ctrl-D on an empty line ends it\n"
    assert (process.returncode, err) == (0, note)
    assert out
