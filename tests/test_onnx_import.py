"""ONNX files as models: what exporters write, ONNX's own tests of operators, chains of layers, bad files.

CI installs onnx and onnxruntime; where onnx is absent or older, these tests are skipped.
"""

import importlib
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.interop.onnx.control_flow import CONTROL
from fastrnn.interop.onnx.operator_table import OPERATORS

onnx = pytest.importorskip("onnx", minversion="1.23")
helper = pytest.importorskip("onnx.helper")
numpy_helper = pytest.importorskip("onnx.numpy_helper")

FILES = Path(__file__).parent / "data" / "onnx"
OURS = {name for _, name in OPERATORS} | CONTROL | {"RNN", "GRU", "LSTM"}


def value(name, array, shape=None):
    kind = helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype)
    return helper.make_tensor_value_info(name, kind, np.shape(array) if shape is None else shape)


def make_model(nodes, inputs, outputs, constants=None, opset=17, **options):
    graph = helper.make_graph(
        nodes,
        "test",
        [value(name, array) for name, array in inputs.items()],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    imports = options.pop("opset_imports", [helper.make_opsetid("", opset)])
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **options)


@pytest.fixture
def load(tmp_path):
    """Load a model by way of a file."""

    def loaded(model, **options):
        onnx.save(model, tmp_path / "model.onnx")
        return fr.interop.load_onnx(tmp_path / "model.onnx", **options)

    return loaded


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# --- what exporters write ---


@pytest.mark.parametrize("name", sorted(path.stem for path in FILES.glob("*.onnx")))
def test_a_file_of_an_exporter_computes_what_the_original_computed(name):
    with np.load(FILES / f"{name}.npz") as arrays:
        stored = dict(arrays)
    model = fr.interop.load_onnx(FILES / f"{name}.onnx")
    expected = {model.outputs[0].name: stored.pop("y")}
    assert model.check(stored, expected, tolerance=1e-6).equal


def test_layers_of_exporters_are_ours():
    relus = "candidate_activation='relu', output_activation='relu'"
    described = {
        path.stem: [repr(layer) for layer in fr.interop.load_onnx(path).layers.values()]
        for path in FILES.glob("*.onnx")
    }
    assert described == {
        "keras_gru_backwards": ["GRU(3, 5)"],
        "keras_hard_sigmoid": [f"LSTM(3, 5, gate_activation='hard_sigmoid', {relus})"],
        "keras_lstm": ["Embedding(9, 4)", "LSTM(4, 5)", "Linear(5, 9, bias=False)"],
        "keras_simple_rnn": ["Embedding(9, 4)", "Linear(5, 2, bias=False)"],
        "torch_dynamo_lstm": ["Embedding(9, 4)", "LSTM(4, 5)", "LSTM(5, 5)", "Linear(5, 9)"],
        "torch_packed_gru": ["Embedding(9, 4)", "GRU(4, 5, bidirectional=True)", "Linear(10, 3)"],
    }
    notes = fr.interop.load_onnx(FILES / "keras_simple_rnn.onnx").notes
    assert len(notes) == 1
    assert notes[0].endswith("(Loop) runs its graph once for each step")


# --- ONNX's own tests of the operators that we have ---


def stored_cases():
    """Return ONNX's test cases whose operators we have."""
    node = importlib.import_module("onnx.backend.test.case.node")
    ours = {name.lower() for name in OURS} | {"rangeop"}
    stems = [path.stem for path in Path(node.__file__).parent.glob("*.py")]
    modules = [stem for stem in stems if stem.replace("_", "") in ours]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they divide by zero, and so on
        for name in sorted(modules):  # importing a module collects its cases
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    return {
        case.name: case
        for case in node._NodeTestCases
        if {one.op_type for one in case.model.graph.node} <= OURS and case.data_sets
    }


