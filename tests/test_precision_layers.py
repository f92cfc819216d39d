"""The argument `precision` of layers: who has it, what is said of it, descriptions and files."""

import copy
import inspect
import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

import fastrnn as fr
from fastrnn.layers import AdaptiveSoftmax, Logistic, Softmax, TiedSoftmax
from fastrnn.layers.description import describe, described_shapes, from_description
from fastrnn.layers.recurrent.options import CELLS
from fastrnn.train import CheckpointError

BF16 = {"precision": "bfloat16"}


def tied(precision="float32", **own):
    return TiedSoftmax(fr.Embedding(4, 3, **own), precision=precision)


# Every layer that has precisions: how it is made, and what it is called in bfloat16.
MAKERS = {
    "LSTM": (lambda **p: fr.LSTM(3, 4, 2, **p), "LSTM(3, 4, num_layers=2, precision='bfloat16')"),
    "GRU": (lambda **p: fr.GRU(3, 4, bias=False, **p), "GRU(3, 4, bias=False, precision='bfloat16')"),
    "RNN": (
        lambda **p: fr.RNN(3, 4, nonlinearity="relu", **p),
        "RNN(3, 4, precision='bfloat16', nonlinearity='relu')",
    ),
    "Linear": (lambda **p: fr.Linear(3, 4, False, **p), "Linear(3, 4, bias=False, precision='bfloat16')"),
    "Head": (lambda **p: fr.Head(3, [5], 4, **p), "Head(3, [5], 4, precision='bfloat16')"),
    "Softmax": (lambda **p: fr.layers.Softmax(3, 4, **p), "Softmax(3, 4, precision='bfloat16')"),
    "TiedSoftmax": (tied, "TiedSoftmax(Embedding(4, 3), precision='bfloat16')"),
}
# Layers that compute in float32 whatever a model around them does.
FLOAT32 = {
    "LSTM": lambda: fr.LSTM(3, 4, layer_norm=True),
    "RNN": lambda: fr.RNN(3, 4, leak=0.5),
    "SLSTM": lambda: fr.SLSTM(3, 4),
    "MinGRU": lambda: fr.MinGRU(3, 4),
    "MinLSTM": lambda: fr.MinLSTM(3, 4),
    "Jordan": lambda: fr.Jordan(3, 4, 2),
    "Embedding": lambda: fr.Embedding(3, 4),
    "Activation": lambda: fr.Activation("tanh"),
    "Logistic": lambda: Logistic(3, 4),
    "AdaptiveSoftmax": lambda: AdaptiveSoftmax(8, 100, [10, 40]),
    "AttentionPooling": lambda: fr.layers.AttentionPooling(3, 4),
    "AdditiveAttention": lambda: fr.AdditiveAttention(3, 4, 5),
    "CRF": lambda: fr.layers.CRF(3),
}
COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


@pytest.mark.parametrize(("make", "call"), MAKERS.values(), ids=MAKERS)
def test_a_layer_says_its_precision_unless_it_is_float32(make, call):
    layer = make(**BF16)
    assert repr(layer) == call
    assert layer.precision == "bfloat16"
    assert layer.dtype == np.float32
    for usual in (make(), make(precision="float32")):
        assert usual.precision == "float32"
        assert "precision" not in repr(usual)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("make", "call"), MAKERS.values(), ids=MAKERS)
def test_a_copy_has_the_precision(make, call, how):
    assert repr(COPIES[how](make(**BF16))) == call


@pytest.mark.parametrize(("make", "call"), MAKERS.values(), ids=MAKERS)
def test_the_precision_changes_no_parameter(make, call):
    one, two = make(seed=0), make(seed=0, **BF16)
    assert one.parameters.flat.tobytes() == two.parameters.flat.tobytes()
    assert two.parameters.dtype == np.float32


