"""Reading text: files, and the standard library."""

import ast
import subprocess
import sys

import pytest

from fastrnn.data import corpus, read_text, standard_library_text


def test_files_are_joined_in_order(tmp_path):
    for name, text in (("b", "two\n"), ("a", "one\r\n")):
        (tmp_path / name).write_bytes(text.encode())
    assert read_text([tmp_path / "b", str(tmp_path / "a")]) == "two\none\r\n"


def test_bytes_that_are_not_utf8_are_named_with_their_offset(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("ä".encode() + b"caf\xe9 au lait")
    with pytest.raises(ValueError, match=r"latin\.txt: not UTF-8: byte 0xe9 at offset 5 "):
        read_text([path])


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"empty\.txt: the file is empty"):
        read_text([path])


def test_a_byte_order_mark_is_left_out(tmp_path):
    path = tmp_path / "mark.txt"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_text([path]) == "abc"


def test_no_file_at_all_is_refused():
    with pytest.raises(ValueError, match="paths: expected at least one file"):
        read_text([])


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_text([tmp_path / "missing.txt"])


def test_the_standard_library_gives_the_same_bounded_text_to_every_process():
    text = standard_library_text(200_000)
    script = "from fastrnn.data import standard_library_text as s; import sys; sys.stdout.write(s(200_000))"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert len(text) == 200_000
    assert text == other
    assert text.isascii()
    assert len(set(text)) < 100


def test_a_smaller_limit_gives_the_start_of_the_same_text():
    assert standard_library_text(1000) == standard_library_text(5000)[:1000]


def test_the_text_is_python():
    name = corpus._mixed(corpus._MODULES)[0]
    source = corpus._module_source(name)
    assert standard_library_text(len(source)) == source
    assert any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(source)))


def test_there_is_more_than_the_default_asks_for():
    # Some Pythons lack some modules; the others must still fill the default.
    assert len(standard_library_text()) == 1_000_000
    assert sum(len(corpus._module_source(name)) for name in corpus._MODULES) > 2_000_000


def test_reading_it_imports_nothing():
    script = (
        "import sys; from fastrnn.data import standard_library_text; before = set(sys.modules)\n"
        "standard_library_text(3_000_000); print(*(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(ValueError, match="limit: expected 1 or more"):
        standard_library_text(limit)


def test_a_python_without_source_is_named(monkeypatch):
    monkeypatch.setattr(corpus, "_module_source", lambda name: "")
    with pytest.raises(ValueError, match="has no standard library source"):
        standard_library_text()