def test_operators_pass_onnxs_own_tests(load):
    refused, wrong, passed = [], [], set()
    for name, case in stored_cases().items():
        graph = case.model.graph
        try:
            model = load(case.model)
        except (ValueError, TypeError) as error:
            refused.append(f"{name}: {error}")
            continue
        for inputs, outputs in case.data_sets:
            given = {
                one.name: numpy_helper.to_array(array) if hasattr(array, "dims") else np.asarray(array)
                for one, array in zip(graph.input, inputs, strict=True)
            }
            try:
                results = model.run(given)
            except (ValueError, TypeError) as error:
                refused.append(f"{name}: {error}")
                break
            for one, array in zip(graph.output, outputs, strict=True):
                array = numpy_helper.to_array(array) if hasattr(array, "dims") else np.asarray(array)
                rtol = 1e-2 if array.dtype.itemsize == 2 and array.dtype.kind not in "iu" else case.rtol
                good = results[one.name].shape == array.shape and np.allclose(
                    results[one.name].astype(float),
                    array.astype(float),
                    rtol=rtol,
                    atol=max(case.atol, 1e-6),
                    equal_nan=True,
                )
                wrong += [] if good else [name]
        passed.update(one.op_type for one in graph.node)
    assert not wrong
    assert passed == OURS - LEARNING
    others = [one for one in refused if not any(reason in one for reason in REFUSED)]
    assert not others


#: Operators of machine learning, tested below.
LEARNING = {name for domain, name in OPERATORS if domain == "ai.onnx.ml"}
#: What is refused on purpose.
REFUSED = (
    "cannot use float8", "cannot use float4", "cannot use int4", "cannot use uint4", "cannot use int2",
    "cannot use uint2", "cannot use string", "got a sequence", "got a optional", "drops elements at random",
    "training mode", "expected letters and an arrow", "expected version 9 or later", "cannot convert to",
)  # fmt: skip


def learned(op, outputs, **attributes):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    names = ["y", "z"][:outputs]
    node = helper.make_node(op, ["x"], names, domain="ai.onnx.ml", **attributes)
    proto = make_model([node], {"x": floats(4, 3)}, [], opset_imports=imports)
    for name in names:
        kind = 7 if outputs == 2 and name == "y" else 1
        proto.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return proto


@pytest.mark.parametrize(
    "proto",
    [
        learned("Scaler", 1, offset=[1.0, 2.0, -1.0], scale=[0.5, 2.0, 1.0]),
        learned("LinearRegressor", 1, coefficients=[0.5, 1.0, -1.0], intercepts=[0.25]),
        learned("LinearRegressor", 1, targets=2, coefficients=[0.5, 1.0, -1.0, 0.0, 2.0, 1.0]),
        *(
            learned(
                "LinearClassifier",
                2,
                classlabels_ints=[3, 5, 9],
                coefficients=[float(one) for one in floats(9, seed=3)],
                intercepts=[0.1, -0.2, 0.3],
                post_transform=post,
            )
            for post in ("NONE", "LOGISTIC", "SOFTMAX")
        ),
    ],
    ids=lambda proto: proto.graph.node[0].op_type,
)
def test_operators_of_scikit_learns_exporter_are_onnxruntimes(load, proto):
    runtime = pytest.importorskip("onnxruntime")
    x = floats(4, 3, seed=2)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    results = load(proto)(x)
    for array, expected in zip(results.values(), session.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-6)
    assert len(results) == len(proto.graph.output)


# --- PyTorch's exporters ---


def language_model(torch, cell="LSTM", **options):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Embedding(11, 6)
            self.rnn = getattr(torch.nn, cell)(6, 8, **options)
            self.decoder = torch.nn.Linear(8 * (2 if options.get("bidirectional") else 1), 11)

        def forward(self, ids):
            return self.decoder(self.rnn(self.encoder(ids))[0])

    torch.manual_seed(0)
    return Model().eval()


def exported(torch, model, example, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and says so
        options = {"dynamo": False, "dynamic_axes": {"ids": {0: "T", 1: "N"}}}
        torch.onnx.export(model, (example,), path, input_names=["ids"], output_names=["logits"], **options)
    return fr.interop.load_onnx(path)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("LSTM", {"num_layers": 2}),
        ("GRU", {"batch_first": True}),
        ("LSTM", {"bidirectional": True, "bias": False}),
        ("RNN", {"nonlinearity": "relu"}),
    ],
    ids=str,
)
def test_pytorch_exports_compute_the_same(torch, tmp_path, cell, options):
    original = language_model(torch, cell, **options)
    ids = torch.randint(0, 11, (5, 3))
    model = exported(torch, original, ids, tmp_path / "model.onnx")
    y = original(ids).detach().numpy()
    parity = model.check(ids.numpy(), y, tolerance=1e-6)
    assert parity.equal, str(parity)
    network = model.to_sequential()
    turned = (lambda array: array.swapaxes(0, 1)) if options.get("batch_first") else (lambda array: array)
    np.testing.assert_allclose(turned(network(turned(ids.numpy()))[0]), y, rtol=0, atol=1e-6)
    if not options.get("bidirectional"):
        lm = model.to_language_model()
        np.testing.assert_allclose(turned(lm.logits(turned(ids.numpy()))[0]), y, rtol=0, atol=1e-6)
        assert lm.vocabulary_size == 11


