"""Counting the symbols of files of any size."""

import tracemalloc
from collections import Counter
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.data import Vocabulary, read_lines, read_text, reading
from fastrnn.data.counting import count_files, count_text
from fastrnn.data.reading import split_lines

# Characters of one to four bytes, white space and line ends of many kinds.
TEXT = st.text(st.sampled_from("ab'é語😀 \t\u3000\n\r"), min_size=1, max_size=60)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
BYTES = st.binary(min_size=1, max_size=20) | st.lists(
    st.sampled_from(
        [b"a", "é".encode(), "語".encode(), "😀".encode(), b"\xe8", b"\xf0\x9f", b"\x80", b"\xff"]
    )
).map(b"".join)
SIZES = st.integers(1, 9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("texts")


def write(folder, *contents):
    paths = [folder / f"{index}.txt" for index in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return paths


@contextmanager
def chunks_of(size):
    """Read a few bytes at a time instead of megabytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_CHUNK_SIZE", size)
        yield


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(reading, "_CHUNK_SIZE", 1000)


@given(TEXT | ANY_TEXT.map(lambda text: text.removeprefix("\ufeff") or "x"), SIZES)
def test_files_have_the_symbols_of_their_text(folder, text, size):
    [path] = write(folder, text)
    with chunks_of(size):
        assert count_files(path, None) == count_text(text, None) == Counter(text)
        assert count_files(path, str.split) == count_text(text, str.split) == Counter(text.split())
        assert Vocabulary.from_files([path]) == Vocabulary.from_text(text)
        for tokenizer in ("words", "whitespace", str.split) if text.strip() else ():
            options = {"level": "word", "tokenizer": tokenizer, "eos": "<eos>"}
            assert Vocabulary.from_files([path], **options) == Vocabulary.from_text(text, **options)


@given(TEXT, SIZES)
def test_lines_are_the_same_whatever_the_chunks(folder, text, size):
    expected = [line.removesuffix("\r") for line in text.split("\n")]
    if text.endswith("\n"):
        expected.pop()
    [path] = write(folder, text)
    with chunks_of(size):
        assert list(read_lines(path)) == list(split_lines(text)) == expected


@given(BYTES, SIZES)
def test_bytes_that_are_not_utf8_are_named_as_by_read_text(folder, content, size):
    [path] = write(folder, content or b"\xff")
    try:
        text, message = read_text([path]), ""
    except ValueError as error:
        text, message = "", str(error)
    with chunks_of(size):
        if message:
            for call in (count_files, lambda path, split: list(read_lines(path))):
                with pytest.raises(
                    ValueError, match=r"\.txt: (not UTF-8: byte 0x|the file is empty)"
                ) as caught:
                    call(path, None)
                assert str(caught.value) == message
        else:
            assert count_files(path, None) == Counter(text)


@given(st.lists(TEXT, min_size=1, max_size=4), SIZES)
def test_a_word_ends_with_its_file(folder, texts, size):
    paths = write(folder, *texts)
    with chunks_of(size):
        assert count_files(paths, None) == Counter("".join(texts))
        assert count_files(iter(paths), str.split) == Counter("\n".join(texts).split())
        assert list(read_lines(paths)) == [line for text in texts for line in split_lines(text)]


def test_a_long_line_comes_in_pieces_and_a_long_word_whole(folder, small_chunks):
    words = ["a" * 5000, *(f"w{i % 300}" for i in range(5000)), "é" * 5000]
    [path] = write(folder, " ".join(words))
    seen = []

    def split(line):
        seen.append(len(line))
        return line.split()

    assert count_files(path, split) == Counter(words)
    assert sum(seen) == len(" ".join(words))
    assert sorted(seen)[-3] <= 2000
    assert list(read_lines(path)) == [" ".join(words)]


def test_a_line_of_usual_length_is_never_cut(folder, small_chunks):
    lines = [f"{i} " * (i % 200) for i in range(300)] + ["the last one has no end"]
    [path] = write(folder, "\n".join(lines))
    seen = []
    count_files(path, lambda line: seen.append(line) or [])
    assert seen == lines


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("level", ["char", "word"])
def test_an_empty_file_is_refused(folder, content, level):
    paths = write(folder, "text", content)
    with pytest.raises(ValueError, match=r"1\.txt: the file is empty"):
        Vocabulary.from_files(paths, level=level)
    with pytest.raises(ValueError, match=r"1\.txt: the file is empty"):
        list(read_lines(paths))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_byte_order_mark_is_left_out_at_the_start_alone(folder, size, monkeypatch):
    monkeypatch.setattr(reading, "_CHUNK_SIZE", size)
    paths = write(folder, "\ufeffab\ufeff", "\ufeff\ufeff")
    assert count_files(paths, None) == Counter("ab\ufeff\ufeff")
    assert list(read_lines(paths)) == ["ab\ufeff", "\ufeff"]


def test_arguments_are_checked_before_anything_is_read(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "missing.txt"]
    paths[0].write_bytes(b"\xff")
    with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
        Vocabulary.from_files(paths)
    with pytest.raises(ValueError, match="max_types: expected 1 or more"):
        Vocabulary.from_files(paths, max_types=0)
    with pytest.raises(ValueError, match="level: expected"):
        Vocabulary.from_files(paths, level="words")
    with pytest.raises(ValueError, match="eos: expected a symbol of its own"):
        Vocabulary.from_files(paths, unknown="<s>", eos="<s>")
    with pytest.raises(ValueError, match="tokenizer: expected"):
        Vocabulary.from_files(paths, level="word", tokenizer="letters")
    with pytest.raises(ValueError, match="paths: expected at least one file"):
        Vocabulary.from_files([])
    with pytest.raises(ValueError, match="paths: expected at least one file"):
        read_lines([])


def test_files_without_a_word_are_named(folder):
    with pytest.raises(ValueError, match="paths: no symbols: expected at least one, got none"):
        Vocabulary.from_files(write(folder, " \n\t"), level="word")


def test_the_progress_bar_counts_bytes_on_standard_error(folder, small_chunks, capsys):
    paths = write(folder, "é a " * 1000, "b" * 500)
    quiet = Vocabulary.from_files(paths, level="word")
    assert capsys.readouterr() == ("", "")
    assert Vocabulary.from_files(paths, level="word", progress=True) == quiet
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "counting: 100%" in shown.err
    assert "5.50k/5.50k" in shown.err


@pytest.mark.parametrize("split", [None, str.split])
def test_memory_does_not_grow_with_the_file(folder, split, monkeypatch):
    monkeypatch.setattr(reading, "_CHUNK_SIZE", 10_000)
    [small, large] = write(folder, "a few words é\n" * 1000, "a few words é\n" * 100_000)

    def peak(path):
        count_files(path, split)  # allocations made only once do not count
        tracemalloc.start()
        try:
            count_files(path, split)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(large) < 2 * peak(small)  # it is a hundred times as long
