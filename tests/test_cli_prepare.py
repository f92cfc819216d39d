"""`fastrnn prepare`, and what its file is to `train` and `eval`: the text itself, encoded once."""

import json
import os
import shutil

import pytest
from safetensors.numpy import load_file

from fastrnn.cli.session import Session
from fastrnn.data import PreparedText
from fastrnn.train import load_checkpoint
from test_cli import assert_one_line, run, run_well
from training_cases import TEXT

SMALL = (
    "--hidden-size 8 --num-layers 1 --batch-size 4 --seq-length 20 --eval-every 4 --sample-every 0".split()
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text(TEXT)
    return tmp_path


def train(*arguments, out, steps=6):
    return run_well(
        "train", *arguments, *SMALL, "--steps", steps, "--out", f"{out}.safetensors", "--overwrite"
    )


def assert_same_parameters(one, other):
    first, second = (load_file(f"{name}.safetensors") for name in (one, other))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []


OPTIONS = [
    [],
    ["--max-types", 10, "--valid-fraction", 0.2],
    ["--level", "word", "--tokenizer", "whitespace", "--min-count", 2],
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_training_on_the_file_is_that_on_the_text(options):
    run_well("prepare", "t.txt", *options, "--out", "t.ids")
    of_text, of_ids = train("t.txt", *options, out="a"), train("t.ids", out="b")
    assert_same_parameters("a", "b")
    assert_same_parameters("a.best", "b.best")
    assert of_text.stdout.splitlines()[0] == of_ids.stdout.splitlines()[0].replace("t.ids", "t.txt")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_training_goes_on_with_the_text_or_the_file(options):
    run_well("prepare", "t.txt", *options, "--out", "t.ids")
    train("t.txt", *options, out="whole", steps=9)
    for first, then in (("t.txt", "t.ids"), ("t.ids", "t.txt"), ("t.ids", "t.ids")):
        train(first, *(options if first == "t.txt" else []), out="a", steps=5)
        files = [] if first == then else [then]
        run_well("train", *files, "--resume", "a.safetensors", "--steps", 9)
        assert_same_parameters("whole", "a")


def test_the_options_of_a_training_on_the_file_are_used_again():
    run_well("prepare", "t.txt", "--level", "word", "--valid-fraction", 0.2, "--out", "t.ids")
    train("t.ids", out="a")
    run_well("train", "--config", "a.config.toml", "--out", "b.safetensors")
    assert_same_parameters("a", "b")


def test_an_evaluation_of_the_file_is_that_of_its_validation_text():
    run_well("prepare", "t.txt", "--valid", "t.txt", "--out", "t.ids")
    train("t.ids", out="a")
    expected = json.loads(run_well("eval", "a.safetensors", "t.txt", "--json").stdout)
    assert json.loads(run_well("eval", "a.safetensors", "t.ids", "--json").stdout) == expected
    run_well("prepare", "t.txt", "--valid-fraction", 0, "--vocabulary", "a.safetensors", "--out", "all.ids")
    assert json.loads(run_well("eval", "a.safetensors", "all.ids", "--json").stdout) == expected


def test_it_says_what_it_has_written():
    found = json.loads(
        run_well("prepare", "t.txt", "t.txt", "--level", "word", "--out", "t.ids", "--json").stdout
    )
    with PreparedText.open("t.ids") as text:
        assert {**found, "seconds": 0} == {
            "out": "t.ids",
            "level": "word",
            "symbols": len(text.vocabulary),
            "train": len(text.train),
            "valid": len(text.valid),
            "bytes_per_id": 1,
            "seconds": 0,
        }
    shown = run_well("prepare", "t.txt", "--out", "t.ids", "--overwrite").stdout
    assert f"text: t.txt: {amounts_of(TEXT)} distinct\n" in shown
    assert shown.endswith("1 byte for each; next, type:\n  fastrnn train t.ids\n")


def amounts_of(text):
    held_out = int(len(text) * 0.1)
    return f"{len(text) - held_out:,} symbols to train on, {held_out:,} to validate on, {len(set(text))}"


def test_a_vocabulary_comes_from_a_model_or_from_another_file():
    run_well("prepare", "t.txt", "--level", "word", "--max-types", 9, "--out", "t.ids")
    train("t.ids", out="a")
    for source in ("t.ids", "a.safetensors"):
        run_well("prepare", "t.txt", "--vocabulary", source, "--out", "other.ids", "--overwrite")
        with PreparedText.open("t.ids") as one, PreparedText.open("other.ids") as two:
            assert one.vocabulary == two.vocabulary
            assert one.train.tolist() == two.train.tolist()


OTHER = ["prepare", "t.txt", "--out", "x.ids"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "t.txt"], "Missing option '--out'"),
        (["prepare", "t.txt", "--out", "t.txt"], r"--out: t\.txt: is an input; it would be overwritten"),
        (["prepare", "t.txt", "--out", "t.ids"], r"--out: t\.ids: already there; .*--overwrite"),
        (["prepare", "missing.txt", "--out", "x.ids"], r"'missing\.txt' does not exist"),
        (["prepare", "empty.txt", "--out", "x.ids"], r"empty\.txt: the file is empty"),
        (["prepare", "t.txt", "--out", "no/x.ids"], "no/x.ids: the folder does not exist"),
        (
            ["prepare", "t.txt", "--vocabulary", "t.ids", "--level", "char", "--out", "x.ids"],
            "level: expected",
        ),
        ([*OTHER, "--vocabulary", "t.txt"], r"t\.txt: not a safetensors file"),
        (
            ["train", "t.ids", "--level", "char"],
            r"--level: t\.ids was prepared with word, got char; leave",
        ),
        (
            ["train", "t.ids", "--max-types", 9],
            r"--max-types: t\.ids was prepared with None, got 9;",
        ),
        (["train", "t.ids", "--valid", "t.txt"], r"--valid: expected none with t\.ids, which is prepared"),
        (["train", "t.ids", "--encoding", "latin-1"], "--encoding: expected none with t.ids"),
        (["train", "t.ids", "--sentences"], r"--sentences: expected a text, got t\.ids, which is prepared"),
        (
            ["train", "t.ids", "t.txt"],
            r"FILES: expected t\.ids alone, which is prepared, got 2 files; ",
        ),
        (["train", "cut.ids"], r"cut\.ids: truncated"),
        (
            ["train", "flipped.ids"],
            r"flipped\.ids: damaged: the ids of valid are not those",
        ),
        (["train", "t.ids", "--out", "t.ids"], r"t\.ids: is an input text; --out would overwrite it"),
        (
            ["eval", "m.safetensors", "t.ids"],
            r"t\.ids: was prepared with another .*--vocabulary MODEL",
        ),
        (["sample", "t.ids"], r"expected a model of fastrnn train, got a PreparedText"),
    ],
)
def test_bad_input_is_one_line(folder, arguments, message):
    (folder / "empty.txt").write_text("")
    train("t.txt", out="m", steps=1)
    run_well("prepare", "t.txt", "--level", "word", "--out", "t.ids")
    whole = (folder / "t.ids").read_bytes()
    (folder / "cut.ids").write_bytes(whole[:-5])
    (folder / "flipped.ids").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    before = sorted(os.listdir())
    assert_one_line(run(*arguments), 2, message)
    assert sorted(os.listdir()) == before