def test_a_file_that_fixes_its_number_of_steps_is_a_chain_all_the_same():
    model = fr.interop.load_onnx(FILES / "torch_dynamo_lstm.onnx")
    with np.load(FILES / "torch_dynamo_lstm.npz") as stored:
        logits, _ = model.to_language_model().logits(stored["ids"])
        np.testing.assert_allclose(logits, stored["y"], rtol=0, atol=1e-6)


# --- layers and chains ---


def small_chain(activation="Softmax", cell="GRU", **attributes):
    """Return a model of an embedding, a recurrent node with [N, T] ids, and a linear map."""
    count = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell]
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"], "look"),
        helper.make_node("Transpose", ["x"], ["xt"], perm=[1, 0, 2]),
        helper.make_node(cell, ["xt", "W", "R", "B"], ["Y"], "rnn", hidden_size=4, **attributes),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
        helper.make_node("Transpose", ["y"], ["yt"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["yt", "out.weight"], ["m"], "product"),
        helper.make_node("Add", ["m", "out.bias"], ["s"]),
        helper.make_node(activation, ["s"], ["result"], "end"),
    ]
    constants = {
        "table": floats(5, 3, seed=1),
        "W": floats(1, count * 4, 3, seed=2),
        "R": floats(1, count * 4, 4, seed=3),
        "B": floats(1, count * 8, seed=4),
        "one": np.array([1], np.int64),
        "out.weight": floats(4, 5, seed=5),
        "out.bias": floats(5, seed=6),
    }
    return make_model(nodes, {"ids": np.zeros((2, 3), np.int64)}, ["result"], constants)


def test_a_chain_becomes_a_sequential_with_its_activation(load):
    model = load(small_chain("Softmax"))
    network = model.to_sequential()
    assert list(network.parts) == ["look", "rnn", "out", "end"]
    ids = np.array([[0, 1, 4], [2, 2, 3]])
    np.testing.assert_allclose(network(ids.T)[0].swapaxes(0, 1), model(ids)["result"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("cell", "attributes"), [("GRU", {}), ("LSTM", {"input_forget": 1}), ("RNN", {})])
def test_a_language_model_keeps_the_options_of_its_cell(load, cell, attributes):
    model = load(small_chain("Identity", cell, **attributes))
    lm, vocabulary = model.to_language_model(["a", "b", "c", "d", "e"])
    ids = np.array([[0, 1, 4], [2, 2, 3]])
    np.testing.assert_allclose(lm.logits(ids.T)[0].swapaxes(0, 1), model(ids)["result"], rtol=0, atol=1e-6)
    assert vocabulary.decode([0, 4]) == "ae"


def test_an_order_is_refused_as_the_graph_has_one(load):
    model = load(small_chain())
    with pytest.raises(ValueError, match="names: expected no order"):
        model.in_order(*reversed(model.layers))


def test_what_is_no_chain_is_refused_and_says_so(load):
    model = load(small_chain("Neg"))
    with pytest.raises(ValueError, match=r"^layers: the graph computes something else than its layers"):
        model.to_sequential()


def test_a_graph_that_treats_zeros_or_great_numbers_alone_is_no_chain(load):
    ids = small_chain("Identity")
    ids.graph.node[-1].output[0] = "all"
    constants = {"table": floats(2000, 3), "nothing": np.int64(0), "last": np.array([2], np.int64)}
    for name, array in constants.items():
        kept = [one for one in ids.graph.initializer if one.name != name]
        del ids.graph.initializer[:]
        ids.graph.initializer.extend([*kept, numpy_helper.from_array(np.asarray(array), name)])
    ids.graph.node.extend(
        [
            helper.make_node("Equal", ["ids", "nothing"], ["padding"]),
            helper.make_node("Unsqueeze", ["padding", "last"], ["wide"]),
            helper.make_node("Where", ["wide", "out.bias", "all"], ["result"]),
        ]
    )
    weights = {"W": floats(1, 12, 3, seed=2), "R": floats(1, 12, 4, seed=3), "one": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["clipped"]),
        helper.make_node("GRU", ["clipped", "W", "R"], ["Y"], hidden_size=4),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
    ]
    limits = {"low": np.float32(-20), "high": np.float32(20)}
    floating = make_model(nodes, {"x": floats(4, 3, 3)}, ["y"], weights | limits)
    for model in (ids, floating):
        with pytest.raises(ValueError, match=r"^layers: the graph computes something else"):
            load(model).to_sequential()


