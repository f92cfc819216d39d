"""The data sets that ship: what they hold, their files, and that the program reads these as typed."""

import shlex
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

import fastrnn as fr
from fastrnn.cli.model_tasks import TASKS
from fastrnn.cli.program import main
from fastrnn.data import read_conll, read_jsonl, read_lines, read_series, read_table
from fastrnn.data.shipped import DATA_SETS
from fastrnn.data.synthetic import legal_continuations

EACH = pytest.mark.parametrize("data_set", DATA_SETS.values(), ids=DATA_SETS)
SUBSETS = pytest.mark.parametrize("subset", ["train", "valid"])


def plain(data):
    """Return data as nested lists, to compare."""
    if isinstance(data, (tuple, list)):
        return [plain(part) for part in data]
    return data.tolist() if isinstance(data, np.ndarray) else data


def read(name, path):
    """Return what a file of a data set holds, by the readers of the package."""
    if name in ("names", "dates"):
        return list(read_table(path).values())
    if name == "sines":
        rows = read_jsonl(path)
        return [[row["series"] for row in rows], [row["target"] for row in rows]]
    if name == "sentences":
        return [read_conll(path, "form"), read_conll(path, "upos")]
    if name == "cycles":
        return read_series(path, column="activity")[0].tolist()
    return "\n".join(read_lines(path)) + "\n" if name == "tales" else list(read_lines(path))


@EACH
def test_the_files_hold_what_is_loaded(data_set, tmp_path):
    paths = data_set.write(tmp_path)
    assert [path.name for path in paths] == list(data_set.files)
    for path, subset in zip(paths, ("train", "valid"), strict=True):
        assert plain(read(data_set.name, path)) == plain(data_set.load(subset))


@EACH
def test_its_function_loads_the_same_each_time(data_set):
    load = getattr(fr.data, f"load_{data_set.name}")
    assert plain(load()) == plain(data_set.load("train")) == plain(data_set.load())
    assert plain(load("valid")) != plain(load())
    with pytest.raises(ValueError, match="subset: expected 'train' or 'valid', got 'test'"):
        load("test")


@EACH
def test_it_says_what_it_is_in_a_line_each(data_set):
    assert data_set.task == "text" or data_set.task in TASKS
    for text in (data_set.summary, data_set.origin, data_set.command):
        assert text
        assert len(text) < 120
        assert "\n" not in text
    assert "licence" in data_set.origin
    assert f"DataSet(name={data_set.name!r}" in repr(data_set)


@EACH
def test_existing_files_are_kept_unless_they_may_be_replaced(data_set, tmp_path):
    second = tmp_path / data_set.files[1]
    second.write_text("mine")
    with pytest.raises(FileExistsError, match="exists; to replace it, write overwrite=True"):
        data_set.write(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    data_set.write(tmp_path, overwrite=True)
    assert second.read_text() != "mine"
    with pytest.raises(TypeError, match="overwrite: expected True or False"):
        data_set.write(tmp_path, overwrite="yes")


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        DATA_SETS["names"].write(tmp_path / "nowhere")


@EACH
def test_the_program_reads_the_files_as_its_command_is_typed(data_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in data_set.write():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: 400 if data_set.name == "sentences" else 81]))
    program, *words = shlex.split(data_set.command)
    assert program == "fastrnn"
    result = CliRunner().invoke(main, [*words, "--epochs", "1", "--hidden-size", "4"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / f"{data_set.name}.safetensors").exists()


@SUBSETS
def test_names_have_twelve_languages_alike_and_no_name_is_in_both_parts_of_one(subset):
    names, languages = fr.data.load_names(subset)
    counts = {language: languages.count(language) for language in languages}
    assert len(counts) == 12
    assert set(counts.values()) == {60 if subset == "train" else 15}
    assert all(name.isascii() and name.isalpha() and name.istitle() for name in names)
    other = fr.data.load_names("valid" if subset == "train" else "train")
    assert not set(zip(names, languages, strict=True)) & set(zip(*other, strict=True))


def test_no_date_of_the_part_to_measure_on_is_in_training():
    _, training = fr.data.load_dates()
    _, valid = fr.data.load_dates("valid")
    assert len(set(training) | set(valid)) == 4400


@SUBSETS
def test_reber_strings_are_of_the_grammar(subset):
    for string in fr.data.load_reber(subset):
        assert legal_continuations(string, embedded=True)[-1] == ""


def test_the_second_part_of_the_cycles_goes_on_after_the_first():
    first, second = fr.data.load_cycles(), fr.data.load_cycles("valid")
    series = np.concatenate([first, second])
    assert (len(first), len(second)) == (400, 100)
    assert series.min() >= 0
    low = np.flatnonzero((series[1:-1] <= series[:-2]) & (series[1:-1] < series[2:]))
    assert 8 <= np.median([b - a for a, b in pairwise(low)]) <= 14


@SUBSETS
def test_the_period_of_a_sine_is_that_of_its_spectrum(subset):
    series, periods = fr.data.load_sines(subset)
    for one, period in zip(series[:50], periods, strict=False):
        spectrum = np.abs(np.fft.rfft(one, 4096))
        found = 4096 / (1 + spectrum[1:].argmax())
        assert found == pytest.approx(period, rel=0.35)


def test_some_words_of_the_sentences_have_several_tags():
    sentences, tags = fr.data.load_sentences()
    pairs = {(w, t) for own in zip(sentences, tags, strict=True) for w, t in zip(*own, strict=True)}
    several = {w for w, _ in pairs if len([1 for word, _ in pairs if word == w]) > 1}
    assert {"light", "watches", "that", "open", "near"} <= several
