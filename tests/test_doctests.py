"""Every example in a docstring runs and prints what it shows."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import fastrnn

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
INSIDE_TORCH = Path(fastrnn.__file__).parent / "interop" / "torch"  # needs PyTorch when it is imported
NEEDS_MPI = "fastrnn.train.distributed.mpi"  # has no example, as that would need several processes


def modules(folder, prefix):
    """Return the modules of a package that can be imported: __main__ runs the program."""
    found = []
    for module in pkgutil.iter_modules([str(folder)], prefix):
        own = folder / module.name.removeprefix(prefix)
        if own == INSIDE_TORCH or module.name == NEEDS_MPI:
            continue
        if not module.name.endswith("__main__") and "._kernels_" not in module.name:
            found += [module.name, *(modules(own, f"{module.name}.") if module.ispkg else ())]
    return found


MODULES = ["fastrnn", *modules(Path(fastrnn.__file__).parent, "fastrnn.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert failed == 0


def test_examples_in_docstrings_of_modules_inside_pytorch(torch):
    names = ["fastrnn.interop.torch", *modules(INSIDE_TORCH, "fastrnn.interop.torch.")]
    results = [doctest.testmod(importlib.import_module(name), optionflags=OPTIONS) for name in names]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) >= 10


def test_the_public_modules_have_examples_at_all():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = sum(len(t.examples) for name in MODULES for t in finder.find(importlib.import_module(name)))
    assert examples >= 50
