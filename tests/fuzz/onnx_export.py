"""Random layers written as ONNX files: what ONNX Runtime and `load_onnx` compute beside the layer itself.

    python -m tests.fuzz.onnx_export --count 2000 --seed 1

prints a table: for each cell and option, how many files had it, and the largest differences.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastrnn as fr

from .plan import LAYERS, Plan, draw_plan
from .subject import Arrays, Difference, Subject

#: Largest differences, relative to an array's largest number or 1.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
#: Nodes that ONNX Runtime has in float32 only.
SINGLE = {"RNN", "GRU", "LSTM"}
#: Opsets between which an operator that is written has changed, and the usual one.
OPSETS = (13, 17, 17, 17, 18, 21)


class Result(NamedTuple):
    """The largest difference of each reader of a file, None where it cannot run it; and what is allowed."""

    plan: Plan
    runtime: float | None
    loaded: float
    allowed: float

    @property
    def failure(self) -> str:
        """What is wrong, or nothing."""
        right = max(self.runtime or 0.0, self.loaded) <= self.allowed
        return "" if right else f"onnxruntime {self.runtime}, load_onnx {self.loaded}, allowed {self.allowed}"


def exported(index: int, seed: int) -> Plan | None:
    """Return a plan that a file can hold: with steps and rows, without resets and targets, in float32."""
    plan = draw_plan(seed, index)
    if not plan.steps or not plan.rows or (plan.targets and plan.layer == "Jordan"):
        return None
    options = {name: value for name, value in plan.options.items() if name != "precision"}
    ids = plan.ids and "int64"
    return plan.replace(options=options, reset=0.0, targets=False, layout="plain", ids=ids)


def feeds_of(subject: Subject) -> Arrays:
    """Return the inputs of a file by name."""
    rnn, given = subject.rnn, subject.given
    feeds = {"ids" if subject.plan.ids else "x": given["x"]}
    if subject.plan.lengths:
        feeds["lengths"] = np.asarray(given["lengths"], np.int64)
    if subject.batch.state is not None:
        names = [f"{name}_0" for name in rnn.state_names]
        feeds |= dict(zip(names, subject.batch.state, strict=True))
    if "context" in given:
        context = given["context"]
        feeds["context"] = (
            context if context.ndim == 3 else context[:, None] if rnn.batch_first else context[None]
        )
    return feeds


def difference(got: Arrays, wanted: Arrays) -> float:
    """Return the largest difference, relative to each array's largest number or 1."""
    largest = 0.0
    for name, array in wanted.items():
        if name not in got or got[name].shape != array.shape or got[name].dtype != array.dtype:
            raise Difference(f"{name}: expected {array.dtype} {array.shape}, got {got.get(name)!r}")
        scale = max(1.0, float(np.abs(array).max(initial=0)))
        error = np.abs(got[name].astype(np.float64) - array).max(initial=0) / scale
        largest = max(largest, float(error) if np.isfinite(error) else np.inf)
    return largest


def time_major(rnn: Any, got: Arrays) -> Arrays:
    """Return the results of a file with y as [T, N, width]."""
    return {**got, "y": got["y"].swapaxes(0, 1)} if rnn.batch_first else got


def run(path: Path, feeds: Arrays) -> Arrays:
    """Run a file in ONNX Runtime."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def check(plan: Plan, path: Path, opset: int = 17) -> Result:
    """Write a layer, check the file, and run it."""
    onnx = importlib.import_module("onnx")
    subject = Subject(plan)
    rnn, feeds = subject.rnn, feeds_of(subject)
    options = {"state": plan.state, "lengths": bool(plan.lengths), "ids": bool(plan.ids)}
    fr.interop.save_onnx(path, rnn, opset=opset, **options)
    onnx.checker.check_model(path, full_check=True)
    wanted = Subject.named(rnn, *rnn(**subject.given))
    if not plan.state:
        wanted = {"y": wanted["y"]}
    nodes = {node.op_type for node in onnx.load(path).graph.node}
    runs = plan.options["dtype"] == "float32" or not nodes & SINGLE
    got = run(path, feeds) if runs else None
    runtime = None if got is None else difference(time_major(rnn, got), wanted)
    loaded = difference(time_major(rnn, fr.interop.load_onnx(path).run(feeds)), wanted)
    return Result(
        plan, runtime, loaded, max(TOLERANCE[plan.options["dtype"]], 10 * rounding(subject, wanted))
    )


def rounding(subject: Subject, wanted: Arrays) -> float:
    """Return what rounding to float32 does to a layer: some are sensitive, such as clipped and normalised."""
    if subject.rnn.dtype == np.float64:
        return 0.0
    rnn = subject.plan.make(dtype="float64")
    rnn.load_state_dict({name: value.astype(np.float64) for name, value in subject.parameters.items()})
    given = {name: doubled(value) for name, value in subject.given.items()}
    exact = Subject.named(rnn, *rnn(**given))
    return difference(
        {name: array.astype(np.float32) for name, array in exact.items() if name in wanted}, wanted
    )


def doubled(value: Any) -> Any:
    """Return floats as float64, everything else as it is."""
    if isinstance(value, tuple):
        return tuple(doubled(one) for one in value)
    return value.astype(np.float64) if getattr(value, "dtype", None) == np.float32 else value


def rows_of(result: Result) -> Iterator[str]:
    """Yield the rows of the table to which a result counts."""
    plan = result.plan
    yield f"{plan.layer} {plan.options['dtype']}"
    for name in plan.options:
        if name != "dtype":
            yield name
    for name in ("ids", "lengths", "state"):
        if getattr(plan, name):
            yield name


def main() -> int:
    """Run many; print the table and what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0)
    given = parser.parse_args()
    table: dict[str, list[Result]] = defaultdict(list)
    failed = done = 0
    with tempfile.TemporaryDirectory() as folder:
        for index in range(given.start, given.start + given.count):
            plan = exported(index, given.seed)
            if plan is None:
                continue
            try:
                result = check(plan, Path(folder, "model.onnx"), OPSETS[index % len(OPSETS)])
                failure = result.failure
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
            if failure:
                failed += 1
                print(f"{index}: {failure}\n  {plan.line()}")
                continue
            done += 1
            for row in rows_of(result):
                table[row].append(result)
    for row in sorted(table, key=lambda row: (row.split()[0] not in LAYERS, row)):
        results = table[row]
        runtime = max((one.runtime for one in results if one.runtime is not None), default=float("nan"))
        loaded = max(one.loaded for one in results)
        print(f"{row:24} {len(results):6} {runtime:10.2g} {loaded:10.2g}")
    print(f"{done} files equal, {failed} not")
    return failed > 0


if __name__ == "__main__":
    raise SystemExit(main())
