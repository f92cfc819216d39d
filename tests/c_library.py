"""The C library for tests: built once for all of them, and its functions as Python calls them."""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn as fr

ROOT = Path(__file__).resolve().parents[1]
#: In the environment: where the library and the examples are installed. CI builds them in a step of its own.
PREFIX = "FASTRNN_C_PREFIX"
OK, ARGUMENT, HANDLE, FILE, FORMAT, UNSUPPORTED, MEMORY, BUSY, CPU = range(9)
NONE = -2


class Info(ctypes.Structure):
    _fields_ = (
        *[
            (name, ctypes.c_size_t)
            for name in ("input_size", "output_size", "state_size", "parameters", "vocabulary_size")
        ],
        *[(name, ctypes.c_int64) for name in ("start", "eos")],
        *[(name, ctypes.c_int) for name in ("reads_floats", "reads_ids", "symbols_are_words")],
    )


class Recurrent(ctypes.Structure):
    _fields_ = (
        ("cell", ctypes.c_int),
        ("input_size", ctypes.c_size_t),
        ("hidden_size", ctypes.c_size_t),
        *[(name, ctypes.c_void_p) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")],
    )


P, SIZE = ctypes.c_void_p, ctypes.c_size_t
SIGNATURES = {
    "open": [ctypes.c_char_p, P],
    "open_memory": [ctypes.c_char_p, SIZE, P],
    "close_model": [P],
    "describe": [P, P],
    "symbol": [P, ctypes.c_int64, P, P],
    "metadata": [P, P, P],
    "create_model": [P],
    "add_embedding": [P, SIZE, SIZE, P],
    "add_recurrent": [P, P],
    "add_linear": [P, SIZE, SIZE, P, P],
    "add_activation": [P, ctypes.c_int],
    "create_stream": [P, SIZE, P],
    "copy_stream": [P, P],
    "close_stream": [P],
    "step": [P, P, SIZE, P, SIZE],
    "run": [P, SIZE, P, SIZE, P, SIZE],
    "step_ids": [P, P, SIZE, P, SIZE],
    "reset": [P],
    "get_state": [P, P, SIZE],
    "set_state": [P, P, SIZE],
}


def tool(name: str) -> str | None:
    """Return the path of a program, also of one beside this Python."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def build(prefix: Path) -> None:
    """Build and install the library for the instruction set in use, and the examples."""
    cmake = tool("cmake")
    if cmake is None:
        pytest.skip("CMake is not installed")
    generator = ["-G", "Ninja"] if tool("ninja") else []
    work = prefix.parent
    library = [f"-DFASTRNN_ISAS={fr.isa()}", "-DFASTRNN_WERROR=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    for source, options in (("cpp/c", library), ("examples/c", [f"-DCMAKE_PREFIX_PATH={prefix}"])):
        folder = work / source.replace("/", "_")
        options = [*options, f"-DCMAKE_INSTALL_PREFIX={prefix}"]
        for command in (
            [cmake, "-S", ROOT / source, "-B", folder, *generator, *options],
            [cmake, "--build", folder, "--parallel", "2"],
            [cmake, "--install", folder],
        ):
            run = subprocess.run(command, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr


def installed(temporary: Path) -> Path:
    """Return where the library is installed; the first process that asks builds it, others wait for it.

    `temporary` is the base of temporary folders: with pytest-xdist, each process has its own in a common one.
    """
    if given := os.environ.get(PREFIX):
        return Path(given)
    if os.environ.get("CI"):
        pytest.skip(f"CI builds the library in a step of its own, and sets {PREFIX}")
    work = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "c_library"
    prefix, done = work / "installed", work / "done"
    try:
        work.mkdir()
    except FileExistsError:
        while not done.exists():
            time.sleep(0.2)
    else:
        try:
            build(prefix)
        finally:
            done.touch()
    if not prefix.exists():
        pytest.skip("the library was not built")
    return prefix


class Failed(Exception):
    """A function returned another status than FASTRNN_OK."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


def address(array: Any) -> int | None:
    return None if array is None else array.ctypes.data


class Library:
    """The shared library; `call` raises `Failed`."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.path = next(prefix.glob("lib*/libfastrnn.so"))
        self.dll = ctypes.CDLL(str(self.path))
        for name in ("last_error", "version", "isa"):
            getattr(self.dll, f"fastrnn_{name}").restype = ctypes.c_char_p
        for name, types in SIGNATURES.items():
            getattr(self.dll, f"fastrnn_{name}").argtypes = types

    def status(self, name: str, *arguments: Any) -> int:
        return int(getattr(self.dll, f"fastrnn_{name}")(*arguments))

    def call(self, name: str, *arguments: Any) -> None:
        if status := self.status(name, *arguments):
            raise Failed(status, self.dll.fastrnn_last_error().decode())

    def made(self, name: str, *arguments: Any) -> int:
        """Call a function that makes a handle."""
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        assert handle.value
        return handle.value

    def info(self, model: int) -> Info:
        info = Info()
        self.call("describe", model, ctypes.byref(info))
        return info

    def text(self, name: str, *arguments: Any) -> bytes:
        at, length = ctypes.c_void_p(), ctypes.c_size_t()
        self.call(name, *arguments, ctypes.byref(at), ctypes.byref(length))
        assert at.value
        assert ctypes.string_at(at.value + length.value, 1) == b"\0"
        return ctypes.string_at(at.value, length.value)

    def step(self, stream: int, x: Any, outputs: int) -> Any:
        """Run one step of floats [N, D] or ids [N]."""
        y = np.full((len(x), outputs), np.nan, np.float32)
        name = "step" if x.dtype == np.float32 else "step_ids"
        self.call(name, stream, address(x), x.size, address(y), y.size)
        return y

    def state(self, stream: int, size: int) -> Any:
        state = np.full(size, np.nan, np.float32)
        self.call("get_state", stream, address(state), size)
        return state
