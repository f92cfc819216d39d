"""What every test may lean on."""

import importlib
import os
from types import ModuleType

import hypothesis
import pytest

# No deadlines: a shared machine may stop for a second anywhere, and a timing is never an assertion here.
# In CI the examples are the same in every run, so that a failure there can be seen again at home.
hypothesis.settings.register_profile("home", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "home")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what leans on PyTorch, so that `pytest -m torch` is the parity tests alone."""
    for item in items:
        if "torch" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.torch)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, the parity tests' judge: skipped where absent, unless FASTRNN_REQUIRE_TORCH=1 insists."""
    if os.environ.get("FASTRNN_REQUIRE_TORCH") == "1":
        return importlib.import_module("torch")
    return pytest.importorskip("torch", reason="PyTorch is not installed (FASTRNN_REQUIRE_TORCH=1 insists)")