def test_a_file_that_changes_while_it_is_trained_on_ends_the_training_and_keeps_its_last_save(
    folder, monkeypatch
):

    run_well("prepare", "t.txt", "--out", "t.ids")
    real = Session._loop

    def loop(self):
        self._run.save()
        os.utime("t.ids", ns=(1, 1))
        real(self)

    monkeypatch.setattr(Session, "_loop", loop)
    result = run("train", "t.ids", *SMALL, "--steps", 20, "--out", "a.safetensors")
    assert result.exit_code == 2
    assert "t.ids: changed while it was used; prepare the text again" in result.stderr
    assert load_checkpoint("a.safetensors").training.values["step"] == 0


def test_a_text_with_another_name_is_recognised_by_its_content():
    run_well("prepare", "t.txt", "--out", "t.ids")
    shutil.copy("t.ids", "t.bin")
    train("t.ids", out="a")
    train("t.bin", out="b")
    assert_same_parameters("a", "b")


def test_ranks_prepare_the_same_bytes(mpiexec):
    run_well("prepare", "t.txt", "--level", "word", "--out", "one.ids")
    result = mpiexec(2, ["-m", "fastrnn", "prepare", "t.txt", "--level", "word", "--out", "two.ids"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("saved two.ids") == 1
    with open("one.ids", "rb") as one, open("two.ids", "rb") as two:
        assert one.read() == two.read()
    again = mpiexec(2, ["-m", "fastrnn", "prepare", "t.txt", "--out", "two.ids"])
    assert again.returncode != 0
    assert again.stderr.count("already there") == 1


def test_ranks_train_on_the_file_as_one_process_on_the_text(mpiexec):
    run_well("prepare", "t.txt", "--out", "t.ids")
    train("t.txt", "--shards", 2, out="one")
    options = [*SMALL, "--steps", "6", "--sample-every", "0", "--out", "two.safetensors"]
    result = mpiexec(2, ["-m", "fastrnn", "train", "t.ids", *options])
    assert result.returncode == 0, result.stderr
    assert_same_parameters("one", "two")


def test_ranks_refuse_a_damaged_file_with_one_message(mpiexec):
    run_well("prepare", "t.txt", "--out", "t.ids")
    with open("t.ids", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    result = mpiexec(2, ["-m", "fastrnn", "train", "t.ids", *SMALL, "--out", "m.safetensors"])
    assert result.returncode == 2
    assert result.stderr.count("damaged: the ids of valid are not those that were written") == 1
