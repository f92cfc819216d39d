"""Batches larger than the text: refused before the training, with the largest that fits."""

import re
import shlex

import pytest

from test_cli import assert_one_line, folder, run, run_well

__all__ = ["folder"]  # a fixture

FEW = "--hidden-size 8 --num-layers 1 --steps 2 --sample-every 0 --out m.safetensors".split()


def line_to_type(message):
    return shlex.split(re.search(r"type: fastrnn (.+)$", message)[1])


@pytest.mark.parametrize(
    ("symbols", "options", "message", "fits"),
    [
        (500, [], r"a batch of 16 x 64 = 1,024 symbols is larger than the text, of which 500 are", "7"),
        (1024, [], "1,024 symbols is larger than the text, of which 1,024 are to train on", "15"),
        (9, [], "of which 9 are to train on; the largest that fits: --batch-size 1 --seq-length 8;", "1"),
        (
            100,
            ["--batch-size", "20", "--seq-length", "30"],
            "20 x 30 = 600 symbols.*of which 100 .*--batch-size 3;",
            "3",
        ),
    ],
)
def test_a_batch_larger_than_the_text_is_refused_and_the_one_that_is_named_works(
    folder, symbols, options, message, fits
):
    (folder / "few.txt").write_text(("green bottle\n" * 100)[:symbols])
    before = sorted(path.name for path in folder.iterdir())
    result = run("train", "few.txt", *FEW, *options, "--valid-fraction", 0)
    assert_one_line(result, 2, f"--batch-size: .*{message}")
    assert sorted(path.name for path in folder.iterdir()) == before
    line = line_to_type(result.stderr)
    assert line[line.index("--valid-fraction") + 2 :][:2] == ["--batch-size", fits]
    run_well(*line)


def test_a_text_that_fills_a_batch_exactly_is_enough(folder):
    (folder / "few.txt").write_text(("green bottle\n" * 100)[:1025])
    run_well("train", "few.txt", *FEW, "--valid-fraction", 0)


def test_words_are_counted_as_words(folder):
    (folder / "few.txt").write_text("green bottles\n" * 20)
    result = run("train", "few.txt", *FEW, "--level", "word", "--valid-fraction", 0)
    assert_one_line(result, 2, "1,024 words is larger than the text, of which 60 are")


def test_sentences_are_counted_as_sentences(folder):
    (folder / "few.txt").write_text("green bottles\n" * 10)
    result = run("train", "few.txt", *FEW, "--sentences", "--valid-fraction", 0)
    assert_one_line(result, 2, "a batch of 16 sentences is larger than the text, of which 10 are to train on")
    run_well(*line_to_type(result.stderr))
