"""Measure how much longer `import fastrnn` takes than `import numpy`.

Each import runs in a separate process, the two in turn (A B A B ...), so that a machine that slows down slows
both. The clock runs inside the process, around the import statement only.

    python benchmarks/import_time.py
"""

import statistics
import subprocess
import sys

REPEATS = 31  # pairs of processes; the median of each side is reported
GOAL_MILLISECONDS = 20.0  # above NumPy's own time

SCRIPT = "import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
# fastrnn imports a name's module on first use: everything that a layer or a model needs counts.
STATEMENTS = {
    "numpy": "import numpy",
    "fastrnn": "from fastrnn import LSTM, LanguageModel, Vocabulary",
}


def import_milliseconds(name: str) -> float:
    """Import `name` in a new interpreter and return the time taken."""
    command = [sys.executable, "-c", SCRIPT.format(statement=STATEMENTS[name])]
    return 1e3 * float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


times: dict[str, list[float]] = {"numpy": [], "fastrnn": []}
for name in times:
    import_milliseconds(name)  # fills the file cache
for _ in range(REPEATS):
    for name, measured in times.items():
        measured.append(import_milliseconds(name))

median = {name: statistics.median(measured) for name, measured in times.items()}
extra = median["fastrnn"] - median["numpy"]
for name, measured in times.items():
    low, _, high = statistics.quantiles(measured, n=4)
    print(f"import {name:8} {median[name]:7.1f} ms  (quartiles {low:.1f} to {high:.1f}, n = {REPEATS})")
print(f"extra           {extra:7.1f} ms  (goal: at most {GOAL_MILLISECONDS:.0f})")
