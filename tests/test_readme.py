"""The Python of the README and of the pages in docs/ runs unchanged, and their commands exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

# The commands run in other folders, where a relative PYTHONPATH would not resolve.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fastrnn.__file__).parents[1])}
ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {
    path.name: path.read_text()
    for folder in (ROOT / "docs", ROOT / "docs" / "tutorials")
    for path in sorted(folder.glob("*.md"))
}


def blocks(text, languages):
    return re.findall(rf"^```(?:{languages})\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


PYTHON_BLOCKS = blocks(README, "python")
# The blocks of a page are one program, read from top to bottom.
PROGRAMS = {name: "\n".join(blocks(text, "python")) for name, text in PAGES.items() if "```python" in text}
FASTRNN_LINES = sorted(
    {
        line.strip().removeprefix("$ ")
        for text in (README, *PAGES.values())
        for block in blocks(text, "sh|bash|console")
        for line in block.replace("\\\n", " ").splitlines()
    }
)
FASTRNN_LINES = [line for line in FASTRNN_LINES if line.startswith("fastrnn ")]


def run_python(program, folder):
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr


def test_the_readme_shows_python_and_commands():
    assert PYTHON_BLOCKS
    assert any(line in README for line in FASTRNN_LINES)


@pytest.mark.parametrize("number", range(len(PYTHON_BLOCKS)))
def test_a_python_block_runs(number, tmp_path):
    run_python(PYTHON_BLOCKS[number], tmp_path)


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path):
    run_python(PROGRAMS[page], tmp_path)


@pytest.mark.parametrize("line", FASTRNN_LINES)
def test_a_command_and_its_options_exist(line):
    words = [word for word in line.partition("#")[0].split() if word]
    parts = 3 if words[1] == "fit" else 2  # a command for each task
    command = [sys.executable, "-m", *words[:parts], "--help"]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    known = set(re.findall(r"(?<![\w-])--[\w-]+", run.stdout))
    assert options <= known


def test_the_links_between_documents_lead_somewhere():
    documents = {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"}
    documents |= set((ROOT / "docs").glob("*.md"))
    for document in documents:
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose):
            file, _, heading = target.partition("#")
            path = document.parent / file if file else document
            assert path.exists(), f"{document.name}: {target}"
            if heading:
                titles = re.findall(r"^#+ (.*)", path.read_text(), flags=re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert heading in slugs, f"{document.name}: {target}"
