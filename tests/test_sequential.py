"""A chain of layers as one network: its passes, its stream and its file."""

import copy
import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

import fastrnn as fr
from fastrnn.train import CheckpointError, load_checkpoint
from gradient_check import assert_gradient

FUNCTIONS = ("tanh", "sigmoid", "relu", "hard_sigmoid", "softmax", "log_softmax")


def a_network(dtype="float64", *, ids=True, batch_first=False, bidirectional=False):
    common = {"dtype": dtype, "batch_first": batch_first}
    wide = 10 if bidirectional else 5
    first = {"encoder": fr.Embedding(7, 4, dtype=dtype, seed=0)} if ids else {}
    return fr.Sequential(
        {
            **first,
            "below": fr.GRU(4, 5, seed=1, bidirectional=bidirectional, **common),
            "between": fr.Linear(wide, 6, dtype=dtype, seed=2),
            "act": fr.Activation("tanh", dtype=dtype),
            "above": fr.Stack(fr.LSTM(6, 3, seed=3, **common), fr.RNN(3, 4, seed=4, **common)),
            "head": fr.Head(4, [5], 3, dtype=dtype, seed=5),
        }
    )


def test_it_is_its_parts_one_after_the_other():
    net = a_network()
    ids = np.array([[1, 2], [3, -1], [6, 0]])
    y, (below, above) = net(ids)
    parts = net.parts
    hidden, expected_below = parts["below"](parts["encoder"](ids))
    hidden, expected_above = parts["above"](parts["act"](parts["between"](hidden)))
    assert np.array_equal(y, parts["head"](hidden))
    assert np.array_equal(below, expected_below)
    assert np.array_equal(above[0][1], expected_above[0][1])
    assert net.output_size == 3
    assert list(net.parameters)[:2] == ["encoder.weight", "below.weight_ih_l0"]


@pytest.mark.parametrize("batch_first", [False, True])
def test_gradients_against_central_differences(batch_first):
    net = a_network(ids=False, batch_first=batch_first)
    rng = np.random.default_rng(0)
    x, lengths = rng.standard_normal((3, 2, 4)), [3, 2]
    x = x.swapaxes(0, 1).copy() if batch_first else x
    y, state, tape = net.forward(x, lengths=lengths)
    dy = rng.standard_normal(y.shape)
    dstate = (rng.standard_normal(state[0].shape), None)
    dx, (dfirst, _) = net.backward(tape, dy, dstate)
    first = np.zeros_like(state[0])

    def loss():
        result, (below, _) = net(x, (first, None), lengths)
        return float((result * dy).sum() + (below * dstate[0]).sum())

    assert_gradient(loss, x, dx)
    assert_gradient(loss, first, dfirst)
    with net.parameters.edit() as views:
        for name, view in views.items():
            assert_gradient(loss, view, net.gradients[name])


def test_a_mask_is_that_of_all_recurrent_parts():
    net = a_network(ids=False)
    x = np.random.default_rng(1).standard_normal((5, 1, 4))
    counted = [0, 2, 3]
    mask = np.zeros((5, 1), np.bool_)
    mask[counted] = True
    y, state = net(x, mask=mask)
    short, short_state = net(x[counted])
    assert np.array_equal(y[counted], short)
    assert np.array_equal(state[0], short_state[0])
    assert np.array_equal(y[1], y[0])
    assert np.array_equal(net.forward(x, mask=mask)[0], y)
    zero = net.parts["head"](np.zeros((1, 4)))
    assert np.array_equal(net(x, mask=mask, zero_masked=True)[0][1], zero)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_activations_are_their_formulas_and_their_gradients_are_right(function):
    x = np.array([[-3.1, -0.4, 0.3, 2.8], [0.1, 0.2, -0.2, 5.0]])
    layer = fr.Activation(function, dtype="float64")
    powers = np.exp(x)
    expected = {
        "tanh": np.tanh(x),
        "sigmoid": 1 / (1 + 1 / powers),
        "relu": x * (x > 0),
        "hard_sigmoid": np.minimum(np.maximum(0.2 * x + 0.5, 0), 1),
        "softmax": powers / powers.sum(1, keepdims=True),
        "log_softmax": x - np.log(powers.sum(1, keepdims=True)),
    }[function]
    y, tape = layer.forward(x)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-15)
    assert layer(x[:0]).shape == (0, 4)
    dy = np.random.default_rng(0).standard_normal(x.shape)
    dx = layer.backward(tape, dy)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        slope = ((layer(x + step) - layer(x - step)) * dy).sum() / 2e-6
        assert dx[index] == pytest.approx(slope, abs=1e-8)


def test_softmax_of_large_numbers_is_finite():
    for function in ("softmax", "log_softmax"):
        y = fr.Activation(function)(np.array([1e4, -1e4, 0], np.float32))
        assert np.isfinite(y).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stream_has_the_same_bits(dtype):
    net = a_network(dtype)
    ids = np.array([[1, 2], [3, 4], [6, 0]])
    y, last = net(ids)
    stream = net.stream(batch_size=2)
    steps = [stream.step(ids[0])]
    other = stream.copy()
    steps += [stream.step(ids[1]), stream.step(ids[2])]
    assert np.array_equal(steps, y)
    assert np.array_equal(stream.state[1][1], last[1][1])
    assert np.array_equal(copy.deepcopy(other).step(ids[1]), y[1])
    stream.reset()
    assert np.array_equal(stream.step(ids[0]), y[0])


