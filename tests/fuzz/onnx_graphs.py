"""Random ONNX graphs around recurrent nodes: what `load_onnx` makes of them against ONNX Runtime.

The long form, with a table of the largest difference for each group of attributes::

    python -m tests.fuzz.onnx_graphs --count 2000 --seed 0
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr

COUNTS = {"RNN": 1, "GRU": 3, "LSTM": 4}
EACH = {"RNN": 1, "GRU": 2, "LSTM": 3}  # activations of one direction
COMMON = ("Tanh", "Sigmoid", "Relu")
OTHERS = (
    "Affine",
    "LeakyRelu",
    "ThresholdedRelu",
    "ScaledTanh",
    "HardSigmoid",
    "Elu",
    "Softsign",
    "Softplus",
)
ALPHA = {"Affine": (-0.9, 0.9), "LeakyRelu": (0.0, 0.5), "ThresholdedRelu": (0.0, 0.4),
         "ScaledTanh": (0.5, 1.5), "HardSigmoid": (0.1, 0.4), "Elu": (0.2, 1.2)}  # fmt: skip
BETA = {"Affine": (-0.3, 0.3), "ScaledTanh": (0.5, 1.5), "HardSigmoid": (0.2, 0.6)}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
#: Differences that count as equal, relative to the largest output: float32, and other orders of sums.
TOLERANCE = 2e-5
#: Outputs up to here are compared.
LARGEST = 1e3


@dataclass
class Case:
    """A model, arrays for it, and what it has."""

    model: Any
    feeds: dict[str, Any]
    features: set[str]
    text: str = ""


@dataclass
class Builder:
    """Collects nodes and constants."""

    random: np.random.Generator
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    feeds: dict[str, Any] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def choice(self, values: Any) -> Any:
        return values[self.random.integers(len(values))]

    def normal(self, *shape: int, scale: float = 0.6) -> Any:
        return (scale * self.random.normal(size=shape)).astype(np.float32)

    def add(self, op: str, inputs: list[str], outputs: list[str] | None = None, **attributes: Any) -> str:
        from onnx import helper

        outputs = [f"v{len(self.nodes)}"] if outputs is None else outputs
        self.nodes.append(helper.make_node(op, inputs, outputs, f"node{len(self.nodes)}", **attributes))
        return outputs[0]

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name


def draw(number: int, seed: int) -> Case:
    """Draw one model."""
    b = Builder(np.random.default_rng([seed, number]))
    op = b.choice(list(COUNTS))
    opset = int(b.choice([7, 9, 11, 13, 14, 17, 20, 22]))
    sizes = {name: int(b.random.integers(1, most)) for name, most in zip("TNDH", (8, 5, 10, 20), strict=True)}
    b.features.add(op)
    x = _input(b, sizes)
    direction = b.choice(["forward", "reverse", "bidirectional"])
    names = _recurrent(b, op, direction, sizes, x)
    outputs = _after(b, names, op, direction, sizes, opset)
    return Case(_model(b, outputs, opset), b.feeds, b.features, text=f"{op} {direction} opset {opset}")


def _input(b: Builder, sizes: dict[str, int]) -> str:
    """Return X: an input, embedded ids, or an input with the batch first, turned."""
    T, N, D = (sizes[name] for name in "TND")
    kind = b.choice(["plain", "plain", "embedding", "turned"])
    if kind == "embedding":
        b.features.add("embedding")
        b.feeds["ids"] = b.random.integers(-7, 7, (T, N))
        return b.add("Gather", [b.constant(b.normal(7, D)), "ids"])
    if kind == "turned":
        b.features.add("transpose")
        b.feeds["X"] = b.normal(N, T, D)
        return b.add("Transpose", ["X"], perm=[1, 0, 2])
    b.feeds["X"] = b.normal(T, N, D)
    return "X"


def _recurrent(b: Builder, op: str, direction: str, sizes: dict[str, int], x: str) -> list[str]:
    T, N, D, H = (sizes[name] for name in "TNDH")
    count, directions = COUNTS[op], 1 + (direction == "bidirectional")
    b.features.add(direction)
    shapes = {"W": (count * H, D), "R": (count * H, H), "B": (2 * count * H,), "P": (3 * H,)}
    arrays = {name: b.normal(directions, *shapes[name]) for name in "WR"}
    if b.chance(0.6):
        arrays["B"] = b.normal(directions, *shapes["B"])
    if op == "LSTM" and b.chance(0.4):
        arrays["P"] = b.normal(directions, *shapes["P"])
        b.features.add("peepholes")
    if b.chance(0.4):
        arrays["sequence_lens"] = b.random.integers(1, T + 1, N).astype(np.int32)
        b.features.add("sequence_lens")
    for name in ("initial_h", *(["initial_c"] if op == "LSTM" else [])):
        if b.chance(0.4):
            arrays[name] = b.normal(directions, N, H)
            b.features.add("initial states")
    fed = b.chance(0.15)  # weights as inputs of the model
    b.features.update(["weights as inputs"] if fed else [])
    places = {"X": x}
    for name, array in arrays.items():
        if fed or name in ("sequence_lens", "initial_h", "initial_c"):
            b.feeds[name], places[name] = array, name
        else:
            places[name] = b.constant(array)
    names = ["Y", "Y_h", *(["Y_c"] if op == "LSTM" else [])]
    inputs = [places.get(name, "") for name in INPUTS[: 8 if op == "LSTM" else 6]]
    while not inputs[-1]:
        inputs.pop()
    attributes = {"hidden_size": H, "direction": direction, **_options(b, op, directions)}
    b.add(op, inputs, names, **attributes)
    return names


def _options(b: Builder, op: str, directions: int) -> dict[str, Any]:
    """Return attributes: activations with their numbers, clip, and the variants."""
    attributes: dict[str, Any] = {}
    if b.chance(0.2):
        attributes["clip"] = float(np.float32(b.random.uniform(0.1, 1.5)))
        b.features.add("clip")
    variant = {"GRU": "linear_before_reset", "LSTM": "input_forget"}.get(op)
    if variant and b.chance(0.5):
        attributes[variant] = 1
        b.features.add(variant)
    kind = b.choice(["none", "none", "common", "others", "others", "per direction"])
    if kind == "none" or (kind == "per direction" and directions == 1):
        return attributes
    pool = COMMON if kind == "common" else (*COMMON, *OTHERS)
    names = [str(b.choice(pool)) for _ in range(EACH[op])] * directions
    if kind == "per direction":
        names[EACH[op] :] = [str(b.choice(pool)) for _ in range(EACH[op])]
    b.features.add({"common": "activations", "others": "other activations"}.get(kind, "two activations"))
    attributes["activations"] = names
    for key, table in (("activation_alpha", ALPHA), ("activation_beta", BETA)):
        numbers = [float(np.float32(b.random.uniform(*table[name]))) for name in names if name in table]
        if numbers:
            attributes[key] = numbers
            b.features.add("alpha, beta")
    return attributes


def _after(
    b: Builder, names: list[str], op: str, direction: str, sizes: dict[str, int], opset: int
) -> list[str]:
    """Add what exporters write after a recurrent node; return the names of the outputs."""
    H, directions = sizes["H"], 1 + (direction == "bidirectional")
    if b.chance(0.3):
        return names
    y = b.add("Transpose", [names[0]], perm=[0, 2, 1, 3])
    y = b.add("Reshape", [y, b.constant(np.array([0, 0, -1], np.int64))])
    width = directions * H
    b.features.add("reshape")
    if b.chance(0.3):
        axes = np.array([0], np.int64)
        last = b.add("Gather", [y, b.constant(np.array(-1, np.int64))], axis=0)
        y = (
            b.add("Unsqueeze", [last, b.constant(axes)])
            if opset >= 13
            else b.add("Unsqueeze", [last], axes=[0])
        )
    if b.chance(0.7):
        b.features.add("linear")
        y = b.add("MatMul", [y, b.constant(b.normal(width, 5))])
        y = b.add("Add", [y, b.constant(b.normal(5))] if b.chance(0.8) else [b.constant(b.normal(5)), y])
    if b.chance(0.5):
        end = str(b.choice(["Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Relu"]))
        b.features.add("output activation")
        y = b.add(end, [y], **({"axis": 2} if end.endswith("max") else {}))
    return [y, *names[1:]]


def _model(b: Builder, outputs: list[str], opset: int) -> Any:
    from onnx import helper, numpy_helper

    def value(name: str, array: Any) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        b.nodes,
        "fuzz",
        [value(name, array) for name, array in b.feeds.items()],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in b.constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def difference(case: Case, folder: Path) -> float | None:
    """Return the largest difference from ONNX Runtime, relative to 1 and the largest output.

    None if rounding decides: outputs explode, or float64 says that both are about as far from the truth.
    """
    import onnx
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [one.name for one in session.get_outputs()]
    expected = dict(zip(names, session.run(names, case.feeds), strict=True))
    path = folder / "model.onnx"
    onnx.save(case.model, path)
    found = fr.interop.load_onnx(path).run(case.feeds)
    if not all(np.abs(array).max(initial=0.0) < LARGEST for array in expected.values()):
        return None
    assert found.keys() == expected.keys()
    largest = 0.0
    for name, array in expected.items():
        assert found[name].shape == array.shape, f"{name}: {found[name].shape} instead of {array.shape}"
        assert found[name].dtype == array.dtype, f"{name}: {found[name].dtype} instead of {array.dtype}"
        scale = 1 + float(np.abs(array).max(initial=0.0))
        gap = np.abs(found[name] - array).max(initial=0.0) / scale
        largest = max(largest, float(np.nan_to_num(gap, nan=np.inf)))
    return None if largest > TOLERANCE and _rounded(case, found, expected, path) else largest


def _rounded(case: Case, found: dict[str, Any], expected: dict[str, Any], path: Path) -> bool:
    """Whether ours is about as near to the results in float64 as theirs."""
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float64), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == 1:
            value.type.tensor_type.elem_type = 11
    onnx.save(model, path)
    feeds = {k: a.astype(np.float64) if a.dtype == np.float32 else a for k, a in case.feeds.items()}
    exact = fr.interop.load_onnx(path).run(feeds)
    ours, theirs = (
        max(float(np.abs(one[name] - exact[name]).max(initial=0.0)) for name in exact)
        for one in (found, expected)
    )
    return ours < 4 * theirs


def run(
    count: int, seed: int, report: Callable[[str], object] = print, first: int = 0
) -> tuple[dict[str, float], Counter[str], int]:
    """Compare models; return each feature's largest difference and number of models, and the failures."""
    largest: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            case = draw(number, seed)
            try:
                gap = difference(case, Path(folder))
            except Exception as error:
                failures += 1
                report(f"seed {seed}, number {number}: {case.text}: {type(error).__name__}: {error}"[:600])
                continue
            if gap is None:
                counts["rounded"] += 1
                continue
            if gap > TOLERANCE:
                failures += 1
                report(f"seed {seed}, number {number}: {case.text}: {gap:.3g}, {sorted(case.features)}")
            for feature in {*case.features, "all"}:
                counts[feature] += 1
                largest[feature] = max(largest[feature], gap)
    return dict(largest), counts, failures


def main() -> int:
    """Run the long form; the exit code is 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="models to draw")
    parser.add_argument("--seed", type=int, default=0, help="of all models")
    parser.add_argument("--first", type=int, default=0, help="number of the first, to draw one again")
    options = parser.parse_args()
    largest, counts, failures = run(
        options.count, options.seed, lambda line: print(line, flush=True), options.first
    )
    for feature in sorted(largest):
        print(f"| {feature} | {counts[feature]} | {largest[feature]:.1e} |")
    print(f"{options.count} models, {failures} failures, {counts['rounded']} decided by rounding")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