@pytest.mark.parametrize(("make", "call"), MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("int8", ValueError, r"precision: int8 is for inference; write fr.quantize\(layer, 'int8'\)"),
        ("float16", ValueError, "precision: expected 'float32' or 'bfloat16', got 'float16'"),
        (16, TypeError, "precision: expected 'float32' or 'bfloat16', got int"),
    ],
)
def test_another_precision_is_refused_with_the_line_to_type(make, call, given, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        make(precision=given)


@pytest.mark.parametrize(("make", "call"), MAKERS.values(), ids=MAKERS)
def test_bfloat16_is_for_float32_only(make, call):
    with pytest.raises(ValueError, match=r"^precision: expected 'float32' for dtype float64, got 'bfloat16'"):
        make(dtype="float64", **BF16)


@pytest.mark.parametrize(
    ("make", "options", "named"),
    [
        (fr.LSTM, {"layer_norm": True, "skip": 2}, "layer_norm and skip"),
        (fr.LSTM, {"peephole": True}, "peephole"),
        (fr.GRU, {"proj_size": 2}, "proj_size"),
        (fr.GRU, {"zoneout": 0.1}, "zoneout"),
        (fr.RNN, {"nonlinearity": "sigmoid"}, "nonlinearity"),
        (fr.RNN, {"leak": 0.5}, "leak"),
    ],
)
def test_an_option_that_has_only_float32_is_named(make, options, named):
    with pytest.raises(ValueError, match=f"^precision: expected 'float32' with {named}, got 'bfloat16'$"):
        make(3, 4, **options, **BF16)


@pytest.mark.parametrize(
    "options", [{"reverse": True}, {"learn_state": True}, {"merge": "sum", "bidirectional": True}]
)
def test_options_of_the_plain_cell_have_precisions(options):
    assert fr.LSTM(3, 4, **options, **BF16).precision == "bfloat16"


@pytest.mark.parametrize("make", [fr.SLSTM, fr.MinGRU, fr.MinLSTM, lambda *s, **p: fr.Jordan(*s, 2, **p)])
def test_a_cell_without_precisions_names_those_that_have_them(make):
    with pytest.raises(ValueError, match=r"^precision: .* only float32; .* choose one of RNN, GRU, LSTM$"):
        make(3, 4, **BF16)


def test_every_cell_says_whether_it_has_precisions():
    with_argument = {
        name
        for name, cell in CELLS.items()
        if "precision" in inspect.signature(getattr(fr, cell.layer)).parameters
    }
    assert with_argument == {name for name, cell in CELLS.items() if cell.precisions}


def test_a_logistic_output_has_only_float32():
    with pytest.raises(ValueError, match=r"^precision: expected 'float32' in a Logistic, got 'bfloat16'"):
        Logistic(3, 4, **BF16)


def test_a_layer_that_knows_no_precision_says_who_does():
    message = "^precision: not an argument; write it where an LSTM, GRU, RNN, Linear, Head or Softmax is made"
    for call in (
        lambda: fr.Embedding(3, 4, **BF16),
        lambda: fr.Stack(fr.LSTM(3, 4), **BF16),
        lambda: fr.Sequential(fr.Linear(3, 4), **BF16),
        lambda: fr.layers.AdaptiveSoftmax(3, 4, [2], **BF16),
        lambda: fr.CRF(3, **BF16),
        lambda: fr.AdditiveAttention(3, 4, 5, **BF16),
        lambda: fr.layers.MultiplicativeAttention(3, 4, **BF16),
        lambda: fr.AttentionPooling(3, 4, **BF16),
        lambda: fr.LSTM(3, 4)(np.zeros((2, 1, 3), "f"), **BF16),
    ):
        with pytest.raises(TypeError, match=message):
            call()


@pytest.mark.parametrize("kind", FLOAT32)
def test_what_has_only_float32_keeps_it(kind):
    layer = FLOAT32[kind]()
    layer._set_precision("bfloat16")
    parts = [layer, *getattr(layer, "_modules", ())]
    assert {part.precision for part in parts} == {"float32"}


def test_a_network_passes_a_precision_on_to_the_parts_that_have_it():
    net = fr.Composite(
        embedding=fr.Embedding(5, 3),
        rnn=fr.Stack(fr.SLSTM(3, 4), fr.GRU(4, 4)),
        head=fr.Head(4, [4], 4),
        output=Softmax(4, 5),
    )
    version = net.parameters.version
    net._set_precision("bfloat16")
    below, above = net.rnn
    assert [part.precision for part in net] == ["float32", "bfloat16", "bfloat16", "bfloat16"]
    assert (below.precision, above.precision, above.spec.precision) == ("float32", "bfloat16", "bfloat16")
    assert [layer.precision for layer in (*net.head.hidden, net.head.output)] == ["bfloat16"] * 2
    assert net.precision == "bfloat16"
    assert net.parameters.version > version  # streams and layers pack their weights again
    net._set_precision("float32")
    assert net.precision == "float32"


def test_a_group_of_float32_parts_has_float32():
    assert fr.Stack(fr.SLSTM(3, 4), fr.LSTM(4, 4)).precision == "float32"
    assert fr.Stack(fr.SLSTM(3, 4), fr.LSTM(4, 4, **BF16)).precision == "bfloat16"


@pytest.mark.parametrize(
    "make",
    [
        lambda **p: fr.LSTM(3, 4, 2, dropout=0.5, **p),
        lambda **p: fr.GRU(3, 4, reset_after=False, **p),
        lambda **p: fr.RNN(3, 4, batch_first=True, **p),
        lambda **p: fr.Stack(fr.GRU(3, 4, **p), fr.SLSTM(4, 4)),
    ],
)
def test_a_description_has_the_precision_unless_it_is_float32(make):
    assert "precision" not in json.dumps(describe(make()))
    described = describe(make(**BF16))
    again = from_description(json.loads(json.dumps(described)), seed=0)
    assert describe(again) == described
    assert again.precision == "bfloat16"
    assert described_shapes(described) == {name: view.shape for name, view in again.parameters.items()}


def test_a_description_with_a_wrong_precision_is_refused():
    given = {"kind": "LSTM", "input_size": 3, "hidden_size": 4}
    for read in (from_description, described_shapes):
        with pytest.raises(ValueError, match="precision: int8 is for inference"):
            read({**given, "precision": "int8"})
        with pytest.raises(ValueError, match="precision: expected 'float32' with layer_norm"):
            read({**given, "precision": "bfloat16", "layer_norm": True})


def network(**p):
    return fr.Sequential(
        {
            "encoder": fr.Embedding(7, 4, seed=0),
            "rnn": fr.GRU(4, 5, seed=1, **p),
            "stack": fr.Stack(fr.LSTM(5, 5, seed=1, **p), fr.MinGRU(5, 5, seed=2)),
            "between": fr.Linear(5, 6, seed=2, **p),
            "head": fr.Head(6, [5], 3, seed=5, **p),
            "output": Softmax(3, 7, seed=6, **p),
        }
    )


def header_of(path):
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def test_a_file_has_the_precision_of_its_parts_and_float32_parameters(tmp_path):
    network(**BF16).save(tmp_path / "net.safetensors")
    again = fr.Sequential.load(tmp_path / "net.safetensors")
    assert [part.precision for part in again] == ["float32", *["bfloat16"] * 5]
    assert again.parameters.flat.tobytes() == network(**BF16).parameters.flat.tobytes()
    tensors = header_of(tmp_path / "net.safetensors")
    assert {entry["dtype"] for name, entry in tensors.items() if name != "__metadata__"} == {"F32"}


def test_a_file_of_float32_says_no_precision(tmp_path):
    network().save(tmp_path / "net.safetensors")
    assert "precision" not in json.dumps(header_of(tmp_path / "net.safetensors"))


@pytest.mark.parametrize("wrong", ["int8", "half", 3])
def test_a_file_with_a_wrong_precision_is_refused(tmp_path, wrong):
    path = tmp_path / "net.safetensors"
    net = fr.Sequential(fr.Linear(2, 2, **BF16))
    net.save(path)
    header = json.loads(header_of(path)["__metadata__"]["fastrnn"])
    header["parts"][0]["precision"] = wrong
    save_file(net.state_dict(), path, {"fastrnn": json.dumps(header)})
    with pytest.raises(CheckpointError, match="precision"):
        fr.Sequential.load(path)


# --- quantized modules, which `fastrnn.quantize` makes


@pytest.mark.parametrize(
    ("make", "train"),
    [
        (lambda: fr.LSTM(3, 4), lambda m: m.forward(np.zeros((2, 1, 3), "f"))),
        (lambda: fr.GRU(3, 4), lambda m: m.forward(np.zeros((2, 1, 3), "f"), checkpoint_every=1)),
        (lambda: fr.Jordan(3, 4, 2), lambda m: m.forward(np.zeros((2, 1, 3), "f"))),
        (lambda: fr.Head(3, [4], 2), lambda m: m.forward(np.zeros((2, 3), "f"))),
    ],
)
def test_a_quantized_layer_has_no_pass_in_training(make, train, monkeypatch):
    layer = make()
    train(layer)
    layer._set_precision("int8")
    monkeypatch.setattr(fr.layers.Module, "quantized", True)
    with pytest.raises(ValueError, match=r"is for inference; train the model that it was made of$"):
        train(layer)


def test_a_description_of_a_quantized_layer_is_that_of_the_layer_before(monkeypatch):
    layer = fr.LSTM(3, 4)
    layer._set_precision("int8")
    monkeypatch.setattr(fr.LSTM, "quantized", True)
    assert repr(layer) == "LSTM(3, 4, precision='int8')"
    assert describe(layer) == describe(fr.LSTM(3, 4))


# --- words of other libraries


class OfTorch:
    """What stands for a dtype of PyTorch."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


@pytest.mark.parametrize("dtype", [OfTorch("bfloat16"), OfTorch("half"), "float16", "mixed_bfloat16"])
def test_a_dtype_of_16_bits_is_answered_with_the_precision(dtype):
    with pytest.raises(
        TypeError, match=r'^dtype: expected float32 or float64, .*; write precision="bfloat16"'
    ):
        fr.LSTM(3, 4, dtype=dtype)


@pytest.mark.parametrize("dtype", [np.int8, OfTorch("qint8")])
def test_a_dtype_of_8_bits_is_answered_with_quantize(dtype):
    with pytest.raises(TypeError, match=r'; write fr.quantize\(layer, "int8"\)$'):
        fr.Linear(3, 4, dtype=dtype)


@pytest.mark.parametrize(
    ("owner", "word", "answer"),
    [
        (fr.LSTM(3, 4), "half", 'write precision="bfloat16" where the layer is made'),
        (fr.Linear(3, 4), "bfloat16", 'for inference fr.quantize(layer, "bfloat16")'),
        (fr, "autocast", 'write precision="bfloat16" where a layer or a model is made'),
        (fr, "amp", 'write precision="bfloat16"'),
        (fr, "quantize_dynamic", 'write fr.quantize(model, "int8")'),
        (fr, "GradScaler", "leave it out: bfloat16 has float32's exponent"),
    ],
)
def test_words_of_other_libraries_are_answered_with_the_line_to_type(owner, word, answer):
    with pytest.raises(AttributeError) as caught:
        getattr(owner, word)
    assert answer in str(caught.value)


# --- a float64 copy is one of the parameters, not of the rounded weights


def test_the_dynamics_of_a_layer_are_those_of_its_parameters():
    one, two = fr.GRU(3, 4, seed=0), fr.GRU(3, 4, seed=0, **BF16)
    x = np.random.default_rng(0).normal(size=(6, 2, 3)).astype("f")
    exponents = [fr.inspect.lyapunov_exponents(layer, x) for layer in (one, two)]
    assert np.array_equal(*exponents)
