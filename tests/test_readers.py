"""Readers of CoNLL columns, delimited text, JSON lines, pairs of texts and series of numbers."""

import io
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fastrnn.data import read_conll, read_jsonl, read_pairs, read_series, read_table, write_conll

CONLLU = (
    "# sent_id = 1\n"
    "1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tdo\tdo\tAUX\tVB\t_\t_\t_\t_\t_\n"
    "2\tn't\tnot\tPART\tRB\t_\t_\t_\t_\t_\n"
    "2.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_\n"
    "\n\n"
    "# sent_id = 2\n"
    "1\t#\t#\tSYM\tNN\t_\t_\t_\t_\tSpaceAfter=No x\n"
)
CONLL2003 = "-DOCSTART- -X- -X- O\n\n# # B-NP O\n4 CD I-NP O\n\nEU NNP B-NP B-ORG\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def test_conllu_skips_comments_multiword_tokens_and_empty_nodes(write):
    words, tags, last = read_conll(write(CONLLU), "form", "upos", "misc")
    assert words == [["do", "n't"], ["#"]]
    assert tags == [["AUX", "PART"], ["SYM"]]
    assert last == [["_", "_"], ["SpaceAfter=No x"]]


def test_one_column_comes_as_it_is_and_indices_name_the_same_columns(write):
    path = write(CONLLU)
    assert read_conll(path, "xpos") == read_conll(path, 4) == [["VB", "RB"], ["NN"]]


def test_in_conll_2003_a_number_sign_is_a_word_and_docstart_is_none(write):
    words, tags = read_conll(write(CONLL2003), "word", "ner")
    assert words == [["#", "4"], ["EU"]]
    assert tags == [["O", "O"], ["B-ORG"]]


def test_by_index_a_number_sign_is_a_comment_only_before_a_sentence(write):
    assert read_conll(write("# a comment\na X\n# Y\n"), 0, 1) == ([["a", "#"]], [["X", "Y"]])


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(mark, write):
    assert read_conll(write(mark + b"a X\r\n\r\nb Y\r\n"), 0) == [["a"], ["b"]]
    series = write(mark + b"t,v\r\n1,2\r\n", "a.csv")
    assert read_series(series, column="v", index="t")[1] == ["1"]


def test_other_encodings_are_named(write):
    path = write("ä X\n".encode("latin-1"))
    assert read_conll(path, 0, encoding="latin-1") == [["ä"]]
    with pytest.raises(ValueError, match=r"a\.txt: not UTF-8"):
        read_conll(path, 0)


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("a X\n\nb\n", (0,), r"a\.txt, line 3: expected 2 columns, as in the lines before, got 1"),
        ("a X\nb\n", (1,), r"a\.txt, line 2: expected at least 2 columns, got 1"),
        (CONLLU.replace("2\tn't", "x\tn't"), ("form",), r"line 4: expected an id such as .*, got 'x'"),
        ("# only\n\n", ("form",), "expected at least one sentence, got none"),
        ("", ("form",), "the file is empty"),
        ("a\n", (), "columns: expected at least one"),
        ("a\n", ("upos", "ner"), "got both"),
        ("a\n", ("wrod",), r"columns\[0\]: expected an index, or one of id, form.*got 'wrod'"),
        ("a\n", (-1,), r"columns\[0\]: expected"),
    ],
)
def test_what_conll_refuses_names_file_and_line(content, columns, message, write):
    with pytest.raises(ValueError, match=message):
        read_conll(write(content), *columns)


def test_predictions_replace_a_column_and_nothing_else(write, tmp_path):
    source, path = write(CONLLU), tmp_path / "b.txt"
    write_conll(path, source, [["X", "Y"], ["Z"]], column="upos")
    assert path.read_text() == CONLLU.replace("AUX", "X").replace("PART", "Y").replace("SYM", "Z")


def test_predictions_are_appended_and_what_is_no_word_gets_none(write, tmp_path):
    path = tmp_path / "b.txt"
    write_conll(path, write(CONLLU), [["X", "Y"], ["Z"]])
    lines = path.read_text().splitlines()
    cells = [line.split("\t") for line in lines if "\t" in line]
    assert [row[-1] for row in cells] == ["_", "X", "Y", "_", "Z"]
    assert [row[:-1] for row in cells] == [line.split("\t") for line in CONLLU.splitlines() if "\t" in line]
    assert [line for line in lines if "\t" not in line] == ["# sent_id = 1", "", "", "# sent_id = 2"]


def test_predictions_are_appended_to_conll_2003_where_a_number_sign_is_a_word(write):
    path = write(CONLL2003)
    write_conll(path, path, [["P", "Q"], ["R"]], layout="conll2003")
    assert path.read_text().splitlines() == [
        "-DOCSTART- -X- -X- O _", "", "# # B-NP O P", "4 CD I-NP O Q", "", "EU NNP B-NP B-ORG R"
    ]  # fmt: skip
    assert read_conll(path, 4, layout="conll2003") == [["P", "Q"], ["R"]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([["X"], ["Z"]], r"values\[0\]: expected a value for each word, got 1; .*a\.txt, line 4"),
        ([["X", "Y", "Z"], ["Z"]], r"values\[0\]: expected 2 values"),
        ([["X", "Y"]], r"values: expected as many sentences"),
        ([["X", "Y"], ["Z"], ["Z"]], r"values: expected 2 sentences.*got 3"),
        ([["X", "Y"], [""]], r"values\[1\]\[0\]: expected a cell without white space"),
        ([["X", "a b"], ["Z"]], r"values\[0\]\[1\]: expected a cell without white space"),
    ],
)
def test_predictions_that_do_not_fit_leave_the_file_as_it_was(values, message, write):
    path = write(CONLLU)
    with pytest.raises(ValueError, match=message):
        write_conll(path, path, values, column="upos")
    assert path.read_text() == CONLLU