def test_new_parameters_of_a_layer_count_in_the_next_run(load):
    model = load(small_chain("Identity"))
    ids = np.zeros((2, 3), np.int64)
    before = model(ids)["result"]
    model.layers["out"].parameters["bias"] = model.layers["out"].parameters["bias"] + 1
    np.testing.assert_allclose(model(ids)["result"], before + 1, rtol=0, atol=1e-6)


def test_nodes_with_the_same_weights_are_one_layer(load):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"], "second"),
    ]
    model = load(make_model(nodes, {"x": floats(2, 3)}, ["y"], {"w": floats(3, 3, seed=1)}))
    assert list(model.layers) == ["first"]
    w, x = floats(3, 3, seed=1), floats(2, 3)
    np.testing.assert_allclose(model(x)["y"], np.tanh(x @ w) @ w, rtol=0, atol=1e-6)


def test_directions_with_different_activations_are_two_layers(load):
    node = helper.make_node(
        "RNN",
        ["x", "W", "R"],
        ["Y"],
        "rnn",
        hidden_size=3,
        direction="bidirectional",
        activations=["Tanh", "Relu"],
    )
    constants = {"W": floats(2, 3, 2), "R": floats(2, 3, 3, seed=1)}
    model = load(make_model([node], {"x": floats(4, 2, 2)}, ["Y"], constants))
    assert list(model.layers) == ["rnn_forward", "rnn_reverse"]
    assert model.layers["rnn_reverse"].options.reverse
    assert not model.notes


def test_what_no_layer_has_runs_in_numpy_and_is_said(load):
    node = helper.make_node(
        "RNN", ["x", "W", "R"], ["Y"], "rnn", hidden_size=3, clip=3.0, activations=["Softsign"]
    )
    constants = {"W": floats(1, 3, 2), "R": floats(1, 3, 3, seed=1)}
    model = load(make_model([node], {"x": floats(4, 2, 2)}, ["Y"], constants))
    assert not model.layers
    assert model.notes == ["node 'rnn' (RNN) runs in NumPy because of clip=3, the activation softsign"]


# --- functions and graphs inside ---


def test_functions_are_inlined_with_their_attributes(load):
    body = [helper.make_node("LeakyRelu", ["a"], ["b"])]
    reference = onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope")
    body[0].attribute.append(reference)
    inner = helper.make_function("own", "Leaky", ["a"], ["b"], body, [helper.make_opsetid("", 17)], ["slope"])
    outer = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["c"],
        [
            helper.make_node("Leaky", ["a"], ["b"], domain="own", slope=0.5),
            helper.make_node("Leaky", ["b"], ["c"], domain="own", slope=0.25),
        ],
        [helper.make_opsetid("own", 1)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = load(
        make_model(
            [helper.make_node("Twice", ["x"], ["y"], domain="own")],
            {"x": floats(4)},
            ["y"],
            functions=[inner, outer],
            opset_imports=imports,
        )
    )
    assert model(np.array([-8, -1, 0, 2], np.float32))["y"].tolist() == [-1, -0.125, 0, 2]


def test_a_function_that_calls_itself_is_refused(load):
    function = helper.make_function(
        "own",
        "F",
        ["a"],
        ["b"],
        [helper.make_node("F", ["a"], ["b"], domain="own")],
        [helper.make_opsetid("own", 1)],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    node = helper.make_node("F", ["x"], ["y"], domain="own")
    with pytest.raises(ValueError, match="the function calls itself"):
        load(make_model([node], {"x": floats(2)}, ["y"], functions=[function], opset_imports=imports))


def test_functions_that_call_functions_cannot_make_any_number_of_nodes(load):
    functions = [
        helper.make_function(
            "own",
            f"F{level}",
            ["a"],
            ["c"],
            [
                helper.make_node(
                    f"F{level + 1}" if level < 29 else "Tanh", [one], [two], domain="own" * (level < 29)
                )
                for one, two in (("a", "b"), ("b", "c"))
            ],
            [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)],
        )
        for level in range(30)
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    node = helper.make_node("F0", ["x"], ["y"], domain="own")
    with pytest.raises(ValueError, match=r"expected at most \d+ nodes, with those of functions"):
        load(make_model([node], {"x": floats(2)}, ["y"], functions=functions, opset_imports=imports))


def test_results_are_the_callers(load):
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Identity", ["c"], ["constant"]),
        helper.make_node("Expand", ["c", "size"], ["expanded"]),
    ]
    constants = {"c": floats(2, seed=1), "size": np.array([3, 2], np.int64)}
    model = load(make_model(nodes, {"x": floats(2)}, ["same", "constant", "expanded"], constants))
    x = floats(2)
    results = model(x)
    for array in results.values():
        array[...] = 9
    np.testing.assert_array_equal(x, floats(2))
    np.testing.assert_array_equal(model(x)["constant"], floats(2, seed=1))
    np.testing.assert_array_equal(model(x)["expanded"][2], floats(2, seed=1))


# --- dtypes ---


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_weights_are_computed_in_float32_and_said(load, kind):
    weight = floats(3, 2)
    code = {"float16": 10, "bfloat16": 16}[kind]
    exact = weight.astype("float16" if kind == "float16" else importlib.import_module("ml_dtypes").bfloat16)
    tensor = numpy_helper.from_array(exact, "w")
    assert tensor.data_type == code
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=1),
        helper.make_node("MatMul", ["x", "f"], ["y"], "product"),
    ]
    proto = make_model(nodes, {"x": floats(2, 3)}, ["y"])
    proto.graph.initializer.append(tensor)
    model = load(proto)
    assert model.notes == [f"w: {kind} became float32"]
    x = floats(2, 3, seed=1)
    np.testing.assert_allclose(model(x)["y"], x @ exact.astype(np.float32), rtol=0, atol=1e-6)


