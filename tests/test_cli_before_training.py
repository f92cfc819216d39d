"""What ``fastrnn train`` finds before it begins: names that collide, texts, encodings, sizes and memory."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fastrnn import ChunkedText, LanguageModel, Vocabulary, _memory
from fastrnn._memory import available_memory
from fastrnn.cli import main, memory
from fastrnn.cli.memory import describe_bytes
from fastrnn.cli.settings import TrainingSettings
from fastrnn.train import (
    CosineSchedule,
    PlateauSchedule,
    StepSchedule,
    Trainer,
    Validation,
    load_checkpoint,
    save_checkpoint,
)
from test_cli import SMALL, assert_one_line, folder, model, run, run_well, start
from training_cases import TEXT

__all__ = ["folder", "model"]  # fixtures

FEW = [*SMALL, "--steps", 3, "--sample-every", 0]


def contents():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


# --- names ---


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        ("", ["--out", "x.jsonl"], r"--out: x\.jsonl: .* would overwrite it; try x\.safetensors"),
        ("ln -s m.safetensors m.jsonl", ["--out", "m.safetensors"], "would overwrite it"),
        ("ln -s m.safetensors m.best.safetensors", ["--out", "m.safetensors"], "would overwrite it"),
        ("touch m.jsonl; ln m.jsonl m.best.safetensors", ["--out", "m.safetensors"], "would overwrite it"),
        ("ln -s text.txt m.safetensors", ["--out", "m.safetensors"], "is an input text"),
        ("ln text.txt m.best.safetensors", ["--out", "m.safetensors"], "is an input text"),
        ("ln -s . here", ["--out", "here/text.txt"], "is an input text"),
        ("cp text.txt v.jsonl", ["--valid", "v.jsonl", "--out", "v.safetensors"], "is an input text"),
        ("", ["--out", "m.safetensors", "--tensorboard", "m.safetensors"], "--tensorboard: m.safetensors"),
        ("", ["--out", "m.safetensors", "--tensorboard", "./m.jsonl"], "--tensorboard: ./m.jsonl"),
        ("mkdir m.jsonl", ["--out", "m.safetensors"], r"m\.jsonl"),
        ("mkdir m.best.safetensors", ["--out", "m.safetensors"], r"m\.best\.safetensors"),
    ],
)
def test_names_that_collide_are_refused_before_anything_is_written(folder, make, arguments, message):
    subprocess.run(make, shell=True, check=True)
    before = contents()
    assert_one_line(run("train", "text.txt", *FEW, *arguments), 2, message)
    assert contents() == before


def test_a_best_model_does_not_overwrite_the_checkpoint_to_resume(folder):
    run_well("train", "text.txt", *FEW, "--out", "m.best.safetensors")
    before = contents()
    assert_one_line(
        run("train", "--resume", "m.best.safetensors", "--steps", 9, "--out", "m.safetensors"),
        2, r"m\.best\.safetensors: is the checkpoint to resume",
    )  # fmt: skip
    assert contents() == before


# --- validation ---


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("g", []),
        ("\n\n", ["--sentences"]),
        ("   ", ["--level", "word"]),
        ("Z" * 50, ["--level", "word", "--sentences", "--longest-line", "0"]),
    ],
)
def test_a_validation_text_that_cannot_be_measured_is_found_before_training(folder, text, options):
    (folder / "valid.txt").write_text(text)
    before = contents()
    result = run("train", "text.txt", *FEW, "--valid", "valid.txt", *options)
    assert_one_line(result, 2, "cannot be measured|--longest-line")
    assert contents() == before


@pytest.mark.parametrize(
    ("ids", "message"), [([1], "data: expected at least 2 tokens"), ([1, 9], "9 is out of range")]
)
def test_a_trainer_refuses_validation_data_that_cannot_be_measured(ids, message):
    made = LanguageModel(4, hidden_size=3, num_layers=1, seed=0)
    data = ChunkedText([0, 1, 2, 3] * 9, 2, 4)
    with pytest.raises(ValueError, match=message):
        Trainer(made, data, validation=Validation(np.array(ids)))


def lines_of(name):
    return sorted(line for line in Path(name).read_text().split("\n") if line)


def test_validation_sentences_are_drawn_from_the_whole_text(folder):
    from fastrnn.cli.training_texts import _drawn_lines

    text = "".join(f"line {number}\n" for number in range(1000))
    train, valid = _drawn_lines(text, 0.1, 0)
    numbers = [int(line.split()[1]) for line in valid.split("\n")]
    assert len(numbers) == 100
    assert numbers == sorted(numbers)
    assert sorted([*train.split(), *valid.split()]) == sorted(text.split())
    assert 300 < np.mean(numbers) < 700
    assert (train, valid) == _drawn_lines(text, 0.1, 0) != _drawn_lines(text, 0.1, 1)
    assert _drawn_lines("one\n\n\n", 0.5, 0) == ("one\n\n\n", "")


def test_a_training_of_an_older_version_keeps_its_validation_lines(folder, tmp_path):
    from fastrnn.cli.settings import TrainingSettings
    from fastrnn.cli.training_texts import read_texts

    settings = TrainingSettings(files=("text.txt",), sentences=True)
    old = {name: value for name, value in settings.to_json().items() if name != "held_out"}
    texts = read_texts(TrainingSettings.from_json(old))
    assert texts.train + texts.valid == TEXT
    assert read_texts(TrainingSettings.from_json(settings.to_json())) == read_texts(settings) != texts


# --- encodings ---


def test_texts_of_any_encoding_are_read(folder):
    text = "café, naïve → no; garçon\n" * 100
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "gb18030"):
        written = text.replace("→", "-") if encoding == "cp1252" else text
        (folder / "t.txt").write_text(written, encoding=encoding)
        run_well("train", "t.txt", *FEW, "--out", "m.safetensors", "--encoding", encoding, "--overwrite")
        checkpoint = load_checkpoint("m.safetensors")
        assert set(checkpoint.vocabulary.symbols) == set(written)
        result = json.loads(
            run_well("eval", "m.safetensors", "t.txt", "--encoding", encoding, "--json").stdout
        )
        assert result["tokens"] == len(written) - 1
        run_well("train", "--resume", "m.safetensors", "--steps", 4)
        content = written.split("\n")[0].encode(encoding)
        shown = CliRunner().invoke(
            main, ["score", "m.safetensors", "--encoding", encoding, "--json"], input=content
        )
        assert json.loads(shown.stdout)["texts"][0]["text"] == written.split("\n")[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9", r"byte 0xe9 at offset 3 .*--encoding latin-1"),
        ("green".encode("utf-16"), r"byte 0xff at offset 0 .*as utf-16 does.*--encoding utf-16"),
        ("green".encode("utf-32"), r"byte 0xff at offset 0 .*as utf-32 does.*--encoding utf-32"),
    ],
)
def test_a_text_of_another_encoding_is_named_with_the_byte_and_the_option(model, folder, content, message):
    (folder / "other.txt").write_bytes(content)
    assert_one_line(run("eval", model, "other.txt"), 2, rf"other\.txt: not UTF-8: {message}")
    assert_one_line(run("train", "other.txt", *FEW), 2, rf"other\.txt: not UTF-8: {message}")
    result = CliRunner().invoke(main, ["score", model], input=content, prog_name="fastrnn")
    assert_one_line(result, 2, rf"standard input: not UTF-8: {message}")


@pytest.mark.parametrize("encoding", ["nonsense", "rot13", "base64", "idna\0", ""])
def test_what_is_no_encoding_is_refused(folder, encoding):
    assert_one_line(run("train", "text.txt", *FEW, "--encoding", encoding), 2, "--encoding.*a text encoding")


def test_a_byte_order_mark_is_dropped_from_standard_input(model):
    for content in (b"green bottles", b"\xef\xbb\xbfgreen bottles\r\n"):
        process = start("score", model, "--json", stdin=subprocess.PIPE)
        out, _ = process.communicate(content.decode(), timeout=60)
        [text] = json.loads(out)["texts"]
        assert text["text"] == "green bottles"


def test_unknown_symbols_of_a_text_are_skipped_or_refused(model):
    assert_one_line(run("score", model, "gréen"), 2, "'é' at position 2 is not in the vocabulary")
    one, two = (
        json.loads(run_well("score", model, text, "--unknown", "skip", "--json").stdout)["texts"][0]
        for text in ("grEen", "gren")
    )
    assert one["total"] == two["total"]


# --- numbers ---


@pytest.mark.parametrize(
    "option",
    "clip clip-value epochs valid-fraction dropout momentum learning-rate weight-decay label-smoothing "
    "average-decay decay-factor min-learning-rate embedding-dropout weight-drop".split(),
)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_number_that_is_not_finite_names_its_option(folder, option, value):
    before = contents()
    assert_one_line(run("train", "text.txt", *SMALL, f"--{option}", value), 2, f"'--{option}'")
    assert contents() == before


@pytest.mark.parametrize(
    "option", ["temperature", "top-p", "typical", "repetition-penalty", "length-penalty"]
)
def test_a_number_of_sample_that_is_not_finite_names_its_option(model, option):
    assert_one_line(run("sample", model, f"--{option}", "nan"), 2, f"'--{option}'")


def test_every_step_of_a_schedule_moves_the_parameters():
    for warmup in (0, 1, 5, 40):
        schedules = [
            CosineSchedule(0.5, steps=30, warmup=warmup),
            CosineSchedule(0.5, steps=1, warmup=warmup),
            StepSchedule(0.5, every=1, warmup=warmup),
            PlateauSchedule(0.5, warmup=warmup),
        ]
        for schedule in schedules:
            last = getattr(schedule, "steps", 30)
            assert all(schedule.rate(step) > 0.0 for step in range(1, last + 1))
    cosine = CosineSchedule(0.5, steps=30, minimum=0.1, warmup=4)
    assert cosine.rate(4) == 0.5
    assert cosine.rate(30) > cosine.rate(31) == cosine.rate(99) == pytest.approx(0.1)


# --- memory ---


def test_a_training_that_needs_too_much_memory_is_refused_with_what_would_need_less(folder, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000_000)
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 5000))) * 2
    (folder / "many.txt").write_text(text, encoding="utf-8")
    before = contents()
    assert_one_line(
        run("train", "many.txt", *FEW), 1,
        r"not enough memory: training needs about [\d.]+ MB, and 10 MB are available: 305,\d+ parameters "
        "for 5,000 distinct symbols.*--max-types N keeps the N most frequent.*--force trains all the same",
    )  # fmt: skip
    assert contents() == before
    run_well("train", "many.txt", *FEW, "--max-types", 100)
    assert "about" in run_well("train", "many.txt", *FEW, "--force", "--overwrite").stdout


def test_processes_of_one_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000_000)
    sizes = TrainingSettings(), 4_000_000, 100, 1000, 50
    memory.check_training_memory(*sizes, processes=2)
    with pytest.raises(MemoryError, match="about 4 MB for each of 3 processes, and 10 MB are available"):
        memory.check_training_memory(*sizes, processes=3)


def test_a_line_too_long_for_the_memory_is_refused_or_left_out(folder, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000_000)
    (folder / "long.txt").write_text("green bottle\n" * 40 + "x" * 1_000_000 + "\n")
    options = ["long.txt", *FEW, "--sentences", "--valid-fraction", 0]
    assert_one_line(run("train", *options), 1, r"batches of up to [\d,]{9,} tokens.*--longest-line")
    run_well("train", *options, "--longest-line", 100)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_the_memory_that_is_available_heeds_the_limits_of_the_process():
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    code = "from fastrnn._memory import available_memory; print(available_memory())"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = int(subprocess.check_output([sys.executable, "-c", code], preexec_fn=limit, env=here))
    assert 0 < found < 3 << 30
    assert available_memory() > 0


def test_the_limit_of_a_control_group_leaves_what_is_not_used_or_only_cached(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 250\n")
    names = ("memory.max", "memory.current", "inactive_file")
    assert _memory._room(tmp_path, *names) == 550
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory._room(tmp_path, *names) is None


@pytest.mark.parametrize(
    "options", [["--hidden-size", 700], ["--batch-size", 8, "--seq-length", 1500, "--cell", "gru"]]
)
def test_the_estimate_of_memory_is_near_the_truth(folder, options):
    (folder / "longer.txt").write_text(TEXT * 20)
    program = [sys.executable, "-m", "fastrnn", "train", "longer.txt", "--steps", "2", "--sample-every", "0"]
    # A process begins with the peak of the one that it was forked from: here, of one that is small.
    small = """
