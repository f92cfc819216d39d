"""Find the worst error of the kernels' sigmoid and tanh: all 2^32 float32 values, a sample of float64.

The truth for float32 is NumPy's float64, whose own error is below 10^-8 of a float32 unit in the last place;
for float64 it is NumPy's long double, where that has at least 63 bits (x86). An error is the distance between
result and truth in units in the last place (ulp) of the truth: 0.5 is the best that rounding can do. NaN must
stay NaN.

    python benchmarks/activation_error.py          # minutes, on one thread
    FASTRNN_ISA=baseline python benchmarks/activation_error.py
"""

import datetime
import json
import platform
from pathlib import Path

import numpy as np

import fastrnn as fr
from fastrnn import _dispatch

CHUNK = 1 << 22  # values at a time, in less than a GB of memory
SAMPLE_64 = 40_000_000  # float64 values, of all magnitudes that matter and around zero
RESULT = Path(__file__).parent / "results" / "activation_error.json"


def sigmoid(x):
    """Compute in the precision of x; neither side overflows or cancels."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


TRUTHS = {"sigmoid": sigmoid, "tanh": np.tanh}


def ulp_errors(got, truth):
    """Return the distance of `got` from the wider `truth`, in ulp of `truth` in the type of `got`."""
    info = np.finfo(got.dtype)
    _, exponent = np.frexp(truth)  # truth = fraction * 2^exponent, fraction in [0.5, 1)
    ulp = np.ldexp(truth.dtype.type(1), np.maximum(exponent - 1, info.minexp) - info.nmant)
    return np.abs(got.astype(truth.dtype) - truth) / ulp


class Worst:
    """The largest error so far and its argument."""

    def __init__(self):
        self.error, self.at, self.values, self.nans_kept = 0.0, 0.0, 0, True

    def add(self, x, got, truth):
        """Add a chunk of arguments, results and exact values."""
        nan = np.isnan(x)
        self.nans_kept &= bool(np.isnan(got[nan]).all())
        x, got, truth = x[~nan], got[~nan], truth[~nan]
        self.values += x.size
        if not x.size:
            return
        errors = ulp_errors(got, truth)
        worst = int(np.argmax(errors))  # an unexpected NaN counts as the largest
        if not errors[worst] <= self.error:
            self.error, self.at = float(errors[worst]), float(x[worst])

    def report(self):
        """Return plain values for the JSON file."""
        return {
            "worst_ulp": round(self.error, 4),
            "at": self.at,
            "at_hex": self.at.hex(),
            "values": self.values,
            "nan_stays_nan": self.nans_kept,
        }


def every_float32():
    """Yield all bit patterns, chunk by chunk."""
    for start in range(0, 1 << 32, CHUNK):
        yield np.arange(start, start + CHUNK, dtype=np.uint64).astype(np.uint32).view(np.float32)


def some_float64():
    """Yield values uniform where the functions bend, and of every magnitude down to the smallest."""
    random = np.random.default_rng(0)
    for _ in range(0, SAMPLE_64, CHUNK):
        signs = random.choice([-1.0, 1.0], CHUNK // 4)
        yield random.uniform(-1, 1, CHUNK // 4)
        yield random.uniform(-25, 25, CHUNK // 4)
        yield random.uniform(-750, 750, CHUNK // 4)
        yield signs * np.exp2(random.uniform(-1074, 10, CHUNK // 4))


def measure(chunks, wide):
    """Return the worst errors of both functions over chunks of values, with exact values of type `wide`."""
    worst = {name: Worst() for name in TRUTHS}
    with np.errstate(all="ignore"):
        for x in chunks:
            for name, truth in TRUTHS.items():
                worst[name].add(x, getattr(_dispatch.kernels, name)(x), truth(x.astype(wide)))
    return {name: w.report() for name, w in worst.items()}


def cpu_name():
    """Return the CPU's name where Linux reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    results = {"float32": measure(every_float32(), np.float64)}
    if np.finfo(np.longdouble).nmant >= 63:
        results["float64"] = measure(some_float64(), np.longdouble)
    machine = {
        "date": datetime.date.today().isoformat(),
        "isa": fr.isa(),
        "cpu": cpu_name(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "fastrnn": fr.__version__,
    }
    for dtype, functions in results.items():
        for name, found in functions.items():
            where = f"at {found['at']!r} of {found['values']} values"
            print(f"{dtype} {name:8} {found['worst_ulp']:.4f} ulp {where}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n")
    print(f"written to {RESULT}")
