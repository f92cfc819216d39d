"""The C library inside of other programs: plug-ins of a host, static objects, threads, other builds."""

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from c_library import ARGUMENT, FILE, Failed, Library, address, installed, tool

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Library(installed(tmp_path_factory.getbasetemp()))


def output(*command):
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_a_host_loads_many_plug_ins_that_hold_the_library(library, tmp_path):
    """All libraries that are loaded late share little memory for what each thread has from the start."""
    copies = [shutil.copy(library.path, tmp_path / f"plugin{i}.so") for i in range(6)]
    program = "import ctypes, sys; print(len([ctypes.CDLL(path) for path in sys.argv[1:]]))"
    assert output(sys.executable, "-c", program, *copies) == "6\n"


def test_static_objects_use_the_static_library_before_and_after_main(library, tmp_path):
    program = tmp_path / "early"
    flags = ["-std=c++11", "-fno-exceptions", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    archive = library.path.with_suffix(".a")
    output(
        "c++",
        *flags,
        f"-I{library.prefix}/include",
        ROOT / "tests/c/early.cpp",
        archive,
        "-lpthread",
        "-o",
        program,
    )
    assert output(program) == "3\n"


def test_an_error_of_a_stream_in_another_thread_leaves_this_threads_message(library):
    model, weight = library.made("create_model"), np.ones((1, 2), np.float32)
    library.call("add_linear", model, 2, 1, address(weight), None)
    stream, x, y = library.made("create_stream", model, 1), np.ones(2, np.float32), np.ones(1, np.float32)
    last_error = library.dll.fastrnn_last_error
    found = []

    def fail_otherwise():
        found.append(library.status("step", stream, address(x), 2, address(y), 7))
        found.append(last_error())

    assert library.status("step", stream, address(x), 9, address(y), 1) == ARGUMENT
    message = last_error()
    thread = threading.Thread(target=fail_otherwise)
    thread.start()
    thread.join()
    assert found == [ARGUMENT, b"y: expected 1 element, got 7"]
    assert last_error() == message == b"x: expected 2 elements, got 9"


def test_a_long_path_does_not_hide_the_reason(library):
    with pytest.raises(Failed) as failed:
        library.made("open", "/".join(["é" * 50] * 30).encode())
    assert failed.value.status == FILE
    assert failed.value.message.startswith("...é")
    assert failed.value.message.endswith("é: No such file or directory")
    assert len(failed.value.message.encode()) < 600


PROJECT = """\
cmake_minimum_required(VERSION 3.20)
project(host LANGUAGES C CXX)
add_library(flags INTERFACE)
add_library(front INTERFACE)
set(settings "${{CMAKE_BUILD_TYPE}} ${{CMAKE_CXX_FLAGS}}")
add_subdirectory("{root}/cpp/c" fastrnn)
file(WRITE program.c "")
add_executable(program program.c)
target_link_libraries(program PRIVATE fastrnn::fastrnn)
if(NOT settings STREQUAL "${{CMAKE_BUILD_TYPE}} ${{CMAKE_CXX_FLAGS}}")
  message(FATAL_ERROR "the settings of the project have changed")
endif()
"""


def test_a_project_includes_the_library_beside_targets_of_its_own(library, tmp_path):
    """With the static library alone, in a directory as on Debian, pkg-config names all that is needed."""
    cmake = tool("cmake")
    if cmake is None:
        pytest.skip("CMake is not installed")
    (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(root=ROOT.as_posix()))
    options = ["-DFASTRNN_SHARED=OFF", "-DCMAKE_INSTALL_LIBDIR=lib/some-machine", "-DFASTRNN_ISAS=baseline"]
    output(cmake, "-S", tmp_path, "-B", tmp_path / "b", f"-DPython_EXECUTABLE={sys.executable}", *options)
    lines = (tmp_path / "b" / "fastrnn" / "fastrnn.pc").read_text().splitlines()
    assert lines[:3] == [
        "prefix=${pcfiledir}/../../..",
        "libdir=${prefix}/lib/some-machine",
        "includedir=${prefix}/include",
    ]
    assert any(
        re.fullmatch(r"Libs: -L\$\{libdir\} -lfastrnn -l(std)?c\+\+ -lm -lpthread", line) for line in lines
    )
