"""The architecture: who may import, include and compile what."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "fastrnn"
PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
CPP_FILES = sorted((ROOT / "cpp").rglob("*.?pp"))
KERNEL_FILES = sorted((ROOT / "cpp" / "kernels").rglob("*.hpp"))
BUILD_FILES = [ROOT / "CMakeLists.txt", ROOT / "pyproject.toml", ROOT / ".ci" / "run", *ROOT.glob("cmake/*")]

# Imports go from a higher number to a lower one; inside one level they may go sideways, but not in a circle.
# A file lying directly in the package is its own component; _names that are not listed are at the bottom.
LEVELS = {
    "__main__": 8,
    "__init__": 7,
    "cli": 6,
    "train": 5,
    "decode": 5,
    "inspect": 5,
    "interop": 5,
    "models": 4,
    "layers": 3,
    "data": 2,
    "reference": 2,
    "_dispatch": 1,
}
COMPILED = re.compile(r"(^|\.)(_kernels_\w*|_cpu)$")


def component(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level(name: str) -> int:
    return LEVELS[name] if name in LEVELS or not name.startswith("_") else 0


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and absolute dotted name of everything imported; `from a import b` counts as a.b."""
    here = ["fastrnn", *path.relative_to(PACKAGE).with_suffix("").parts][:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                yield node.lineno, f"{prefix}.{alias.name}"


def imported_components(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imported_modules(path):
        first, _, rest = name.partition(".")
        if first != "fastrnn":
            continue
        part = rest.split(".")[0]
        is_module = (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").exists() or COMPILED.search(part)
        yield line, part if part and is_module else "__init__"


def without_comments(source: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)


def offences(paths: list[Path], pattern: str, *, keep_comments: bool = False) -> list[str]:
    found = []
    for path in paths:
        text = path.read_text()
        for match in re.finditer(pattern, text if keep_comments else without_comments(text), re.MULTILINE):
            found.append(f"{path.relative_to(ROOT)}: {match.group().strip()}")
    return found


def test_every_part_of_the_package_has_a_level():
    unknown = {name for path in PYTHON_FILES if not (name := component(path)).startswith("_")} - set(LEVELS)
    assert not unknown, f"give {unknown} a place in LEVELS, and in the design"


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(path):
    own = component(path)
    upward = [
        f"line {line}: {own} (level {level(own)}) imports {other} (level {level(other)})"
        for line, other in imported_components(path)
        if not COMPILED.search(other) and level(other) > level(own)
    ]
    assert not upward


def test_no_two_parts_of_one_level_import_each_other():
    edges = {(component(path), other) for path in PYTHON_FILES for _, other in imported_components(path)}
    assert not [(a, b) for a, b in edges if a < b and level(a) == level(b) and (b, a) in edges]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_dispatch_names_a_compiled_module(path):
    if component(path) == "_dispatch":
        return
    named = [f"line {line}: {name}" for line, name in imported_modules(path) if COMPILED.search(name)]
    named += [
        f"line {node.lineno}: {node.value!r}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and COMPILED.search(node.value)
    ]
    assert not named


def test_dispatch_does_name_the_compiled_modules():
    assert "_cpu" in (PACKAGE / "_dispatch.py").read_text()
    assert "_kernels_" in (PACKAGE / "_dispatch.py").read_text()


def module_name(path: Path) -> str:
    return ".".join(["fastrnn", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


def imported_files(paths: list[Path]) -> dict[str, set[str]]:
    """The files of the package that each of them imports, by module name, `if TYPE_CHECKING` included."""
    graph: dict[str, set[str]] = {module_name(path): set() for path in paths}
    for path in paths:
        own = module_name(path)
        for _, name in imported_modules(path):
            if COMPILED.search(name):
                continue
            while name and name not in graph:
                name = name.rpartition(".")[0]
            graph[own] |= {name} - {"", own}
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """What is left when every file that imports none of those left has been taken away, again and again."""
    left = dict(graph)
    while leaves := [name for name, others in left.items() if not others & left.keys()]:
        for name in leaves:
            del left[name]
    return sorted(left)


def test_no_files_import_each_other_in_a_circle():
    assert not circle(imported_files(PYTHON_FILES)), "these are in a circle, or import one that is"


@pytest.mark.parametrize(
    ("third", "closed"), [("import fastrnn.one", True), ("import numpy", False), ("import fastrnn.two", True)]
)
def test_the_search_for_circles_finds_them(third, closed, tmp_path, monkeypatch):
    package = tmp_path / "fastrnn"
    package.mkdir()
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    lines = {
        "one": "from fastrnn import two",
        "two": "if TYPE_CHECKING:\n    from .three import Three",
        "three": third,
    }
    for name, line in lines.items():
        (package / f"{name}.py").write_text(line)
    assert bool(circle(imported_files([package / f"{name}.py" for name in lines]))) == closed


# The rooms of layers/: a file or a folder, and the rooms that it may import from; what those may, it may too.
CELL_ROOMS = ("recurrent.rnn", "recurrent.gru", "recurrent.lstm", "recurrent.minimal", "recurrent.jordan")
ROOMS = {
    "base": (),
    "dense": ("base",),
    "loss": ("dense",),
    "recurrent.options": ("base",),
    "recurrent.shapes": ("recurrent.options",),
    "recurrent.spec": ("recurrent.shapes",),
    "recurrent.engine": ("recurrent.spec",),
    "recurrent.layer": ("recurrent.engine",),
    **dict.fromkeys(CELL_ROOMS, ("recurrent.layer", "recurrent.rnn")),
    "recurrent.folded_embedding": (*CELL_ROOMS, "dense"),
    "stack": CELL_ROOMS,
    "init": CELL_ROOMS,
    "description": ("stack",),
    "": ("init", "loss", "description", "recurrent.folded_embedding"),
}


def rooms_below(room: str) -> set[str]:
    below: set[str] = set()
    todo = [room]
    while todo:
        new = set(ROOMS[todo.pop()]) - below
        below |= new
        todo += new
    return below


def room_of(module: str) -> str:
    """The room of a module of layers; "recurrent", which has no file but an empty one, is none."""
    own = module.removeprefix("fastrnn.layers").removeprefix(".")
    return next((room for room in ROOMS if room and f"{own}.".startswith(f"{room}.")), own)


def test_rooms_of_layers_import_only_from_below():
    graph = imported_files(PYTHON_FILES)
    inside = {name for name in graph if name.startswith("fastrnn.layers")}
    assert {room_of(name) for name in inside} == ROOMS.keys() | {"recurrent"}
    wrong = [
        f"{name} imports {other}"
        for name in sorted(inside)
        for other in sorted(graph[name] & inside)
        if room_of(other) not in rooms_below(room_of(name)) | {room_of(name)}
    ]
    assert not wrong


#: Files with a limit of their own; all others have 400 lines at most.
MAX_LINES = {"layers/recurrent/layer.py": 300}


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_short(path):
    name = path.relative_to(PACKAGE).as_posix()
    assert len(path.read_text().splitlines()) <= MAX_LINES.get(name, 400)


def test_importing_fastrnn_loads_no_third_party_package_but_numpy():
    script = (
        "import sys, numpy; before = set(sys.modules)\n"
        "from fastrnn import *\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names\n"
        "print(*sorted(loaded - {'fastrnn', 'numpy'}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_kernels_know_nothing_of_python_and_print_nothing():
    assert KERNEL_FILES
    assert not offences(KERNEL_FILES, r"Python\.h|pybind11|numpy/|\bPyObject\b|\bpy::|bindings/")
    assert not offences(KERNEL_FILES, r"#\s*include\s*<(iostream|cstdio|stdio\.h|fstream)>|std::c(out|err)\b")


def test_only_simd_names_eigen_packets():
    others = [path for path in CPP_FILES if path.name != "simd.hpp"]
    assert not offences(others, r"Eigen::internal|\bPacket(Block|\d+\w+)?\b|\bpacket_traits\b|\.packet\b")


# Flushing denormals sets a control register (MXCSR, FPCR): no vector code, and nothing that Eigen offers.
MAY_USE_INTRINSICS = {"denormals.hpp"}


def test_no_intrinsics_outside_the_cpu_check():
    others = [p for p in CPP_FILES if p.parent.name != "cpu" and p.name not in MAY_USE_INTRINSICS]
    assert not offences(others, r"#\s*include\s*<(\w*intrin|arm_neon|arm_sve|cpuid)\.h>")
    assert not offences(others, r"\b_mm\d*_\w+|\b__m(64|128|256|512)[di]?\b|\b__builtin_ia32_\w+")
    # An empty asm that keeps a value in a register emits no instruction.
    assert not offences([p for p in others if p.name != "simd.hpp"], r"\basm\b")
    assert not offences(others, r"\basm\b(?! *\(\"\")")
    exceptions = [p for p in CPP_FILES if p.name in MAY_USE_INTRINSICS]
    assert not offences(exceptions, r"#\s*include\s*<(?!xmmintrin)(\w*intrin|arm_neon|arm_sve|cpuid)\.h>")


def test_nothing_that_ships_is_built_for_this_machine_or_with_loose_arithmetic():
    forbidden = r"-march=native|-mcpu=native|-Ofast|-f(fast-math|unsafe-math\w*|associative-math)|/fp:fast"
    files = [path for path in BUILD_FILES if path.exists()]
    assert not offences(files, forbidden, keep_comments=True)
    assert not offences(
        CPP_FILES, r"#\s*pragma\s.*(optimize|fast.math|STDC FP_CONTRACT ON)|__attribute__.*optimize"
    )


def test_one_dispatch_target_per_module_is_all_there_is():
    assert not offences(CPP_FILES, r"target\s*\(\s*\"|target_clones|__builtin_cpu_supports")


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("from fastrnn.cli import main", True),
        ("from .. import cli", True),
        ("import fastrnn", True),
        ("from fastrnn import LSTM", True),
        ("from fastrnn import _dispatch", False),
        ("from ..layers.recurrent import LSTM", False),
        ("import numpy as np", False),
    ],
)
def test_the_import_rule_catches_what_it_should(line, caught, tmp_path, monkeypatch):
    package = tmp_path / "fastrnn"
    for folder in ("cli", "layers", "models"):
        (package / folder).mkdir(parents=True)
    (package / "_dispatch.py").touch()
    (package / "models" / "example.py").write_text(line)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    path = package / "models" / "example.py"
    upward = [other for _, other in imported_components(path) if level(other) > level(component(path))]
    assert bool(upward) == caught