def test_a_table_has_columns_by_name_and_quoted_cells(write):
    path = write('text,label\n"Good, ""really""",1\n\n"two\nlines",0\n', "a.csv")
    assert read_table(path) == {"text": ['Good, "really"', "two\nlines"], "label": ["1", "0"]}
    assert read_table(write("a\tb\n", "a.TSV"), header=False) == {"0": ["a"], "1": ["b"]}
    assert read_table(write("a;b\n1;2\n"), delimiter=";") == {"a": ["1"], "b": ["2"]}


def test_a_cell_may_be_a_long_document(write):
    assert len(read_table(write("a,b\n" + "x" * 200_000 + ",1\n", "a.csv"))["a"][0]) == 200_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('a,b\n"1\n2",3\n4\n', r"a\.csv, line 4: expected 2 cells, got 1"),
        ('a,b\n1,2\n3,"4\n5,6\n', r"a\.csv, line 3: "),
        ("a,a\n1,2\n", "line 1: expected different names of columns, got 'a' twice"),
        ("a,\n1,2\n", "got an empty one at column 2"),
        ("a,b\n", "expected at least one row after the header"),
        ("\n\n", "expected at least one row, got none"),
        ("", "the file is empty"),
    ],
)
def test_what_a_table_refuses_names_file_and_line(content, message, write):
    with pytest.raises(ValueError, match=message):
        read_table(write(content, "a.csv"))


def test_an_unknown_suffix_needs_a_delimiter_of_one_character(write):
    path = write("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"delimiter: expected one for .*a\.txt"):
        read_table(path)
    with pytest.raises(ValueError, match=r"delimiter: expected one character"):
        read_table(path, delimiter=", ")
    with pytest.raises(TypeError, match=r"delimiter: expected one character.*got int"):
        read_table(path, delimiter=5)


def test_json_lines_are_objects(write):
    assert read_jsonl(write('{"a": [1, "x"]}\n\n{}\n')) == [{"a": [1, "x"]}, {}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": }', r"a\.txt, line 2, column 7: not JSON"),
        ("[1]", r"a\.txt, line 2: expected a JSON object, got \[1\]"),
        ('{"a": NaN}', r"a\.txt, line 2: expected finite numbers"),
        ("[" * 100_000, r"a\.txt, line 2: nested too deep"),
    ],
)
def test_what_json_lines_refuse_names_file_and_line(line, message, write):
    with pytest.raises(ValueError, match=message):
        read_jsonl(write("{}\n" + line + "\n"))


def test_pairs_come_from_one_file_or_from_two(write):
    assert read_pairs(write("a b\tc\n\nd\te\n")) == (["a b", "d"], ["c", "e"])
    assert read_pairs(write("a ||| b\n"), separator=" ||| ") == (["a"], ["b"])
    assert read_pairs(write("a\n\nb\n", "s"), write("c\n\nd\n", "t")) == (["a", "", "b"], ["c", "", "d"])


@pytest.mark.parametrize(("line", "parts"), [("c", "1 part"), ("c\td\te", "3 parts")])
def test_what_pairs_refuse_names_file_and_line(line, parts, write):
    with pytest.raises(ValueError, match=rf"a\.txt, line 2: expected a source and a target .* got {parts}"):
        read_pairs(write(f"a\tb\n{line}\n"))


def test_parallel_files_have_as_many_lines(write):
    with pytest.raises(ValueError, match=r"expected 2 lines, as in .*s, got 1"):
        read_pairs(write("a\nb\n", "s"), write("c\n", "t"))


def test_a_series_is_one_column_or_several(write):
    path = write("t,a,b\nx,1,2\ny,-3e1,4.5\n", "a.csv")
    values, index = read_series(path, column="a", index="t")
    assert values.dtype == np.float64
    assert (values.tolist(), index) == ([1, -30], ["x", "y"])
    assert read_series(path, index="t")[0].tolist() == [[1, 2], [-30, 4.5]]
    assert read_series(path, column=["b", "a"])[0].tolist() == [[2, 1], [4.5, -30]]
    assert read_series(path, column=["b"])[0].shape == (2, 1)
    assert read_series(path, column="b")[1] is None


@pytest.mark.parametrize("cell", ["", " ", "x", "nan", "inf", "1_000", "1e999"])
def test_a_cell_that_is_no_number_is_named_by_line_and_column(cell, write):
    with pytest.raises(ValueError, match=r"a\.csv, line 3, column 'v': expected a"):
        read_series(write(f"t,v\n1,2\n2,{cell}\n", "a.csv"), column="v")


def test_a_column_that_does_not_exist_is_named_with_those_that_do(write):
    path = write("t,v\n1,2\n", "a.csv")
    with pytest.raises(ValueError, match=r"column: expected one of the columns \['t', 'v'\] of .*, got 'w'"):
        read_series(path, column="w")
    with pytest.raises(ValueError, match=r"index: expected one of"):
        read_series(path, column="v", index="w")


def test_standard_input_is_read_and_named(monkeypatch):
    def standard_input(text):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))

    standard_input(b"a X\n")
    assert read_conll("-", 0) == [["a"]]
    standard_input(b"a,b\n1\n")
    with pytest.raises(ValueError, match="standard input, line 2: expected 2 cells, got 1"):
        read_table("-", delimiter=",")
    with pytest.raises(ValueError, match="got standard input twice"):
        read_pairs("-", "-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in its file system")
@pytest.mark.parametrize(
    "read",
    [lambda path: read_conll(path, 0), lambda path: read_table(path, delimiter=","), read_jsonl, read_pairs],
)
def test_a_pipe_is_refused_and_never_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read(tmp_path / "pipe")