def test_constants_that_are_not_numbers_load_without_a_warning(load):
    bits = np.array([0x7F800001, 0xFFC00000, 0, 1], np.uint32)  # a signalling NaN, a quiet one
    nodes = [helper.make_node("Mul", ["x", "c"], ["y"]), helper.make_node("Log", ["zero"], ["z"])]
    constants = {"c": bits.view(np.float32), "zero": np.zeros(2, np.float32)}
    results = load(make_model(nodes, {"x": floats(4)}, ["y", "z"], constants))(floats(4))
    assert np.isnan(results["y"]).tolist() == [True, True, False, False]
    assert np.isneginf(results["z"]).all()


def test_a_model_in_float16_takes_and_returns_float16(load):
    node = helper.make_node("Tanh", ["x"], ["y"])
    proto = make_model([node], {"x": floats(3).astype(np.float16)}, [])
    proto.graph.output.append(helper.make_tensor_value_info("y", 10, [3]))
    x = np.array([0.5, -1, 2], np.float16)
    model = load(proto)
    assert model.notes == ["x: float16 is computed in float32", "y: float16 is computed in float32"]
    y = model(x)["y"]
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, np.tanh(x.astype(np.float32)).astype(np.float16))


# --- bad input ---


def test_inputs_are_checked_by_name_dtype_and_shape(load):
    model = load(small_chain())
    good = np.zeros((2, 3), np.int64)
    for call, kind, message in [
        (lambda: model(idss=good), ValueError, "idss: expected inputs named ids"),
        (lambda: model(), ValueError, "ids: missing; the model needs ids"),
        (lambda: model(good, ids=good), ValueError, "ids: given twice"),
        (lambda: model(good, good), ValueError, "expected 1 inputs, got 2"),
        (lambda: model(good[0]), ValueError, r"expected ids: int64 \[2, 3\], got \[3\]"),
        (lambda: model(good.astype(np.int32)), TypeError, "ids: expected int64, got int32"),
        (lambda: model(good - 9), ValueError, r"node 'look' \(Gather\): .*out of bounds"),
    ]:
        with pytest.raises(kind, match=message):
            call()
    assert model([[0, 1, 2], [2, 1, 0]])["result"].shape == (2, 3, 5)


def test_an_output_that_no_node_makes_is_an_error(load):
    node = helper.make_node("RNN", ["x", "W", "R"], ["Y", "Y_h", "Y_c"], hidden_size=3)
    model = load(
        make_model([node], {"x": floats(4, 2, 2)}, ["Y_c"], {"W": floats(1, 3, 2), "R": floats(1, 3, 3)})
    )
    with pytest.raises(ValueError, match="Y_c: the graph does not make this output"):
        model(floats(4, 2, 2))


