"""The deep output, against linear layers chained by hand, PyTorch and central differences."""

import copy
import json
import re

import numpy as np
import pytest

import fastrnn as fr
from gradient_check import assert_gradient

SIZES = [[], [5], [5, 3, 6]]
ACTIVATIONS = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0.0)}


def make_head(sizes, activation="tanh", dtype="float64", **options):
    return fr.Head(4, sizes, 2, activation=activation, dtype=dtype, seed=0, **options)


def make_x(*shape, dtype="float64"):
    return np.random.default_rng(1).normal(size=(*shape, 4)).astype(dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_are_central_differences(sizes, activation, bias):
    head = make_head(sizes, activation, dropout=0.3, bias=bias)
    x = make_x(3, 2)
    dy = np.random.default_rng(2).normal(size=(3, 2, 2))
    at_start = head.rng.bit_generator.state

    def run():
        head.rng.bit_generator.state = at_start  # the same dropout masks
        return head.forward(x)

    _, tape = run()
    assert all((mask == 0.0).any() for mask in tape.dropout)
    dx = head.backward(tape, dy)

    def loss():
        return float((run()[0] * dy).sum())

    assert_gradient(loss, x, dx)
    for name in head.parameters:
        with head.parameters.edit() as views:
            assert_gradient(loss, views[name], head.gradients[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (3,), (5, 3), (2, 5, 3)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_its_layers_chained_by_hand(activation, shape, dtype):
    head = make_head([5, 3], activation, dtype)
    x = make_x(*shape, dtype=dtype)
    a = x
    for name in ("hidden0", "hidden1"):
        z = a @ head.parameters[f"{name}.weight"].T + head.parameters[f"{name}.bias"]
        a = ACTIVATIONS[activation](z)
    expected = a @ head.parameters["output.weight"].T + head.parameters["output.bias"]
    y, tape = head.forward(x)
    assert y.dtype == dtype
    assert y.shape == (*shape, 2)
    assert y.tobytes() == head(x).tobytes()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)
    assert head.backward(tape, y).dtype == dtype


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_head_is_pytorchs(torch, activation):
    modules = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 5), modules[activation](), torch.nn.Linear(5, 3), modules[activation](),
        torch.nn.Linear(3, 2),
    ).double()  # fmt: skip
    ours = make_head([5, 3], activation)
    names = {"0": "hidden0", "2": "hidden1", "4": "output"}

    def renamed(name):
        number, _, end = name.partition(".")
        return f"{names[number]}.{end}"

    ours.load_state_dict({renamed(name): value for name, value in theirs.state_dict().items()})
    x = make_x(7, 3)
    y, tape = ours.forward(x)
    dy = np.random.default_rng(3).normal(size=y.shape)
    dx = ours.backward(tape, dy)
    x_ = torch.from_numpy(x).requires_grad_()
    y_ = theirs(x_)
    y_.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y, y_.detach().numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(dx, x_.grad.numpy(), rtol=0, atol=1e-13)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.gradients[renamed(name)], parameter.grad.numpy(), rtol=0, atol=1e-12)


def test_it_starts_as_its_linear_layers_do():
    head, random = make_head([5]), np.random.default_rng(0)
    hidden = fr.Linear(4, 5, dtype="float64", seed=random)
    output = fr.Linear(5, 2, dtype="float64", seed=random)
    assert np.array_equal(
        head.parameters.flat, np.concatenate([hidden.parameters.flat, output.parameters.flat])
    )


def test_dropout_is_in_training_only_and_of_hidden_units_only():
    head = make_head([64, 64], dropout=0.25)
    x = make_x(50)
    assert np.array_equal(head(x), make_head([64, 64])(x))
    one, tape = head.forward(x)
    two, _ = head.forward(x)
    assert not np.array_equal(one, two)
    assert np.array_equal(tape.inputs[0], x)
    for index, mask in enumerate(tape.dropout):
        assert set(np.unique(mask)) == {0.0, 1.0 / 0.75}
        assert abs((mask != 0.0).mean() - 0.75) < 0.03
        assert np.array_equal(tape.inputs[index + 1], tape.activations[index] * mask)
    assert make_head([64]).forward(x)[1].dropout == (None,)


