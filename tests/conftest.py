"""Settings and fixtures of all tests."""

import importlib
import os
from types import ModuleType

import hypothesis
import pytest

# Calls use as many threads as a test asks for, even if they have to share CPUs or one would be faster. Set
# before fastrnn is imported, and for the processes that tests start.
os.environ.setdefault("FASTRNN_ALWAYS_SHARE", "1")

# No deadlines: a shared machine may pause for a second at any time, and no test asserts a timing.
# In CI the examples are the same in every run, so that failures can be reproduced.
hypothesis.settings.register_profile("home", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "home")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use PyTorch, so that `pytest -m torch` runs the parity tests only."""
    for item in items:
        if "torch" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.torch)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """Import PyTorch, or skip the parity tests without it (not if FASTRNN_REQUIRE_TORCH=1)."""
    if os.environ.get("FASTRNN_REQUIRE_TORCH") == "1":
        return importlib.import_module("torch")
    return pytest.importorskip(
        "torch", reason="PyTorch is not installed (FASTRNN_REQUIRE_TORCH=1 requires it)"
    )