def test_lacking_operators_are_named_all_at_once_and_the_rest_is_loadable(load):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("Det", ["a"], ["b"], "determinant"),
        helper.make_node("DynamicQuantizeLSTM", ["b", "w"], ["y"], "int8", domain="com.microsoft"),
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    proto = make_model(nodes, {"x": floats(3, 3)}, ["y"], {"w": floats(3, 3)}, opset_imports=imports)
    with pytest.raises(fr.interop.ModelFileError) as caught:
        load(proto)
    message = str(caught.value)
    assert "model.onnx: 2 nodes cannot be run" in message
    assert "node 'determinant' (Det): no operator Det" in message
    assert "node 'int8' (com.microsoft.DynamicQuantizeLSTM)" in message
    assert "partial=True" in message
    model = load(proto, partial=True)
    assert [*map(repr, model.layers.values())] == ["Linear(3, 3, bias=False)"]
    assert list(model.unplaced) == [
        "node 'determinant' (Det)",
        "node 'int8' (com.microsoft.DynamicQuantizeLSTM)",
    ]
    with pytest.raises(ValueError, match="determinant"):
        model(floats(3, 3))


def test_a_partial_model_may_have_values_of_other_types(load):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("ArgMax", ["a"], ["i"], "best", axis=1),
        helper.make_node("ArrayFeatureExtractor", ["names", "i"], ["y"], "label", domain="ai.onnx.ml"),
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = make_model(nodes, {"x": floats(3, 3)}, [], {"w": floats(3, 3)}, opset_imports=imports)
    proto.graph.initializer.append(helper.make_tensor("names", 8, [3], [b"a", b"b", b"c"]))
    proto.graph.output.append(helper.make_tensor_value_info("y", 8, None))
    with pytest.raises(TypeError, match=r"model\.onnx: tensor 'names': cannot read string"):
        load(proto)
    model = load(proto, partial=True)
    assert list(model.layers) == ["product"]
    assert model.unplaced["'y'"] == "'y': cannot use string"
    assert "cannot read string" in model.unplaced["node 'label' (ai.onnx.ml.ArrayFeatureExtractor)"]


def changed(change, model=None):
    model = small_chain() if model is None else model
    change(model)
    return model


def cyclic(model):
    model.graph.node[1].input[0] = "s"


def too_new(model):
    model.opset_import[0].version = 999


def twice(model):
    model.graph.node[3].output[0] = "x"


def nowhere(model):
    model.graph.node[3].input[0] = "nothing"


def huge(model):
    model.graph.initializer[1].dims[:] = [2**40, 2**20]


def short(model):
    model.graph.initializer[1].raw_data = b"1234"


def negative(model):
    model.graph.initializer[1].dims[0] = -1


def of_text(model):
    model.graph.initializer[1].data_type = 8


def no_version(model):
    del model.opset_import[:]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (cyclic, ValueError, "the graph has a cycle"),
        (too_new, ValueError, r"opset: expected version 1 to \d+, .* got 999"),
        (no_version, ValueError, "which version of the operators"),
        (twice, ValueError, "the value 'x' is already there"),
        (nowhere, ValueError, "there is no value 'nothing'"),
        (huge, ValueError, r"tensor 'W': claims \d+ elements, more than the \d+ bytes of the file hold"),
        (short, ValueError, r"tensor 'W': expected 144 bytes for \[1, 12, 3\], got 4"),
        (negative, ValueError, "tensor 'W': expected sizes of at least 0"),
        (of_text, TypeError, "tensor 'W': cannot read string"),
    ],
)
def test_contradictions_are_refused_with_file_and_reason(load, tmp_path, change, kind, message):
    with pytest.raises(kind, match=f"model.onnx: .*{message}"):
        load(changed(change))


def test_attributes_of_recurrent_nodes_are_checked(load):
    for attributes, message in [
        ({"direction": "sideways"}, "direction: expected one of forward, reverse, bidirectional"),
        ({"activations": ["Tanh"]}, "activations: expected 2, got 1"),
        ({"activations": ["Tanh", "Sine"]}, "activations: expected some of relu, .*, got 'sine'"),
        ({"activations": ["Sigmoid", "Affine"]}, "activation_alpha: expected a number for affine"),
        ({"clip": -1.0}, "clip: expected a number above 0"),
        ({"layout": 2}, "layout: expected 0 or 1"),
        ({"linear_before_reset": "yes"}, "linear_before_reset: expected an integer"),
    ]:
        with pytest.raises((ValueError, TypeError), match=rf"node 'rnn' \(GRU\): {message}"):
            load(small_chain(**attributes))


