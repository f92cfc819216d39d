"""Check that the object compiled for more than its module shares no code with the rest of the module.

    python tests/native_object.py BUILD      BUILD: the folder of a build, in which the object is searched

``_kernels_avx512`` runs on every CPU with AVX-512, and holds one object that is compiled with AVX512_BF16 and
AVX512_VNNI. The linker merges an inline function of two objects into one copy. If it were this object's, the
whole module would run it, also on CPUs that lack these instructions. So the object must define its two
functions and nothing else that another object can see, and run no code when the module is loaded.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TARGET = "_kernels_avx512_native"  # of CMakeLists.txt
FUNCTIONS = {"fastrnn::native_bfloat16()", "fastrnn::native_int8()"}
KINDS = {"W": "weak", "V": "weak", "u": "unique"}
RUNS_WHEN_LOADED = re.compile(r"\s(\.(?:init_array|preinit_array|ctors|init)\S*)\s")


def output(*command: str | Path) -> str:
    """Return what a program of binutils prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def faults(path: Path) -> list[str]:
    """Return what is wrong with an object, a line each."""
    seen, found = set(), []
    for line in output("nm", "--demangle", "--defined-only", "--extern-only", path).splitlines():
        _address, kind, name = line.split(None, 2)
        if kind == "T" and name in FUNCTIONS:
            seen.add(name)
        else:
            found.append(f"{KINDS.get(kind, 'global')} symbol: {name}")
    found += [f"missing function: {name}" for name in sorted(FUNCTIONS - seen)]
    sections = RUNS_WHEN_LOADED.findall(output("objdump", "--section-headers", path))
    return found + [f"code that runs when the module is loaded: {name}" for name in sections]


def main(build: Path) -> int:
    """Print the faults of the object in a build; return the exit status."""
    paths = sorted(build.rglob(f"{TARGET}.dir/**/*.o"))
    if not paths:
        print(f"{build}: no object of {TARGET}", file=sys.stderr)
        return 1
    found = [f"{path}: {fault}" for path in paths for fault in faults(path)]
    print(*(found or [f"{len(paths)} object(s) share nothing with their modules"]), sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
