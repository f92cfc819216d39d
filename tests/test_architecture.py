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
CPP = ROOT / "cpp"
CPP_FILES = sorted(CPP.rglob("*.?pp"))
KERNEL_FILES = sorted((ROOT / "cpp" / "kernels").rglob("*.hpp"))
BUILD_FILES = [
    ROOT / "CMakeLists.txt",
    ROOT / "cpp" / "c" / "CMakeLists.txt",
    ROOT / "pyproject.toml",
    ROOT / ".ci" / "run",
    *ROOT.glob("cmake/*"),
]

# Imports go from a higher number to a lower one; inside one level they may go sideways, but not in a circle.
# A file lying directly in the package is its own component; _names that are not listed are at the bottom.
LEVELS = {
    "__main__": 10,
    "__init__": 9,
    "cli": 8,
    "inspect": 7,
    "models": 6,
    "train": 5,
    "decode": 5,
    "interop": 7,
    "plots": 5,
    "language": 4,
    "losses": 4,
    "layers": 3,
    "data": 2,
    "reference": 2,
    "_dispatch": 1,
    "files": 1,
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
CELL_ROOMS = (
    "recurrent.rnn",
    "recurrent.gru",
    "recurrent.lstm",
    "recurrent.slstm",
    "recurrent.minimal",
    "recurrent.jordan",
)
ROOMS = {
    "base": (),
    "dense": ("base",),
    "loss": ("dense",),
    "spectrum": ("base",),
    "recurrent.options": ("base",),
    "recurrent.shapes": ("recurrent.options",),
    "recurrent.spec": ("recurrent.shapes",),
    "recurrent.engine": ("recurrent.spec",),
    "recurrent.layer": ("recurrent.engine",),
    **dict.fromkeys(CELL_ROOMS, ("recurrent.layer", "recurrent.rnn")),
    "recurrent.sparse_reservoir": ("base",),
    "recurrent.folded_embedding": (*CELL_ROOMS, "dense"),
    "stack": CELL_ROOMS,
    "init": CELL_ROOMS,
    "description": ("stack",),
    "composite": ("description", "loss"),
    "": ("init", "composite", "recurrent.folded_embedding", "recurrent.sparse_reservoir"),
}


def rooms_below(room: str, rooms: dict[str, tuple[str, ...]]) -> set[str]:
    below: set[str] = set()
    todo = [room]
    while todo:
        new = set(rooms[todo.pop()]) - below
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
        if room_of(other) not in rooms_below(room_of(name), ROOMS) | {room_of(name)}
    ]
    assert not wrong


#: Files with a limit of their own; all others have 400 lines at most.
MAX_LINES = {"layers/recurrent/layer.py": 310}


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


# The rooms of cpp/: a folder or a file, and the rooms that it may include from; what those may, it may too.
CPP_ROOMS = {
    "cpu": (),
    "kernels/narrow": (),  # sources with flags of their own include it
    "kernels/vector": ("kernels/narrow",),
    "kernels/matrix": ("kernels/vector",),
    "kernels/runtime": ("kernels/vector",),
    "kernels/recurrent": ("kernels/matrix", "kernels/runtime"),
    "kernels/dense": ("kernels/matrix", "kernels/runtime"),
    "kernels/lattice": ("kernels/runtime",),
    "c/interface": (),
    "c/engine": ("c/interface", "kernels/recurrent", "kernels/dense"),
    "c": ("c/interface", "cpu"),  # the files of the C library that lie directly in c/
    "bindings/python": ("kernels/recurrent", "kernels/dense", "kernels/lattice"),
    "bindings/recurrent": ("bindings/python",),
    "bindings/module.cpp": ("bindings/recurrent", "bindings"),
    "bindings": ("bindings/python",),  # the other files that lie directly in bindings/
}


def cpp_room(name: str) -> str:
    """Return the room of a file, by its name relative to cpp/; a file that is in none is its own."""
    return next((room for room in CPP_ROOMS if name == room or name.startswith(f"{room}/")), name)