def test_a_first_state_of_zeros_must_have_the_size_of_the_layer(load):
    model = small_chain()  # PyTorch writes such a file for an LSTM with a projection, which it then lacks
    node = next(one for one in model.graph.node if one.name == "rnn")
    node.input.extend(["", "first"])
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 2, 5), np.float32), "first"))
    with pytest.raises(ValueError, match=r"node 'rnn' \(GRU\): initial_h: expected H 4, got \[1, 2, 5\]"):
        load(model)


@pytest.mark.parametrize("content", [b"", b"not a protobuf", b"\x08\x08", b"\x3a\xff\xff\xff\xff\x07"])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(fr.interop.ModelFileError, match=r"model\.onnx: expected an ONNX model"):
        fr.interop.load_onnx(path)


def test_a_missing_file_is_an_operating_system_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        fr.interop.load_onnx(tmp_path / "model.onnx")


def test_arrays_that_a_small_file_asks_for_are_bounded(load):
    shape = np.array([2**40, 2**20], np.int64)
    node = helper.make_node("ConstantOfShape", ["shape"], ["y"], "bomb")
    model = load(make_model([node], {}, ["y"], {"shape": shape}))
    with pytest.raises(
        ValueError, match=r"node 'bomb' \(ConstantOfShape\): an output .* would take \d+ bytes"
    ):
        model()


# --- external data ---


@pytest.fixture
def external(tmp_path):
    """Save a model with its weights in another file, and return its path."""
    proto = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        {"x": floats(2, 30)},
        ["y"],
        {"w": floats(30, 20)},
    )
    path = tmp_path / "model.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    return path


def with_location(path, **entries):
    proto = onnx.load(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        entry.value = entries.get(entry.key, entry.value)
    path.write_bytes(proto.SerializeToString())


def test_external_data_is_read_from_the_models_folder(external):
    x = floats(2, 30, seed=1)
    expected = x @ floats(30, 20)
    np.testing.assert_allclose(fr.interop.load_onnx(external)(x)["y"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "missing.bin"}, "cannot read its data in 'missing.bin'"),
        ({"location": "../weights.bin"}, "outside the model's folder"),
        ({"location": "/etc/passwd"}, "outside the model's folder"),
        ({"location": ""}, "a file without a name"),
        ({"location": "."}, "cannot read its data"),
        ({"offset": "16"}, "expected 2400 bytes at 16 in 'weights.bin', which has"),
        ({"offset": "-1"}, "offset: expected a number of bytes"),
        ({"length": "8"}, "expected 2400 bytes .* got length 8"),
    ],
    ids=str,
)
def test_external_data_that_is_missing_or_elsewhere_is_refused(external, entries, message):
    with_location(external, **entries)
    with pytest.raises(fr.interop.ModelFileError, match=f"model.onnx: tensor 'w': .*{message}"):
        fr.interop.load_onnx(external)


def test_a_link_that_leads_out_of_the_folder_is_refused(external, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_bytes(bytes(2400))
    (external.parent / "link.bin").symlink_to(outside)
    with_location(external, location="link.bin")
    with pytest.raises(fr.interop.ModelFileError, match="outside the model's folder"):
        fr.interop.load_onnx(external)


def test_without_the_package_the_message_says_what_to_type(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[onnx\]"'):
        fr.interop.load_onnx(tmp_path / "model.onnx")


# --- short forms of the fuzzers ---


def test_random_graphs_are_onnxruntimes():
    pytest.importorskip("onnxruntime")
    graphs = importlib.import_module("fuzz.onnx_graphs")
    failures = []
    largest, counts, failed = graphs.run(150, seed=1, report=failures.append)
    assert not failures
    assert not failed
    assert counts["all"] > 130
    assert counts["clip"] > 10
    assert largest["all"] < graphs.TOLERANCE


def test_mutated_files_load_or_are_refused():
    mutated = importlib.import_module("onnx_mutations")
    failures = []
    outcomes = mutated.run(500, seed=0, report=failures.append)
    assert not failures
    assert outcomes["FAILED"] == 0
    assert outcomes["refused"] > 200
    assert outcomes["run"] > 50