import resource, subprocess, sys
print(subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True).stdout)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    with start(command=[sys.executable, "-c", small, *program, *map(str, options)]) as process:
        out, _ = process.communicate(timeout=120)
    peak = int(out.split()[-1]) * 1024 - 60e6  # the interpreter and its libraries
    value, unit = out.split("about ")[1].split(" of memory")[0].split()
    estimate = float(value) * {"MB": 1e6, "GB": 1e9}[unit]
    assert 0.5 < peak / estimate < 2.0


def test_bytes_are_written_as_people_write_them():
    assert [describe_bytes(count) for count in (12, 5_300_000, 12.94e9, 5e13)] == [
        "0.012 kB", "5.3 MB", "12.9 GB", "50,000.0 GB",
    ]  # fmt: skip


def test_a_vocabulary_too_large_for_a_file_is_found_before_training_and_at_saving(folder, monkeypatch):
    monkeypatch.setattr("fastrnn.files.tensor_file._LARGEST_HEADER", 3000)
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 500))) * 2
    (folder / "many.txt").write_text(text, encoding="utf-8")
    before = contents()
    message = r"vocabulary: 500 symbols take [\d,]+ bytes of a file's header, which may have 3,000"
    assert_one_line(run("train", "many.txt", *FEW), 2, f"{message}; keep fewer, with .*--max-types")
    run_well("train", "many.txt", *FEW, "--max-types", 20, "--out", "few.safetensors")
    (folder / "few.safetensors").unlink()
    vocabulary = Vocabulary.from_text(text)
    with pytest.raises(ValueError, match=message):
        save_checkpoint("x.safetensors", LanguageModel(500, hidden_size=2, num_layers=1), vocabulary)
    new = {str(path) for path in contents().keys() - before.keys()}
    assert new == {"few.best.safetensors", "few.jsonl", "few.config.toml"}


def test_a_library_that_cannot_save_is_an_error_of_ours(folder, monkeypatch):
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def fail(*_, **__):
        raise panic("capacity overflow")

    monkeypatch.setattr("safetensors.numpy.save", fail)
    vocabulary = Vocabulary.from_text("ab")
    with pytest.raises(ValueError, match="safetensors: capacity overflow"):
        save_checkpoint("x.safetensors", LanguageModel(2, hidden_size=2, num_layers=1), vocabulary)


def test_a_library_that_panics_is_one_line(model, monkeypatch):
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def fail(*_, **__):
        raise panic("no entry found for key")

    monkeypatch.setattr("fastrnn.cli.score.score", fail)
    assert_one_line(run("score", model, "green"), 1, "a library failed: no entry found for key")