def test_a_state_that_does_not_fit_leaves_the_stream_as_it_was():
    stream = a_network().stream()
    stream.step(3)
    before = stream.state
    wrong = (before[0] + 1, (before[1][0], np.zeros((1, 1, 9))))
    with pytest.raises(ValueError, match="expected"):
        stream.state = wrong
    assert np.array_equal(stream.state[0], before[0])
    with pytest.raises(ValueError, match=r"state: .* one entry for each of 2 recurrent parts, got 1"):
        stream.state = (None,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_keeps_everything(dtype, tmp_path):
    net, path = a_network(dtype, bidirectional=True), tmp_path / "net.safetensors"
    net.save(path)
    again = fr.Sequential.load(path)
    assert repr(again) == repr(net)
    ids = np.array([[1, 2], [3, 4]])
    assert np.array_equal(again(ids)[0], net(ids)[0])
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert np.array_equal(other(ids)[0], net(ids)[0])


def test_options_of_layers_are_in_the_file(tmp_path):
    net = fr.Sequential(fr.LSTM(3, 4, peephole=True, proj_size=2), fr.Linear(2, 1, bias=False))
    net.save(tmp_path / "net")
    assert repr(fr.Sequential.load(tmp_path / "net")) == repr(net)


def header_of(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["fastrnn"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 3}, "format version 3"),
        ({"format_version": 2}, "quantized: expected 'bfloat16' or 'int8'"),
        ({"kind": "Forecaster"}, r"expected a Sequential, got a Forecaster; write Forecaster\.load"),
        ({"parts": []}, "parts: expected at least one"),
        ({"parts": 3}, "parts: expected a list"),
        ({"dtype": "float16"}, "dtype: expected 'float32' or 'float64'"),
        ({"parts": [{"name": "a", "kind": "Linear"}]}, r"parts\[0\]\.in_features: missing"),
        ({"parts": [{"name": "a", "kind": "Attention"}]}, "kind: expected one of"),
        (
            {"parts": [{"name": "a", "kind": "Embedding", "num_embeddings": 10**9, "embedding_dim": 10**9}]},
            "memory|bytes|GB|allocate",
        ),
        ({"parts": [{"name": "parts", "kind": "Activation", "function": "tanh"}]}, "'parts' is reserved"),
    ],
)
def test_a_wrong_header_is_refused(change, message, tmp_path):
    path = tmp_path / "net.safetensors"
    fr.Sequential(fr.Linear(2, 1)).save(path)
    described = {**header_of(path), **change}
    weights = {"part0.weight": np.zeros((1, 2), np.float32), "part0.bias": np.zeros(1, np.float32)}
    save_file(weights, path, {"fastrnn": json.dumps(described)})
    with pytest.raises(CheckpointError, match=f"net.safetensors: .*({message})"):
        fr.Sequential.load(path)


def test_files_of_other_models_name_the_line_to_type(tmp_path):
    path = tmp_path / "net.safetensors"
    fr.Sequential(fr.Linear(2, 1)).save(path)
    with pytest.raises(CheckpointError, match=r"net\.safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ((), ValueError, "parts: expected at least one"),
        ((3,), TypeError, "part0: expected one of Recurrent"),
        (
            (fr.Linear(2, 3), fr.Linear(2, 3)),
            ValueError,
            "part1: .* that reads 3 numbers, the output of part0",
        ),
        (
            (fr.Linear(2, 3), fr.Embedding(2, 3)),
            ValueError,
            "part1: expected an Embedding as the first",
        ),
        (({"forward": fr.Linear(2, 3)},), ValueError, "'forward' is reserved"),
        (({"_frozen": fr.Linear(2, 3)},), ValueError, "'_frozen' is reserved"),
        (({"": fr.Linear(2, 3)},), ValueError, "'' is reserved"),
        (({1: fr.Linear(2, 3)},), TypeError, "names of type str"),
        ((fr.GRU(2, 3), fr.GRU(3, 3, batch_first=True)), ValueError, "one batch_first for all"),
        ((fr.GRU(2, 3, context_size=2),), ValueError, "part0: expected a layer without a context"),
        ((fr.GRU(2, 3), fr.Linear(3, 2, dtype="float64")), ValueError, "expected one dtype"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, error, message):
    with pytest.raises(error, match=message):
        fr.Sequential(*parts)


def test_a_reverse_direction_has_no_stream():
    with pytest.raises(ValueError, match=r"part0: .*direction"):
        fr.Sequential(fr.GRU(2, 3, bidirectional=True), fr.Linear(6, 1)).stream()


def test_a_tape_of_another_network_is_refused():
    one, two = fr.Sequential(fr.Linear(2, 1)), fr.Sequential(fr.Linear(2, 1))
    y, _, tape = one.forward(np.ones((3, 1, 2), np.float32))
    with pytest.raises(ValueError, match="tape: expected one of this network"):
        two.backward(tape, y)
    with pytest.raises(TypeError, match="tape: expected the SequentialTape"):
        one.backward(None, y)


@pytest.mark.parametrize("part", [fr.LSTM(3, 4), fr.Stack(fr.LSTM(3, 4), fr.LSTM(4, 4))])
def test_a_gradient_of_a_state_that_does_not_fit_leaves_all_gradients_as_they_were(part):
    net, wrong = fr.Sequential(part, fr.GRU(4, 5), fr.Linear(5, 2)), (np.zeros((1, 9, 4), np.float32),) * 2
    y, _, tape = net.forward(np.ones((3, 2, 3), np.float32))
    with pytest.raises(ValueError, match=r"dstate\[0\].*: expected "):
        net.backward(tape, y, (wrong if isinstance(part, fr.LSTM) else (wrong, wrong), None))
    assert not any(gradient.any() for gradient in net.gradients.values())
