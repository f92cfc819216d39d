"""The map of files in CONTRIBUTING.md."""

import pytest

from file_map import (
    MAX_WIDTH,
    PAGE,
    ROOT,
    described_files,
    file_map,
    first_sentence,
    header_comment,
    with_map,
)


def test_every_file_begins_with_a_sentence_that_says_what_is_in_it():
    assert not [name for name, header in described_files(ROOT).items() if not first_sentence(header)]


def test_the_map_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_map(page, file_map()), "run: python tests/file_map.py"


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("The linear layer.", "The linear layer"),
        ("One\nsentence. Another.", "One sentence"),
        ("The cell (Gers et al. 2000; PyTorch's form):\n\n  h = tanh(x)", "The cell"),
        ("The cell of Gers et al. here. More.", "The cell of Gers et al. here"),
        ("Threads: " + "x" * MAX_WIDTH, "Threads"),
        ("Ids in 0 .. V-1. More.", "Ids in 0 .. V-1"),
        ("One (an aside), two" + " word" * 30, "One"),
        ("word " * 40, "word " * 21 + "..."),
        ("", ""),
    ],
)
def test_the_first_sentence_of_a_header(header, sentence):
    assert first_sentence(header) == sentence


@pytest.mark.parametrize(
    ("source", "header"),
    [
        ("// One\n// two.\n#pragma once\n// no\n", "One\ntwo."),
        ("// One:\n//\n//   x\n\n// no\n", "One:\n\nx"),
        ("/* One. */\nint x;\n", "One."),
        ('#include "x"\n// no\n', ""),
    ],
)
def test_the_header_comment_of_a_cpp_file(source, header):
    assert header_comment(source) == header


def test_a_map_has_a_line_for_each_file(tmp_path):
    for name, text in {
        "python/fastrnn/__init__.py": '"""A package."""\n',
        "python/fastrnn/train/__init__.py": '"""Training."""\n',
        "python/fastrnn/train/loop.py": '"""The loop."""\n',
        "cpp/cpu/cpu.cpp": "// The CPU.\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert file_map(tmp_path).splitlines()[1:-1] == [
        "python/fastrnn/  A package",
        "",
        "python/fastrnn/train/  Training",
        "  loop.py  The loop",
        "",
        "cpp/cpu/",
        "  cpu.cpp  The CPU",
    ]


def test_a_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="expected the lines <!-- file map: begin -->"):
        with_map("# A page\n", "")