def included_files(root: Path) -> dict[str, set[str]]:
    """Return the project's files that each C or C++ file includes, by name relative to `root`."""
    graph = {}
    for path in sorted(root.rglob("*.*")):
        if path.suffix in {".c", ".h", ".cpp", ".hpp"}:
            found = re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.MULTILINE)
            graph[path.relative_to(root).as_posix()] = set(found)
    return graph


def upward_includes(graph: dict[str, set[str]]) -> list[str]:
    """Return the includes of files that do not exist, or that lie in no room below the file's own."""
    return [
        f"{name} includes {other}"
        for name, others in graph.items()
        for other in sorted(others)
        if other not in graph
        or cpp_room(other) not in rooms_below(cpp_room(name), CPP_ROOMS) | {cpp_room(name)}
    ]


MAX_CPP_LINES = 400


def long_cpp_files(root: Path) -> list[str]:
    lengths = {name: len((root / name).read_text().splitlines()) for name in included_files(root)}
    return [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > MAX_CPP_LINES]


def test_every_cpp_file_is_in_a_room():
    assert {cpp_room(name) for name in included_files(CPP)} == CPP_ROOMS.keys()


def test_cpp_files_include_only_from_below():
    assert not upward_includes(included_files(CPP))


def test_no_cpp_files_include_each_other_in_a_circle():
    assert not circle(included_files(CPP)), "these are in a circle, or include one that is"


def test_cpp_files_are_short():
    assert not long_cpp_files(CPP)


CPP_TREE = {
    "kernels/vector/simd.hpp": "#include <cstdint>",
    "kernels/matrix/tile.hpp": '#include "kernels/vector/simd.hpp"',
    "kernels/matrix/product.hpp": '#include "kernels/matrix/tile.hpp"',
    "kernels/runtime/parallel.hpp": '#include "kernels/vector/simd.hpp"',
    "kernels/recurrent/gru.hpp": '#include "kernels/matrix/tile.hpp"\n#include "kernels/vector/simd.hpp"',
    "kernels/dense/linear.hpp": '#include "kernels/vector/simd.hpp"',
    "bindings/python/arrays.hpp": '#include "kernels/runtime/parallel.hpp"',
    "bindings/recurrent/packed.hpp": '#include "kernels/recurrent/gru.hpp"',
    "bindings/linear.cpp": '#include "kernels/dense/linear.hpp"\n#include "bindings/python/arrays.hpp"',
    "bindings/module.cpp": '#include "bindings/recurrent/packed.hpp"',
}


def write_cpp_tree(root: Path, name: str = "", line: str = "") -> Path:
    """Write CPP_TREE under `root`, with one more line at the end of the file `name`."""
    for file, text in CPP_TREE.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n{line}\n" if file == name else f"{text}\n")
    return root


def test_a_made_up_cpp_tree_that_keeps_the_rules_passes(tmp_path):
    root = write_cpp_tree(tmp_path)
    assert not upward_includes(included_files(root))
    assert not circle(included_files(root))
    assert not long_cpp_files(root)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("kernels/vector/simd.hpp", "kernels/matrix/tile.hpp"),
        ("kernels/vector/simd.hpp", "kernels/runtime/parallel.hpp"),
        ("kernels/matrix/tile.hpp", "kernels/runtime/parallel.hpp"),
        ("kernels/runtime/parallel.hpp", "kernels/matrix/tile.hpp"),
        ("kernels/runtime/parallel.hpp", "kernels/recurrent/gru.hpp"),
        ("kernels/dense/linear.hpp", "kernels/recurrent/gru.hpp"),
        ("kernels/recurrent/gru.hpp", "kernels/dense/linear.hpp"),
        ("kernels/recurrent/gru.hpp", "bindings/python/arrays.hpp"),
        ("bindings/python/arrays.hpp", "bindings/recurrent/packed.hpp"),
        ("bindings/recurrent/packed.hpp", "bindings/linear.cpp"),
        ("bindings/linear.cpp", "bindings/recurrent/packed.hpp"),
        ("bindings/linear.cpp", "bindings/module.cpp"),
        ("bindings/linear.cpp", "kernels/linear.hpp"),  # no such file
    ],
)
def test_the_include_rule_catches_what_it_should(name, other, tmp_path):
    root = write_cpp_tree(tmp_path, name, f'#  include "{other}"')
    assert upward_includes(included_files(root)) == [f"{name} includes {other}"]


