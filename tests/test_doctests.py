"""Every example in a docstring runs and prints what it shows."""

import doctest
import importlib
import pkgutil

import pytest

import fastrnn

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
# __main__ runs the program when imported.
MODULES = ["fastrnn"] + [
    name
    for _, name, _ in pkgutil.walk_packages(fastrnn.__path__, "fastrnn.")
    if not name.endswith("__main__") and "._kernels_" not in name
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert failed == 0


def test_the_public_modules_have_examples_at_all():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = sum(len(t.examples) for name in MODULES for t in finder.find(importlib.import_module(name)))
    assert examples >= 50
