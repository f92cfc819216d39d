"""The check that the object with instructions of its own is a closed world, and that object."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from native_object import TARGET, faults, main

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / re.findall(r"_native OBJECT (\S+)\)", (ROOT / "CMakeLists.txt").read_text())[0]
FLAGS = ["-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden"]
NATIVE = ["-march=x86-64-v4", "-mavx512bf16", "-mavx512vnni", "-mprefer-vector-width=512"]
FUNCTIONS = (
    "namespace fastrnn { struct NarrowKernels; const NarrowKernels* native_bfloat16() { return nullptr; }\n"
    "const NarrowKernels* native_int8() { return nullptr; } }\n"
)

pytestmark = [
    pytest.mark.skipif(
        platform.machine() not in {"x86_64", "AMD64"} or platform.system() != "Linux",
        reason="reads x86-64 ELF objects; other modules have no such object",
    ),
    pytest.mark.skipif(
        not all(shutil.which(name) for name in ("c++", "nm", "objdump")),
        reason="needs a C++ compiler, as c++, and binutils",
    ),
]


def compiled(folder, source, *flags):
    path = folder / f"{TARGET}.dir" / "source.cpp.o"
    path.parent.mkdir(exist_ok=True)
    subprocess.run(["c++", *FLAGS, *flags, f"-I{ROOT / 'cpp'}", "-c", source, "-o", path], check=True)
    return path


def compiled_text(folder, text, *flags):
    source = folder / "source.cpp"
    source.write_text(text)
    return compiled(folder, source, *flags)


@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
def test_the_object_shares_nothing_with_its_module(tmp_path, level):
    assert faults(compiled(tmp_path, SOURCE, *NATIVE, level)) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", []),
        ("namespace { [[gnu::used]] int own(int x) { return x + 1; } }", []),
        ("template <class T> [[gnu::used]] T next(T x) { return x + 1; } template int next<int>(int);",
         ["weak symbol: int next<int>(int)"]),
        ("[[gnu::used]] inline int shared(int x) { return x + 1; }", ["weak symbol: shared(int)"]),
        ("int f(); inline int once = f(); int* use() { return &once; }", None),
        ("int other(int x) { return x + 1; }", ["global symbol: other(int)"]),
        ("int table[2] = {1, 2};", ["global symbol: table"]),
        ("int f(); namespace { [[gnu::used]] int started = f(); }",
         ["code that runs when the module is loaded: .init_array"]),
    ],
)  # fmt: skip
def test_what_is_shared_is_named(tmp_path, code, expected):
    found = faults(compiled_text(tmp_path, FUNCTIONS + code))
    if expected is None:  # the compiler's own guards too
        assert any(fault.endswith("symbol: once") for fault in found)
    else:
        assert found == expected


def test_the_same_code_injected_into_the_object_is_found(tmp_path, capsys):
    inject = "#include <vector>\nvoid grow(std::vector<int>& all) { all.push_back(1); }\n"
    compiled_text(tmp_path, f'#include "{SOURCE}"\n{inject}', *NATIVE)
    assert main(tmp_path) == 1
    assert "weak symbol: void std::vector<int" in capsys.readouterr().out


def test_a_missing_function_and_a_missing_object_are_faults(tmp_path, capsys):
    assert faults(compiled_text(tmp_path, "")) == [
        "missing function: fastrnn::native_bfloat16()",
        "missing function: fastrnn::native_int8()",
    ]
    (tmp_path / f"{TARGET}.dir" / "source.cpp.o").unlink()
    assert main(tmp_path) == 1
    assert f"no object of {TARGET}" in capsys.readouterr().err