def test_the_search_for_circles_finds_headers_of_one_room(tmp_path):
    root = write_cpp_tree(tmp_path, "kernels/matrix/tile.hpp", '#include "kernels/matrix/product.hpp"')
    assert not upward_includes(included_files(root))
    assert {"kernels/matrix/product.hpp", "kernels/matrix/tile.hpp"} <= set(circle(included_files(root)))


@pytest.mark.parametrize(("lines", "caught"), [(400, False), (401, True)])
def test_the_limit_of_lines_catches_a_long_cpp_file(lines, caught, tmp_path):
    root = write_cpp_tree(tmp_path)
    (root / "kernels/dense/linear.hpp").write_text("//\n" * lines)
    assert bool(long_cpp_files(root)) == caught


def test_kernels_know_nothing_of_python_and_print_nothing():
    assert KERNEL_FILES
    assert not offences(KERNEL_FILES, r"Python\.h|pybind11|numpy/|\bPyObject\b|\bpy::|bindings/")
    assert not offences(KERNEL_FILES, r"#\s*include\s*<(iostream|cstdio|stdio\.h|fstream)>|std::c(out|err)\b")


def test_the_gil_is_released_and_objects_are_handed_to_python_in_one_way_only():
    """Keep pybind11's own: the one ends the process at exit, the other frees twice where memory ends."""
    assert not offences(CPP_FILES, r"\bgil_scoped_(release|acquire)\b")
    assert not offences(CPP_FILES, r"\bpy::cast\((std::|\w*shared|\w*packed|\w*stream|\w*tape)")


def test_only_simd_names_eigen_packets():
    others = [path for path in CPP_FILES if path.name not in ("simd.hpp", "bfloat16.hpp", "halves.hpp")]
    assert not offences(others, r"Eigen::internal|\bPacket(Block|\d+\w+)?\b|\bpacket_traits\b|\.packet\b")


# Flushing denormals sets a control register (MXCSR, FPCR), a thread that spins tells the processor, a gather
# loads a vector from any places, and words and halves hold numbers of fewer bits: nothing that Eigen offers.
MAY_USE_INTRINSICS = {"denormals.hpp", "spin.hpp", "gather.hpp", "halves.hpp"}
MAY_USE_INTRINSICS |= {"native_words.hpp", "widened_words.hpp"}


def test_no_intrinsics_outside_the_cpu_check():
    others = [p for p in CPP_FILES if p.parent.name != "cpu" and p.name not in MAY_USE_INTRINSICS]
    assert not offences(others, r"#\s*include\s*<(\w*intrin|arm_neon|arm_sve|cpuid)\.h>")
    assert not offences(others, r"\b_mm\d*_\w+|\b__m(64|128|256|512)[di]?\b|\b__builtin_ia32_\w+")
    # An empty asm that keeps a value in a register emits no instruction.
    assert not offences([p for p in others if p.parent.name != "vector"], r"\basm\b")
    assert not offences(others, r"\basm\b(?! *\(\"\")")
    exceptions = [p for p in CPP_FILES if p.name in MAY_USE_INTRINSICS]
    assert not offences(
        exceptions, r"#\s*include\s*<(?!xmmintrin|immintrin)(\w*intrin|arm_neon|arm_sve|cpuid)\.h>"
    )


def test_nothing_that_ships_is_built_for_this_machine_or_with_loose_arithmetic():
    forbidden = r"-march=native|-mcpu=native|-Ofast|-f(fast-math|unsafe-math\w*|associative-math)|/fp:fast"
    files = [path for path in BUILD_FILES if path.exists()]
    assert not offences(files, forbidden, keep_comments=True)
    assert not offences(
        CPP_FILES,
        r'#\s*pragma\s.*(optimize(?!\("Os"\))|fast.math|STDC FP_CONTRACT ON)|__attribute__.*optimize',
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
