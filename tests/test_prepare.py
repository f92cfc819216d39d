"""Texts that are prepared: the ids of the whole text, however many processes make them, in little memory."""

import errno
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import fastrnn as fr
from fastrnn.cli.settings import TrainingSettings
from fastrnn.cli.training_parts import make_vocabulary
from fastrnn.cli.training_texts import TrainingTexts, read_texts
from fastrnn.data import PreparedText, Vocabulary, ids_file, prepare, text_spans
from fastrnn.data.shared_work import Alone, Workers
from thread_ranks import run_ranks

TEXT = "the cat\r\n\n sat  on the mat\nnaïve 漢字 𝄞 the\r\nx\n\n" * 9 + "a " * 40 + "no end"
ONE_LINE = "alpha beta gamma-delta " * 30
ODD = {
    "lines": TEXT,
    "one line": ONE_LINE,
    "no space": "x" * 100 + "yz",
    "ends": TEXT + "\n\n",
    "blank": "a\n \n\n\t\n b \nc" * 5,
}


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def parts_of(text, level, fraction=0.1):
    """The training and the validation text, as `fastrnn train` cuts them."""
    held_out = int(len(text) * fraction)
    cut = len(text) - held_out
    if level == "word":
        cut = text.rfind("\n", 0, cut) + 1 or cut
    return (text[:cut], text[cut:]) if held_out >= 2 else (text, "")


def assert_holds(prepared, parts):
    for ids, text in zip((prepared.train, prepared.valid), parts, strict=True):
        assert ids.tolist() == prepared.vocabulary.encode_stream(text).tolist()
    prepared.verify()


@pytest.mark.parametrize("block", [1, 7, 50, 1 << 22])
@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("name", ODD)
def test_the_ids_are_those_of_the_whole_text(tmp_path, monkeypatch, name, level, block):
    monkeypatch.setattr(text_spans, "_BLOCK", block)
    monkeypatch.setattr(text_spans, "_LOOK", 5)
    text = ODD[name]
    with prepare(write(tmp_path / "a.txt", text), tmp_path / "a.ids", level=level) as prepared:
        assert_holds(prepared, parts_of(text, level))


@pytest.mark.parametrize("level", ["char", "word"])
def test_files_are_one_text_without_their_marks(tmp_path, monkeypatch, level):
    monkeypatch.setattr(text_spans, "_BLOCK", 11)
    texts = ["one tw", "o three\nfour", "\nfive" * 20]
    paths = [write(tmp_path / f"{i}.txt", text, "utf-8-sig") for i, text in enumerate(texts)]
    with prepare(paths, tmp_path / "a.ids", level=level, valid_fraction=0.3) as prepared:
        assert_holds(prepared, parts_of("".join(texts), level, 0.3))
        assert prepared.source == ", ".join(map(str, paths))


