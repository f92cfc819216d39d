"""What docs/pytorch-to-fastrnn.md maps from PyTorch exists here under the names of its table."""

import inspect
import re
from functools import reduce
from pathlib import Path

import fastrnn as fr

PAGE = Path(__file__).resolve().parents[1] / "docs" / "pytorch-to-fastrnn.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


def test_the_table_is_read():
    assert len(ROWS) > 40
    assert {len(row) for row in ROWS} <= {2, 3}


def test_every_name_of_the_table_exists():
    named = {name for row in ROWS for name in re.findall(r"(?:fr|fastrnn)\.([A-Za-z_.]*\w)", row[1])}
    assert {"LSTM", "losses.huber", "train.AdamW"} <= named
    for name in named:
        reduce(getattr, name.split("."), fr)


def test_arguments_that_are_said_to_be_the_same_exist():
    taken = {
        name
        for function in (fr.LSTM, fr.LSTM.__call__, fr.Composite.load_state_dict)
        for name in inspect.signature(function).parameters
    }
    same = [row[0] for row in ROWS if row[1].startswith("the same")]
    assert same
    assert {name for cell in same for name in re.findall(r"(\w+)=", cell)} <= taken
