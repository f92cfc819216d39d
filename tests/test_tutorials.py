"""The code cells of each tutorial run from top to bottom, and what its text says about the results is true.

The site runs them as notebooks; here they run without Jupyter, each in a process and a folder of its own.
"""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
TUTORIALS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("[!i]*.md"))}
#: What a tutorial's text says, in its own names: true after its last cell.
CLAIMS = {
    "classify": [
        "accuracy > 0.5 > 0.2 > commonest",
        "abs(accuracy - three_letters) < 0.1",
        "in_order > 0.95",
    ],
    "forecast": ["rmse(one_ahead) < last_month / 3", "two_years < last_year / 4", "0.5 < covered <= 1"],
    "tag": ["accuracy > baseline + 0.03", "unseen_right > unseen_baseline + 0.1"],
    "translate": ["exact > 0.9", "characters_right(predicted) > 0.98 > 0.9 > nearest"],
    "deploy": [
        "np.array_equal(one_by_one, whole)",
        "np.array_equal(again(x)[0], whole)",
        "size < 10_000",
        "error < 0.05",
    ],
    "from-pytorch": ["difference < 1e-3", "right > 0.99 > 0.9 > always_open", "losses[-1] < losses[0]"],
    "look-inside": [
        "right > 0.95 > 0.6 > always_round",
        "abs(best.correlation) > 2 * chance",
        "kept > elsewhere",
        "left > 0.5",
    ],
    "your-text": [
        "records[-1].valid_loss < pair_loss - 0.2",
        "pair_loss < single_loss",
        "found.symbols[0] == 'n'",
    ],
    "first-model": ["baseline < 0.6", "right > 0.95", "least < np.mean(losses[-100:]) < 0.55"],
}


def code_cells(text):
    """Return the code cells, without their options (``:tags: ...``)."""
    cells = re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"\A(?::[\w-]+:.*\n)+", "", cell) for cell in cells]


def draws(cell):
    """Return whether a cell needs matplotlib."""
    return "matplotlib" in cell or re.search(r"\bplt\.|\bplots\.|\baxes\.", cell) is not None


def program(name):
    """Return the cells and the claims as one program; without matplotlib the cells that draw are left out."""
    drawn = importlib.util.find_spec("matplotlib") is not None
    cells = [cell for cell in code_cells(TUTORIALS[name]) if drawn or not draws(cell)]
    return "\n".join([*cells, *(f"assert {claim}, {claim!r}" for claim in CLAIMS[name])])


def test_every_tutorial_has_claims_and_nothing_else_has():
    assert set(CLAIMS) == set(TUTORIALS)
    assert all(CLAIMS.values())


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_and_what_it_says_is_true(name, tmp_path):
    package = str(Path(fastrnn.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, "-c", program(name)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_is_a_notebook_with_one_title_that_says_where_to_go_next(name):
    text = TUTORIALS[name]
    assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n\n# ")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", prose, flags=re.MULTILINE)) == 1
    assert re.findall(r"^## (.*)", prose, flags=re.MULTILINE)[-1] == "Next"
    assert 80 <= text.count("\n") <= 230


@pytest.mark.parametrize("name", TUTORIALS)
def test_the_links_of_a_tutorial_lead_somewhere(name):
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", TUTORIALS[name])
    assert targets
    assert [target for target in targets if not (FOLDER / target).exists()] == []


def names(cells, kind):
    """Return the names that cells read (ast.Load) or assign to (ast.Store)."""
    nodes = [node for cell in cells for node in ast.walk(ast.parse(cell))]
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, kind)}


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_cell_that_draws_defines_nothing_that_another_needs(name):
    cells = code_cells(TUTORIALS[name])
    drawing = [cell for cell in cells if draws(cell)]
    others = [cell for cell in cells if not draws(cell)]
    assert names(drawing, ast.Store) & (names(others, ast.Load) - names(others, ast.Store)) == set()


def test_the_scores_that_pytorch_printed_are_those_of_its_module(torch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = TUTORIALS["from-pytorch"]
    module = re.search(r"^```py\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[1]
    writes, *_, expected = (cell for cell in code_cells(text) if "PACKED" in cell or "from_pytorch" in cell)
    own = {"np": importlib.import_module("numpy")}
    exec(compile(module + writes + expected.partition("scores, hidden")[0], "from-pytorch", "exec"), own)
    own["model"].load_state_dict(torch.load("balance.pt"), strict=True)
    with torch.no_grad():
        scores = own["model"](torch.from_numpy(own["ids"]))[:, 0, 1].numpy()
    assert abs(scores - own["from_pytorch"]).max() < 1e-4
