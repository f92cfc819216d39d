"""ONNX's own tests of the nodes RNN, GRU and LSTM, and more nodes against ONNX's reference and onnxruntime.

CI installs onnx>=1.23 and onnxruntime; where they are absent or older, these tests are skipped.
"""

import numpy as np
import pytest

import fastrnn as fr

onnx = pytest.importorskip("onnx")
helper = pytest.importorskip("onnx.helper")
reference = pytest.importorskip("onnx.reference")

VERSION = tuple(int(part) for part in onnx.__version__.split(".")[:2])
T, N, D, H = 5, 3, 4, 6
OPS = {"RNN": 1, "GRU": 3, "LSTM": 4}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
DIRECTIONS = ("forward", "reverse", "bidirectional")
OLDEST = {
    *("test_gru_batchwise test_gru_defaults test_gru_seq_length test_gru_with_initial_bias".split()),
    *("test_lstm_batchwise test_lstm_defaults test_lstm_with_initial_bias".split()),
    *("test_lstm_with_peepholes test_rnn_seq_length test_simple_rnn_batchwise".split()),
    *("test_simple_rnn_defaults test_simple_rnn_with_initial_bias".split()),
}
SINCE_1_23 = {
    f"test_{op}_{direction}"
    for op in ("gru", "lstm", "simple_rnn")
    for direction in ("reverse", "bidirectional")
}


def stored_cases():
    """Return ONNX's test cases of one node RNN, GRU or LSTM, by name."""
    from onnx.backend.test.case import node

    for op in ("gru", "lstm", "rnn"):  # importing a module collects its cases
        pytest.importorskip(f"onnx.backend.test.case.node.{op}")
    cases = {}
    for case in node._NodeTestCases:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in OPS:
            cases[case.name] = case
    return cases


STORED = stored_cases()


@pytest.fixture
def imported(tmp_path):
    """Run a model by way of a file."""

    def run(model, feeds):
        onnx.save(model, tmp_path / "model.onnx")
        return fr.interop.load_onnx(tmp_path / "model.onnx").run(feeds)

    return run


def test_onnx_has_the_cases_we_know():
    assert STORED.keys() >= OLDEST
    assert VERSION < (1, 23) or STORED.keys() >= SINCE_1_23


@pytest.mark.parametrize("name", sorted(STORED))
def test_stored_case(name, imported):
    case = STORED[name]
    assert case.data_sets
    for inputs, outputs in case.data_sets:
        names = [one.name for one in case.model.graph.input]
        results = imported(case.model, dict(zip(names, inputs, strict=True)))
        for one, expected in zip(case.model.graph.output, outputs, strict=True):
            got = results[one.name]
            assert got.shape == expected.shape
            np.testing.assert_allclose(got, expected, rtol=case.rtol, atol=max(case.atol, 1e-6))


