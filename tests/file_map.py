"""The map of files in CONTRIBUTING.md, from the first sentence of each file.

``python tests/file_map.py`` writes it; `test_file_map.py` checks that it is up to date.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- file map: begin -->\n", "<!-- file map: end -->\n"
PYTHON, CPP = "python/fastrnn", "cpp"
CPP_SUFFIXES = {".c", ".h", ".cpp", ".hpp"}
MAX_WIDTH = 110


def described_files(root: Path) -> dict[str, str]:
    """Return the header of every source file by name relative to `root`: "" where there is none."""
    python = sorted((root / PYTHON).rglob("*.py"))
    cpp = sorted(path for path in (root / CPP).rglob("*.*") if path.suffix in CPP_SUFFIXES)
    headers = {path: docstring(path.read_text(encoding="utf-8")) for path in python}
    headers |= {path: header_comment(path.read_text(encoding="utf-8")) for path in cpp}
    return {path.relative_to(root).as_posix(): header for path, header in headers.items()}


def docstring(source: str) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(ast.parse(source)) or ""


def header_comment(source: str) -> str:
    """Return the comment that a C or C++ file begins with, without its slashes."""
    if source.startswith("/*"):
        return source[2:].partition("*/")[0].strip()
    lines = re.match(r"(//[^\n]*\n)*", source)[0].splitlines()
    return "\n".join(line.removeprefix("//").strip() for line in lines)


def first_sentence(header: str) -> str:
    """Return the first sentence of a header, without citations and at most MAX_WIDTH long."""
    paragraph = " ".join(header.partition("\n\n")[0].split())
    sentence = re.split(r"(?<!\bal)(?<![ .])\. (?=[A-Z])", paragraph)[0].rstrip(".:")
    sentence = re.sub(r" \([^()]*\d{4}[^()]*\)", "", sentence)
    for separator in (": ", "; ", ", so that "):
        if len(sentence) > MAX_WIDTH:
            sentence = sentence.partition(separator)[0]
    if len(sentence) > MAX_WIDTH:
        sentence = re.sub(r" \([^()]*\)", "", sentence)
    if len(sentence) > MAX_WIDTH:
        head = sentence[: MAX_WIDTH - 4]
        sentence = head.rpartition(", ")[0] or head.rpartition(" ")[0] + " ..."
    return sentence


def file_map(root: Path = ROOT) -> str:
    """Return the map: a heading for each folder, and a line for each file in it."""
    folders: dict[str, dict[str, str]] = {}
    for name, header in described_files(root).items():
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, {})[file] = first_sentence(header)
    blocks = []
    for folder, files in folders.items():
        heading = f"{folder}/  {files.pop('__init__.py', '')}".rstrip()
        width = max(map(len, files), default=0)
        blocks.append("\n".join([heading, *(f"  {file:{width}}  {text}" for file, text in files.items())]))
    return "```text\n" + "\n\n".join(blocks) + "\n```\n"


def with_map(page: str, new: str) -> str:
    """Return the page with another map between its two markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN.strip()} and {END.strip()}")
    return before + begin + new + end + after


if __name__ == "__main__":
    PAGE.write_text(with_map(PAGE.read_text(encoding="utf-8"), file_map()), encoding="utf-8")
