"""Settings and fixtures of all tests."""

import contextlib
import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from rank_processes import RankProcesses, find_mpiexec

# Calls use as many threads as a test asks for, even if they have to share CPUs or one would be faster. Set
# before fastrnn is imported, and for the processes that tests start.
os.environ.setdefault("FASTRNN_ALWAYS_SHARE", "1")

# No deadlines: a shared machine may pause for a second at any time, and no test asserts a timing.
# In CI the examples are the same in every run, so that failures can be reproduced.
hypothesis.settings.register_profile("home", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "home")


#: Libraries that some functions use or are used with; each is the name of a fixture.
EXTRAS = {*("sklearn pandas polars mido matplotlib seqeval sacrebleu browser h5py keras".split())}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use PyTorch, MPI or a library of the extras: `pytest -m torch` runs those only."""
    for item in items:
        if "torch" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.torch)
        if "mpiexec" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.mpi)
        if EXTRAS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.extras)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """Import PyTorch, or skip the parity tests without it (not if FASTRNN_REQUIRE_TORCH=1)."""
    if os.environ.get("FASTRNN_REQUIRE_TORCH") == "1":
        return importlib.import_module("torch")
    return pytest.importorskip(
        "torch", reason="PyTorch is not installed (FASTRNN_REQUIRE_TORCH=1 requires it)"
    )


def _extra(name: str) -> ModuleType:
    """Import a library, or skip the test without it (not if FASTRNN_REQUIRE_EXTRAS=1)."""
    if os.environ.get("FASTRNN_REQUIRE_EXTRAS") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed (FASTRNN_REQUIRE_EXTRAS=1 requires it)")


def _extra_fixture(name: str) -> Callable[[], ModuleType]:
    return pytest.fixture(scope="session", name=name)(lambda: _extra(name))


sklearn, pandas, polars, mido, matplotlib, seqeval, sacrebleu, h5py = map(
    _extra_fixture, ("sklearn", "pandas", "polars", "mido", "matplotlib", "seqeval", "sacrebleu", "h5py")
)


@pytest.fixture(scope="session")
def keras(torch: ModuleType) -> ModuleType:
    """Import Keras with PyTorch behind it, or skip the test without it (not if it is required)."""
    os.environ.setdefault("KERAS_BACKEND", torch.__name__)
    return _extra("keras")


@pytest.fixture(scope="session")
def _launcher() -> str:
    """Find an `mpiexec` and mpi4py, or skip the test without them (not if FASTRNN_REQUIRE_MPI=1)."""
    found = find_mpiexec()
    if found and importlib.util.find_spec("mpi4py"):
        return found
    message = "mpiexec or mpi4py is not installed (FASTRNN_REQUIRE_MPI=1 requires both)"
    assert os.environ.get("FASTRNN_REQUIRE_MPI") != "1", message
    pytest.skip(message)


@pytest.fixture
def mpiexec(_launcher: str) -> Iterator[RankProcesses]:
    """Run Python on several ranks: `mpiexec(2, ["-m", "fastrnn", ...])`; none outlives the test."""
    with contextlib.closing(RankProcesses(_launcher)) as ranks:
        yield ranks


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start a headless Chromium, or skip the test without Playwright or a browser (not if it is required)."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if os.environ.get("FASTRNN_REQUIRE_EXTRAS") == "1":
        assert found is not None, f"expected one of {', '.join(names)} on PATH (apt-get install chromium)"
    elif found is None:
        pytest.skip("no Chromium is installed (FASTRNN_REQUIRE_EXTRAS=1 requires it)")
    with _extra("playwright.sync_api").sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()