def make_model(op, dtype, names=(), **attributes):
    """Make a model of one node with the named inputs besides X, W and R, and arrays for them."""
    random = np.random.default_rng(8)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    gates = OPS[op]
    batch_first = attributes.get("layout", 0) == 1
    state = (N, directions, H) if batch_first else (directions, N, H)
    shapes = {
        "X": (N, T, D) if batch_first else (T, N, D),
        "W": (directions, gates * H, D),
        "R": (directions, gates * H, H),
        "B": (directions, 2 * gates * H),
        "initial_h": state,
        "initial_c": state,
        "P": (directions, 3 * H),
    }
    feeds = {
        name: (0.6 * random.normal(size=shape)).astype(dtype)
        for name, shape in shapes.items()
        if name in ("X", "W", "R", *names)
    }
    if "sequence_lens" in names:
        feeds["sequence_lens"] = np.array([2, T, 1], np.int32)
    outputs = ["Y", "Y_h", "Y_c"] if op == "LSTM" else ["Y", "Y_h"]
    used = [name if name in feeds else "" for name in INPUTS[: 8 if op == "LSTM" else 6]]
    node = helper.make_node(op, used, outputs, hidden_size=H, **attributes)
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(name, kinds[name], array.shape) for name, array in feeds.items()],
        [
            helper.make_tensor_value_info(name, kinds["X"], [None] * (4 if name == "Y" else 3))
            for name in outputs
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    return model, feeds


def reference_of(model, feeds, layout):
    """Run ONNX's reference row by row, each cut to its length, as it does not support lengths."""
    evaluator = reference.ReferenceEvaluator(model)
    names = [one.name for one in model.graph.output]
    lengths = feeds.get("sequence_lens")
    if lengths is None:
        return dict(zip(names, evaluator.run(None, feeds), strict=True))
    rows = {"X": 1 - layout, "initial_h": 1 - layout, "initial_c": 1 - layout}
    results = {name: [] for name in names}
    for n, length in enumerate(lengths):
        own = {k: a.take([n], rows[k]) if k in rows else a for k, a in feeds.items()}
        own["X"] = own["X"].take(range(length), layout)
        own["sequence_lens"] = lengths[n : n + 1]
        for name, array in zip(names, evaluator.run(None, own), strict=True):
            results[name].append(array)
    for n, y in enumerate(results["Y"]):
        padding = [(0, 0)] * 4
        padding[layout] = (0, T - lengths[n])
        results["Y"][n] = np.pad(y, padding)
    axes = {"Y": 0 if layout else 2, "Y_h": 1 - layout, "Y_c": 1 - layout}
    return {name: np.concatenate(parts, axes[name]) for name, parts in results.items()}


def assert_equal(results, expected, tolerance):
    assert results.keys() == expected.keys()
    for name, wanted in expected.items():
        assert results[name].shape == wanted.shape, name
        assert results[name].dtype == wanted.dtype, name
        np.testing.assert_allclose(results[name], wanted, rtol=0, atol=tolerance, err_msg=name)


def inputs_of(op):
    """Return sets of inputs besides X, W and R."""
    states = ("initial_h", "initial_c") if op == "LSTM" else ("initial_h",)
    sets = [(), ("B",), ("sequence_lens",), states, ("B", "sequence_lens", *states)]
    if op == "LSTM":
        sets += [("P",), ("B", "P", "sequence_lens", *states), ("initial_c",)]
    return sets


CASES = [(op, names) for op in OPS for names in inputs_of(op)]
IDS = [" ".join((op, *names)) for op, names in CASES]


@pytest.mark.skipif(VERSION < (1, 23), reason="onnx's reference supported only forward, without Y_c")
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("op", "names"), CASES, ids=IDS)
def test_node_is_the_references(op, names, direction, layout, imported):
    variants = [{"linear_before_reset": 0}, {"linear_before_reset": 1}] if op == "GRU" else [{}]
    for more in variants:
        model, feeds = make_model(op, "float64", names, direction=direction, layout=layout, **more)
        assert_equal(imported(model, feeds), reference_of(model, feeds, layout), 1e-13)


def run_onnxruntime(model, feeds):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("op", "names"), CASES, ids=IDS)
def test_node_is_onnxruntimes(op, names, direction, imported):
    variants = [{"linear_before_reset": 0}, {"linear_before_reset": 1}] if op == "GRU" else [{}]
    for more in variants:
        model, feeds = make_model(op, "float32", names, direction=direction, **more)
        assert_equal(imported(model, feeds), run_onnxruntime(model, feeds), 2e-6)


ACTIVATIONS = {
    "RNN": [["Relu"]],
    "GRU": [["HardSigmoid", "Relu"], ["Sigmoid", "Sigmoid"]],
    "LSTM": [["HardSigmoid", "Tanh", "Relu"], ["Sigmoid", "Relu", "Tanh"]],
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("op", "activations"), [(op, one) for op, several in ACTIVATIONS.items() for one in several], ids=str
)
def test_activations_are_onnxruntimes(op, activations, direction, imported):
    directions = 2 if direction == "bidirectional" else 1
    model, feeds = make_model(
        op, "float32", ("B",), direction=direction, activations=activations * directions
    )
    assert_equal(imported(model, feeds), run_onnxruntime(model, feeds), 5e-6)


@pytest.mark.parametrize("names", [("B",), ("B", "P"), ("P", "sequence_lens", "initial_h", "initial_c")])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_coupled_gates_are_onnxruntimes(direction, names, imported):
    model, feeds = make_model("LSTM", "float32", names, direction=direction, input_forget=1)
    assert_equal(imported(model, feeds), run_onnxruntime(model, feeds), 2e-6)
