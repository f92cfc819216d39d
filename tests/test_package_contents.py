"""The contents of an installed fastrnn: everything it needs, nothing else, and small."""

import os
import platform
import zlib
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

import fastrnn
from fastrnn import _dispatch
from fastrnn._cpu import supported

WHEEL_LIMIT = 3_800_000  # bytes, compressed as in a wheel


@pytest.fixture(scope="module")
def files() -> dict[PurePosixPath, bytes]:
    """Return path and contents of every installed file."""
    try:
        distribution = metadata.distribution("fastrnn")
    except metadata.PackageNotFoundError:
        pytest.skip("runs on an installed package; this one is imported from a source tree")
    if Path(str(distribution.locate_file("fastrnn"))).resolve() != Path(fastrnn.__file__).resolve().parent:
        pytest.skip("the package under test is not the installed one (an editable install or PYTHONPATH)")
    found = {}
    for entry in distribution.files or []:
        if entry.suffix != ".pyc" and Path(str(entry.locate())).is_file():
            found[PurePosixPath(entry)] = Path(str(entry.locate())).read_bytes()
    return found


def test_the_version_is_the_same_everywhere(files):
    assert metadata.version("fastrnn") == fastrnn.__version__


def test_it_holds_the_package_its_metadata_and_nothing_else(files):
    for path in files:
        top = path.parts[0]
        assert top == "fastrnn" or top.endswith(".dist-info") or path.name in {"fastrnn", "fastrnn.exe"}, path
        assert (
            path.suffix
            in {".py", ".pyi", ".so", ".pyd", ".typed", ".txt", ".json", ".html", ".css", ".js", ""}
            or ".dist-info" in top
        ), path
        assert not {"tests", "benchmarks", "include", "cpp"} & set(path.parts), path


def test_it_has_a_module_for_the_baseline_and_the_best_of_this_cpu_and_a_stub_for_all(files):
    possible = {"_cpu", "_kernels_baseline"}
    if platform.machine() in {"x86_64", "AMD64"}:
        possible |= {"_kernels_avx2", "_kernels_avx512"}
    built = {path.name.partition(".")[0] for path in files if path.suffix in {".so", ".pyd"}}
    best = _dispatch.MODULES[supported()[0]]
    wanted = possible if os.environ.get("CI") else {"_cpu", "_kernels_baseline", best}
    assert wanted <= built <= possible
    assert {path.stem for path in files if path.suffix == ".pyi"} >= possible
    assert PurePosixPath("fastrnn/py.typed") in files


def test_it_carries_its_licence_and_those_of_what_is_compiled_in(files):
    texts = {path.name: data for path, data in files.items() if "licenses" in path.parts}
    assert b"Apache License" in texts["LICENSE"]
    assert b"Mozilla Public License Version 2.0" in texts["MPL-2.0-Eigen.txt"]
    assert b"Wenzel Jakob" in texts["BSD-3-Clause-pybind11.txt"]
    assert b"libeigen" in texts["third-party.md"], "MPL-2.0 asks where the source is"


def test_the_wheel_is_small(files):
    assert sum(len(zlib.compress(data)) for data in files.values()) <= WHEEL_LIMIT