def test_gradients_add_up():
    head, x = make_head([5]), make_x(3)
    y, tape = head.forward(x)
    head.backward(tape, y)
    once = head.gradients.flat.copy()
    assert head.backward(tape, y, need_dx=False) is None
    np.testing.assert_allclose(head.gradients.flat, 2 * once, rtol=1e-12)


def test_it_is_saved_and_copied():
    head, x = make_head([5, 3]), make_x(3)
    text = json.dumps({name: value.tolist() for name, value in head.state_dict().items()})
    other = fr.Head(4, [5, 3], 2, dtype="float64", seed=9)
    assert not np.array_equal(other(x), head(x))
    other.load_state_dict({name: np.array(value) for name, value in json.loads(text).items()})
    assert np.array_equal(other(x), head(x))
    assert np.array_equal(copy.deepcopy(head)(x), head(x))


def test_a_head_on_a_recurrent_layer():
    model = fr.layers.Composite(rnn=fr.GRU(3, 4, dtype="float64", seed=0), head=make_head([5]))
    x = np.random.default_rng(4).normal(size=(6, 2, 3))
    y, _, tape = model.rnn.forward(x)
    logits, head_tape = model.head.forward(y)
    targets = np.random.default_rng(5).integers(2, size=(6, 2))

    def loss():
        return fr.softmax_cross_entropy(model.head(model.rnn(x)[0]), targets)[0]

    _, dlogits = fr.softmax_cross_entropy(logits, targets)
    dx, _ = model.rnn.backward(tape, model.head.backward(head_tape, dlogits))
    assert_gradient(loss, x, dx)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        ((0, [5], 2), {}, ValueError, "in_features: expected 1 or more, got 0"),
        ((4, [5, 0], 2), {}, ValueError, "hidden_sizes[1]: expected 1 or more, got 0"),
        ((4, [5.0], 2), {}, TypeError, "hidden_sizes[0]: expected an integer, got float"),
        ((4, 5, 2), {}, TypeError, "hidden_sizes: expected a sequence of integers, got int"),
        ((4, [5], 0), {}, ValueError, "out_features: expected 1 or more, got 0"),
        (
            (4, [5], 2),
            {"activation": "gelu"},
            ValueError,
            "activation: expected 'tanh' or 'relu', got 'gelu'",
        ),
        ((4, [5], 2), {"dropout": -0.1}, ValueError, "dropout: expected a probability in [0, 1), got -0.1"),
        ((4, [5], 2), {"dtype": "int8"}, TypeError, "dtype: expected float32 or float64, got int8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_a_head(arguments, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        fr.Head(*arguments, **options)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_what_a_head_does_not_take(sizes):
    head, x = make_head(sizes), make_x(3)
    for run in (head, head.forward):
        with pytest.raises(ValueError, match=r"x: expected \[\.\.\., 4\], got \[3, 3\]"):
            run(x[:, :3])
        with pytest.raises(TypeError, match="x: expected float64, got float32"):
            run(x.astype(np.float32))
    y, tape = head.forward(x)
    with pytest.raises(ValueError, match=r"dy: expected \[3, 2\], got \[2, 2\]"):
        head.backward(tape, y[:2])
    with pytest.raises(TypeError, match="dy: expected float64, got float32"):
        head.backward(tape, y.astype(np.float32))
    with pytest.raises(TypeError, match="tape: expected the HeadTape that forward returned, got ndarray"):
        head.backward(x, y)
    with pytest.raises(ValueError, match="tape: expected one of this head, got another head's"):
        make_head(sizes).backward(tape, y)
    assert not head.gradients.flat.any()


def test_representations():
    assert repr(fr.Head(4, [5, 3], 2)) == "Head(4, [5, 3], 2)"
    assert repr(fr.Head(4, (), 2, activation="relu", dropout=0.5, bias=False, dtype="float64")) == (
        "Head(4, [], 2, activation='relu', dropout=0.5, bias=False, dtype='float64')"
    )