OPTIONS = [
    {},
    {"max_types": 5},
    {"min_count": 3},
    {"level": "word"},
    {"level": "word", "max_types": 4, "tokenizer": "whitespace"},
    {"level": "word", "min_count": 2, "valid_fraction": 0.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("given", [False, True], ids=["split", "valid"])
def test_vocabulary_digest_and_parts_are_those_of_a_training_on_the_text(tmp_path, options, given):
    path, valid = write(tmp_path / "a.txt", TEXT), write(tmp_path / "v.txt", "the dog\nsat?\n")
    settings = TrainingSettings(files=(str(path),), **options, valid=str(valid) if given else None)
    texts = read_texts(settings)
    with prepare(path, tmp_path / "a.ids", **options, valid=valid if given else None) as prepared:
        assert prepared.vocabulary == make_vocabulary(settings, texts)
        assert prepared.digest == texts.digest
        assert_holds(prepared, (texts.train, texts.valid))


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("size", [2, 3, 5, 64])
def test_any_number_of_ranks_makes_the_same_bytes(tmp_path, monkeypatch, level, size):
    monkeypatch.setattr(text_spans, "_BLOCK", 13)
    path = write(tmp_path / "a.txt", TEXT)
    prepare(path, tmp_path / "one.ids", level=level).close()

    def work(ranks):
        with prepare(path, tmp_path / "many.ids", level=level, ranks=ranks) as prepared:
            return len(prepared.train)

    assert len(set(run_ranks(size, work))) == 1
    assert (tmp_path / "many.ids").read_bytes() == (tmp_path / "one.ids").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "many.ids", "one.ids"]


def test_several_processes_make_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(text_spans, "_BLOCK", 100)
    path = write(tmp_path / "a.txt", TEXT)
    prepare(path, tmp_path / "one.ids", level="word").close()
    prepare(path, tmp_path / "two.ids", level="word", processes=2).close()
    assert (tmp_path / "two.ids").read_bytes() == (tmp_path / "one.ids").read_bytes()


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-32-le"])
def test_a_text_in_another_encoding_has_the_ids_of_its_characters(tmp_path, encoding):
    text = "the naïve cat\r\nsat\n" * 8
    path = write(tmp_path / "a.txt", text, encoding)
    with prepare(path, tmp_path / "a.ids", level="word", encoding=encoding) as prepared:
        assert_holds(prepared, parts_of(text, "word"))
    assert sorted(os.listdir(tmp_path)) == ["a.ids", "a.txt"]


@pytest.mark.parametrize(
    ("symbols", "dtype"), [(256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")]
)
def test_ids_have_the_smallest_integers_that_hold_them(tmp_path, symbols, dtype):
    text = "".join(chr(0x10000 + i) for i in range(symbols))
    with prepare(write(tmp_path / "a.txt", text), tmp_path / "a.ids") as prepared:
        assert prepared.train.dtype == prepared.valid.dtype == dtype
        assert len(prepared.vocabulary) == symbols
        assert_holds(prepared, parts_of(text, "char"))


def test_the_file_is_a_safetensors_file_with_aligned_values(tmp_path):
    prepare(write(tmp_path / "a.txt", TEXT), tmp_path / "a.ids", level="word").close()
    length = int.from_bytes((tmp_path / "a.ids").read_bytes()[:8], "little")
    assert length % 8 == 0
    with PreparedText.open(tmp_path / "a.ids") as prepared, safe_open(tmp_path / "a.ids", "np") as file:
        assert sorted(file.keys()) == ["train", "valid"]
        for name in ("train", "valid"):
            assert np.array_equal(file.get_tensor(name), getattr(prepared, name))


def test_a_given_vocabulary_is_used(tmp_path):
    vocabulary = Vocabulary(["cat", "the"], level="word", unknown="?", eos="<eos>")
    path = write(tmp_path / "a.txt", TEXT)
    with prepare(path, tmp_path / "a.ids", vocabulary=vocabulary) as prepared:
        assert prepared.vocabulary == vocabulary
        assert_holds(prepared, parts_of(TEXT, "word"))


def test_a_function_splits_lines_and_is_given_again(tmp_path):
    path = write(tmp_path / "a.txt", "a-b\nc-a\n" * 5)
    with prepare(path, tmp_path / "a.ids", level="word", tokenizer=lambda line: line.split("-")) as prepared:
        assert prepared.vocabulary.symbols == ("<unk>", "<eos>", "a", "b", "c")
        ids = prepared.train.tolist()
    with pytest.raises(ValueError, match="made with a function, which is not saved"):
        PreparedText.open(tmp_path / "a.ids")
    with PreparedText.open(tmp_path / "a.ids", tokenizer=lambda line: line.split("-")) as prepared:
        assert prepared.train.tolist() == ids


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(text_spans, "_BLOCK", 1 << 14)
    path = write(tmp_path / "a.txt", "the cat sat on the mat\n" * 50_000)
    prepare(write(tmp_path / "b.txt", "warm up " * 9), tmp_path / "b.ids", level="word").close()
    tracemalloc.start()
    try:
        with prepare(path, tmp_path / "a.ids", level="word") as prepared:
            data = fr.data.ChunkedText(prepared.train, 16, 32)
            data.batch(3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data.tokens > 300_000
    assert peak < 1_000_000 < path.stat().st_size


def refusal(*arguments, kind=ValueError, **options):
    with pytest.raises(kind) as found:
        prepare(*arguments, **options)
    return str(found.value)


def test_what_cannot_be_prepared_is_refused_and_leaves_the_old_file(tmp_path):
    path, out = write(tmp_path / "a.txt", TEXT), write(tmp_path / "a.ids", "old")
    empty, latin = write(tmp_path / "e.txt", ""), write(tmp_path / "l.txt", "caf\xe9 " * 9, "latin-1")
    few = Vocabulary("the")
    assert f"{path}: is an input" in refusal(path, path)
    assert f"{path}: is an input" in refusal(out, path, valid=path)
    assert refusal(empty, out) == f"{empty}: the file is empty"
    assert f"{latin}: not UTF-8: byte 0xe9 at offset 3" in refusal(latin, out)
    assert f"{latin}: not UTF-8: byte 0xe9 at offset 3" in refusal(latin, out, level="word", valid=path)
    assert "from byte 0 on: ' ' at position 3 is not in the vocabulary" in refusal(path, out, vocabulary=few)
    assert "level: expected 'char', that of the vocabulary" in refusal(
        path, out, vocabulary=few, level="word"
    )
    assert "max_types: expected none with a vocabulary, got 3" in refusal(
        path, out, vocabulary=few, max_types=3
    )
    assert "min_count: expected at most" in refusal(path, out, level="word", min_count=10**6)
    assert "valid_fraction: expected a probability in [0, 1), got 1" in refusal(path, out, valid_fraction=1)
    assert "processes: expected 1 or more, got 0" in refusal(path, out, processes=0)
    assert "expected at least one file" in refusal([], out)
    assert "expected a Vocabulary, got list" in refusal(path, out, vocabulary=["a"], kind=TypeError)
    refusal(tmp_path / "missing.txt", out, kind=FileNotFoundError)
    refusal(path, tmp_path / "missing" / "a.ids", kind=FileNotFoundError)
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a.ids", "a.txt", "e.txt", "l.txt"]


def test_a_file_that_shrinks_meanwhile_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt", TEXT)
    real = text_spans.file_spans
    monkeypatch.setattr(
        "fastrnn.data.text_preparation.file_spans",
        lambda *given: [span._replace(stop=span.stop + 1) for span in real(*given)],
    )
    assert f"{path}: has become shorter while it was read" in refusal(path, tmp_path / "a.ids")


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_full_disk_on_one_rank_ends_all_and_leaves_nothing(tmp_path, monkeypatch, failing):
    monkeypatch.setattr(text_spans, "_BLOCK", 13)
    path, out = write(tmp_path / "a.txt", TEXT), write(tmp_path / "a.ids", "old")

    def work(ranks):
        with pytest.raises(OSError, match="No space left") as found:
            prepare(path, out, ranks=ranks)
        return found.value.errno, found.value.filename

    real = ids_file._write_own

    def write_own(file, start, encoding, workers, numbered):
        if workers.ranks.rank == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, start, encoding, workers, numbered)

    monkeypatch.setattr(ids_file, "_write_own", write_own)
    assert run_ranks(3, work) == [(errno.ENOSPC, str(out))] * 3
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a.ids", "a.txt"]


def test_a_digest_of_texts_is_that_of_their_characters(tmp_path):
    path = write(tmp_path / "a.txt", TEXT)
    spans = text_spans.file_spans([path])
    assert text_spans.text_digest([spans, []]) == TrainingTexts(TEXT, "", "").digest


def test_a_file_that_the_system_does_not_let_grow_leaves_nothing_behind(tmp_path):
    write(tmp_path / "a.txt", TEXT * 9)
    script = (
        "import resource\nfrom fastrnn.data import prepare\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "try:\n    prepare('a.txt', 'a.ids')\n"
        "except OSError as error:\n    print(error.filename, error.strerror)"
    )
    source = str(Path(fr.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert run.stdout == f"a.ids {os.strerror(errno.EFBIG)}\n", run.stderr
    assert os.listdir(tmp_path) == ["a.txt"]


def test_progress_is_shown_if_it_is_asked_for(tmp_path, capfd):
    path = write(tmp_path / "a.txt", TEXT)
    prepare(path, tmp_path / "a.ids").close()
    assert capfd.readouterr().err == ""
    prepare(path, tmp_path / "a.ids", progress=True).close()
    shown = capfd.readouterr().err
    assert "counting: 100%" in shown
    assert "encoding: 100%" in shown


def end_process(shared, item):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_reported_with_what_to_type():
    with pytest.raises(ChildProcessError, match=r"was killed, perhaps for want of memory; try --processes 1"):
        list(Workers(Alone(), 2).map(end_process, None, range(6)))
