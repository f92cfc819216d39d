"""Stacks of several kinds of layers, against layers chained by hand, PyTorch and central differences."""

import copy
import json
import pickle
import re

import numpy as np
import pytest

import fastrnn as fr
from gradient_check import assert_gradient

T, N, D = 5, 3, 4
LENGTHS = [5, 2, 4]


def make_layers(connect, **options):
    """Make three layers of different kinds and widths where possible; the middle one has two layers."""
    widths = {"plain": (4, 3, 5, 2), "residual": (4, 3, 3, 3), "dense": (4, 3, 5, 2)}[connect]
    reads = [sum(widths[: i + 1]) if connect == "dense" else widths[i] for i in range(3)]
    return (
        fr.GRU(reads[0], widths[1], dtype="float64", seed=0, **options),
        fr.LSTM(reads[1], widths[2], 2, dtype="float64", seed=1, **options),
        fr.RNN(reads[2], widths[3], dtype="float64", seed=2, **options),
    )


def make_stack(connect, dropout=0.0, **options):
    return fr.Stack(*make_layers(connect, **options), connect=connect, dropout=dropout, seed=3)


CONNECTS = ("plain", "residual", "dense")
MODES = {
    "plain": {},
    "ragged": {"lengths": LENGTHS},
    "reset": {"reset": True},
    "both": {"lengths": LENGTHS, "reset": True},
}


def make_case(mode="plain"):
    random = np.random.default_rng(4)
    given = dict(MODES[mode])
    x = random.normal(size=(T, N, D))
    if "reset" in given:
        given["reset"] = random.random((T, N)) < 0.3
        assert given["reset"].any()
    return x, given, random


def parts_of(state):
    """Return all arrays of a state in one list."""
    return [part for entry in state for part in (entry if isinstance(entry, tuple) else (entry,))]


def random_state(stack, random):
    state = stack(random.normal(size=(1, N, D)))[1]
    return tuple(
        tuple(random.normal(size=p.shape) for p in e) if isinstance(e, tuple) else random.normal(size=e.shape)
        for e in state
    )


def bits(arrays):
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("connect", CONNECTS)
def test_gradients_are_central_differences(connect, mode):
    x, given, random = make_case(mode)
    stack = make_stack(connect, dropout=0.4)
    state, dstate = random_state(stack, random), random_state(stack, random)
    dy = random.normal(size=(T, N, stack.output_size))
    at_start = stack.rng.bit_generator.state

    def run():
        stack.rng.bit_generator.state = at_start  # the same dropout masks
        return stack.forward(x, state, **given)

    def loss():
        y, last, _ = run()
        states = zip(parts_of(dstate), parts_of(last), strict=True)
        return float((dy * y).sum() + sum((d * s).sum() for d, s in states))

    _, _, tape = run()
    assert all((mask == 0.0).any() for mask in tape.dropout)
    dx, first = stack.backward(tape, dy, dstate)
    assert_gradient(loss, x, dx)
    for part, gradient in zip(parts_of(state), parts_of(first), strict=True):
        assert_gradient(loss, part, gradient)
    for name in stack.parameters:
        with stack.parameters.edit() as views:
            assert_gradient(loss, views[name], stack.gradients[name])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("connect", CONNECTS)
def test_it_is_its_layers_chained_by_hand(connect, mode):
    x, given, random = make_case(mode)
    one, two, three = make_layers(connect)
    stack = make_stack(connect)
    state = random_state(stack, random)

    v0, last0 = one(x, state[0], **given)
    read1 = np.concatenate([x, v0], axis=2) if connect == "dense" else v0
    v1, last1 = two(read1, state[1], **given)
    v1 = v1 + v0 if connect == "residual" else v1
    read2 = np.concatenate([x, v0, v1], axis=2) if connect == "dense" else v1
    v2, last2 = three(read2, state[2], **given)
    v2 = v2 + v1 if connect == "residual" else v2

    y, last = stack(x, state, **given)
    assert y.tobytes() == v2.tobytes()
    assert bits(parts_of(last)) == bits(parts_of((last0, last1, last2)))
    y, last, tape = stack.forward(x, state, **given)
    assert y.tobytes() == v2.tobytes()
    assert bits(parts_of(last)) == bits(parts_of((last0, last1, last2)))
    assert np.array_equal(tape.layers[2].layers[0].x, read2)


def test_backward_of_a_plain_stack_is_chained_by_hand():
    x, given, random = make_case("both")
    layers, stack = make_layers("plain"), make_stack("plain")
    dy, dstate = random.normal(size=(T, N, 2)), random_state(stack, random)
    read, tapes = x, []
    for layer in layers:
        read, _, tape = layer.forward(read, **given)
        tapes.append(tape)
    d, firsts = dy, []
    for layer, tape, dlast in zip(layers[::-1], tapes[::-1], dstate[::-1], strict=True):
        d, first = layer.backward(tape, d, dlast)
        firsts.insert(0, first)
    _, _, tape = stack.forward(x, **given)
    dx, first = stack.backward(tape, dy, dstate)
    assert dx.tobytes() == d.tobytes()
    assert bits(parts_of(first)) == bits(parts_of(firsts))
    flat = np.concatenate([layer.gradients.flat for layer in layers])
    assert stack.gradients.flat.tobytes() == flat.tobytes()


@pytest.mark.parametrize("connect", ["plain", "residual"])
def test_ids_are_one_hot_rows(connect):
    stack = make_stack(connect)
    ids = np.random.default_rng(5).integers(D, size=(T, N))
    x = np.eye(D)[ids]
    np.testing.assert_allclose(stack(ids)[0], stack(x)[0], rtol=1e-12)
    y, _, tape = stack.forward(ids)
    dx, _ = stack.backward(tape, y)
    assert dx is None
    gradients = stack.gradients.flat.copy()
    stack.zero_gradients()
    y, _, tape = stack.forward(x)
    stack.backward(tape, y)
    np.testing.assert_allclose(gradients, stack.gradients.flat, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("connect", CONNECTS)
def test_steps_and_chunks_give_the_bits_of_the_whole(connect, dtype):
    random = np.random.default_rng(6)
    above = {"plain": 24, "residual": 24, "dense": 7 + 24}[connect]
    stack = fr.Stack(
        fr.LSTM(7, 24, dtype=dtype, seed=0), fr.GRU(above, 24, 2, dtype=dtype, seed=1), connect=connect
    )
    x = random.normal(size=(9, N, 7)).astype(dtype)
    y, last = stack(x)
    head, middle = stack(x[:4])
    tail, end = stack(x[4:], middle)
    assert np.concatenate([head, tail]).tobytes() == y.tobytes()
    assert bits(parts_of(end)) == bits(parts_of(last))

    stream = stack.stream(N)
    assert np.array([stream.step(x_t) for x_t in x]).tobytes() == y.tobytes()
    assert bits(parts_of(stream.state)) == bits(parts_of(last))

    alone = stack.stream()
    steps = [alone.step(x_t[1]) for x_t in x]
    assert steps[0].shape == (24,)
    assert np.array(steps).tobytes() == y[:, 1].tobytes()


def test_chunks_with_a_carried_gradient_add_up_to_the_whole():
    x, _, random = make_case()
    stack = make_stack("dense")
    dy = random.normal(size=(T, N, 2))
    _, _, tape = stack.forward(x)
    dx, _ = stack.backward(tape, dy)
    whole = stack.gradients.flat.copy()
    stack.zero_gradients()
    _, middle, first = stack.forward(x[:2])
    _, _, second = stack.forward(x[2:], middle)
    dx2, dmiddle = stack.backward(second, dy[2:])
    dx1, _ = stack.backward(first, dy[:2], dmiddle)
    np.testing.assert_allclose(np.concatenate([dx1, dx2]), dx, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(stack.gradients.flat, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("connect", CONNECTS)
def test_streams_are_kept_reset_copied_and_set(connect):
    x, _, _ = make_case()
    stack = make_stack(connect)
    y, _ = stack(x)
    stream = stack.stream(N)
    assert not any(part.any() for part in parts_of(stream.state))
    stream.step(x[0])
    twin, kept = stream.copy(), stream.state
    for follower in (stream, twin):
        assert np.array_equal(follower.step(x[1]), y[1])
    stream.state = kept
    assert np.array_equal(stream.step(x[1]), y[1])
    stream.reset()
    assert np.array_equal(stream.step(x[0]), y[0])
    stream.state = None
    assert np.array_equal(stream.step(x[0]), y[0])
    stack.parameters["layer1.weight_ih_l0"] = np.zeros_like(stack.parameters["layer1.weight_ih_l0"])
    assert not np.array_equal(stream.step(x[1]), y[1])


def test_a_stream_of_ids():
    stack = make_stack("residual")
    ids = np.array([[2], [0], [3]])
    y, _ = stack(ids)
    stream = stack.stream()
    assert np.array([stream.step(2), stream.step([0])[0], stream.step(ids[2])[0]]).tobytes() == y.tobytes()


@pytest.mark.parametrize("connect", CONNECTS)
def test_batch_first_is_the_same_with_axes_swapped(connect):
    x, given, _ = make_case("both")
    usual, swapped = make_stack(connect, 0.3), make_stack(connect, 0.3, batch_first=True)
    assert swapped.batch_first
    y, last, tape = usual.forward(x, **given)
    other = {"lengths": given["lengths"], "reset": given["reset"].T}
    y_, last_, tape_ = swapped.forward(x.swapaxes(0, 1), **other)
    assert np.array_equal(y_.swapaxes(0, 1), y)
    assert bits(parts_of(last_)) == bits(parts_of(last))
    dx, _ = usual.backward(tape, y)
    dx_, _ = swapped.backward(tape_, y_)
    assert np.array_equal(dx_.swapaxes(0, 1), dx)
    assert np.array_equal(usual.gradients.flat, swapped.gradients.flat)
    assert np.array_equal(swapped(x.swapaxes(0, 1), **other)[0].swapaxes(0, 1), usual(x, **given)[0])


@pytest.mark.parametrize("connect", CONNECTS)
def test_padding_is_ignored(connect):
    x, _, random = make_case()
    stack = make_stack(connect)
    padded = np.arange(T)[:, None] >= LENGTHS
    noise, dy = x.copy(), random.normal(size=(T, N, stack.output_size))
    noise[padded] = np.nan
    results = []
    for given in (x, noise):
        stack.zero_gradients()
        y, last, tape = stack.forward(given, lengths=LENGTHS)
        dx, _ = stack.backward(tape, dy)
        assert not y[padded].any()
        assert not dx[padded].any()
        results.append(bits([y, *parts_of(last), dx, stack.gradients.flat]))
    assert results[0] == results[1]


def test_bidirectional_layers_are_as_wide_as_both_directions():
    x, given, _ = make_case("ragged")
    options = {"dtype": "float64", "seed": 0}
    stack = fr.Stack(
        fr.GRU(D, 3, bidirectional=True, **options), fr.LSTM(6, 3, bidirectional=True, **options),
        connect="residual",
    )  # fmt: skip
    y, state, _ = stack.forward(x, **given)
    assert y.shape == (T, N, stack.output_size) == (T, N, 6)
    below, _ = stack.layer0(x, **given)
    assert np.array_equal(y, stack.layer1(below, **given)[0] + below)
    assert [part.shape for part in parts_of(state)] == [(2, N, 3)] * 3


def test_layers_of_other_variants_are_as_wide_as_their_outputs():
    x, given, random = make_case("both")
    stack = fr.Stack(
        fr.LSTM(D, 6, proj_size=3, dtype="float64", seed=0),
        fr.GRU(3, 3, bidirectional=True, merge="sum", learn_state=True, dtype="float64", seed=1),
        fr.MinGRU(3, 3, dtype="float64", seed=2),
        connect="residual",
    )
    dy = random.normal(size=(T, N, 3))

    def loss():
        return float((stack(x, **given)[0] * dy).sum())

    y, _, tape = stack.forward(x, **given)
    assert np.array_equal(y, stack(x, **given)[0])
    dx, _ = stack.backward(tape, dy)
    assert_gradient(loss, x, dx)
    for name in stack.parameters:
        with stack.parameters.edit() as views:
            assert_gradient(loss, views[name], stack.gradients[name])


def test_dropout_is_in_training_only_and_kept_in_the_tape():
    x, _, _ = make_case()
    for connect in CONNECTS:
        stack, whole = make_stack(connect, dropout=0.5), make_stack(connect)
        assert np.array_equal(stack(x)[0], whole(x)[0])
        y, _, tape = stack.forward(x)
        assert not np.array_equal(y, stack(x)[0])
        assert [set(np.unique(mask)) for mask in tape.dropout] == [{0.0, 2.0}] * 2
        below, read = tape.layers[0].layers[-1].y, tape.layers[1].layers[0].x
        assert np.array_equal(read[:, :, -3:], below * tape.dropout[0])
        assert whole.forward(x)[2].dropout == (None, None)


def test_the_tape_counts_what_it_keeps():
    x, _, _ = make_case()
    one, two, three = make_stack("plain").forward(x)[2].layers
    layers = one.nbytes + two.nbytes + three.nbytes
    assert make_stack("plain").forward(x)[2].nbytes == layers
    tape = make_stack("dense", dropout=0.5).forward(x)[2]
    kept = sum(part.nbytes for part in tape.layers)
    scalars = T * N * (3 + 5 + (4 + 3) + (4 + 3 + 5))  # masks, concatenated inputs
    assert tape.nbytes == kept + 8 * scalars


def test_a_missing_gradient_is_zero():
    x, _, _ = make_case()
    for connect in CONNECTS:
        stack = make_stack(connect)
        y, state, tape = stack.forward(x)
        zero = tuple(tuple(np.zeros_like(p) for p in parts_of([e])) for e in state)
        zero = tuple(entry if len(entry) == 2 else entry[0] for entry in zero)
        dstate = (state[0], None, None)
        pairs = [((None, dstate), (np.zeros_like(y), (state[0], *zero[1:]))), ((y, None), (y, zero))]
        for given, full in pairs:
            results = []
            for arguments in (given, full):
                stack.zero_gradients()
                dx, first = stack.backward(tape, *arguments)
                results.append((dx, *parts_of(first), stack.gradients.flat.copy()))
            assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
        assert stack.backward(tape, y, need_dx=False)[0] is None


def test_it_is_saved_copied_and_put_into_another_module():
    x, _, _ = make_case()
    stack = make_stack("residual")
    y, _ = stack(x)
    assert list(stack.parameters)[:2] == ["layer0.weight_ih_l0", "layer0.weight_hh_l0"]
    assert stack.num_parameters == sum(layer.num_parameters for layer in stack.layers)
    text = json.dumps({name: value.tolist() for name, value in stack.state_dict().items()})
    other = fr.Stack(*make_layers("residual"), connect="residual")
    with other.parameters.edit() as views:
        views.flat[...] = 0.0
    assert not np.array_equal(other(x)[0], y)
    other.load_state_dict({name: np.array(value) for name, value in json.loads(text).items()})
    for twin in (other, copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))):
        assert twin(x)[0].tobytes() == y.tobytes()
        assert np.shares_memory(twin.layers[0].parameters.flat, twin.parameters.flat)
    model = fr.layers.Composite(stack=stack, output=fr.Linear(3, 2, dtype="float64", seed=0))
    model.parameters["stack.layer2.weight_hh_l0"] = np.zeros((3, 3))
    assert not stack.layer2.parameters["weight_hh_l0"].any()
    assert not np.array_equal(stack(x)[0], y)


def test_one_layer_is_a_stack():
    x, _, _ = make_case()
    layer, same = (fr.GRU(D, 6, dtype="float64", seed=0) for _ in range(2))
    for connect in CONNECTS:
        stack = fr.Stack(copy.deepcopy(layer), connect=connect)
        y, _, tape = stack.forward(x)
        assert np.array_equal(y, same(x)[0])
        assert stack.backward(tape, y)[0].shape == x.shape


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_residual_stack_is_pytorchs(torch, batch_first):
    _, _, random = make_case()
    x = random.normal(size=(N, T, D) if batch_first else (T, N, D))
    options = {"batch_first": batch_first, "dtype": torch.float64}
    theirs = torch.nn.ModuleDict(
        {
            "layer0": torch.nn.GRU(D, 6, **options),
            "layer1": torch.nn.LSTM(6, 6, 2, **options),
            "layer2": torch.nn.RNN(6, 3, bidirectional=True, **options),
        }
    )
    ours = fr.Stack(
        fr.GRU(D, 6, batch_first=batch_first, dtype="float64"),
        fr.LSTM(6, 6, 2, batch_first=batch_first, dtype="float64"),
        fr.RNN(6, 3, bidirectional=True, batch_first=batch_first, dtype="float64"),
        connect="residual",
    )
    ours.load_state_dict(theirs.state_dict())
    y, _, tape = ours.forward(x)
    dy = random.normal(size=y.shape)
    dx, _ = ours.backward(tape, dy)

    x_ = torch.from_numpy(x).requires_grad_()
    y_, _ = theirs["layer0"](x_)
    y_ = theirs["layer1"](y_)[0] + y_
    y_ = theirs["layer2"](y_)[0] + y_
    y_.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y, y_.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(dx, x_.grad.numpy(), rtol=0, atol=1e-12)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.gradients[name], parameter.grad.numpy(), rtol=0, atol=1e-11)


GRU34 = fr.GRU(3, 4)


@pytest.mark.parametrize(
    ("layers", "options", "error", "text"),
    [
        ([], {}, ValueError, "layers: expected at least one, got none"),
        ([GRU34, fr.Linear(4, 2)], {}, TypeError, "layer1: expected a recurrent layer, got Linear"),
        ([GRU34, GRU34], {}, ValueError, "layer1: expected each layer once, got one twice"),
        (
            [GRU34],
            {"connect": "skip"},
            ValueError,
            "connect: expected one of 'plain', 'residual', 'dense', got 'skip'",
        ),
        ([GRU34], {"dropout": 1.0}, ValueError, "dropout: expected a probability in [0, 1), got 1.0"),
        (
            [GRU34, fr.GRU(5, 4)],
            {},
            ValueError,
            "layer1: expected input_size 4, the output of layer0, got 5",
        ),
        (
            [GRU34, fr.LSTM(4, 6)],
            {"connect": "residual"},
            ValueError,
            "layer1: connect='residual' adds input and output, expected one width, got 4 and 6",
        ),
        (
            [GRU34, fr.LSTM(4, 6)],
            {"connect": "dense"},
            ValueError,
            "layer1: expected input_size 7, the stack's input and all outputs below, got 4",
        ),
        (
            [GRU34, fr.GRU(4, 4, dtype="float64")],
            {},
            ValueError,
            "modules: expected one dtype, got layer0: float32, layer1: float64",
        ),
        (
            [GRU34, fr.GRU(4, 4, batch_first=True)],
            {},
            ValueError,
            "layer1: expected batch_first=False, as layer0, got True",
        ),
        (
            [fr.GRU(3, 4, context_size=3), fr.GRU(4, 4, context_size=2)],
            {},
            ValueError,
            "layer1: expected context_size 0 or that of layer0, 3, as a stack has one context, got 2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_a_stack(layers, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        fr.Stack(*layers, **options)


def test_what_a_stack_does_not_take():
    x, _, _ = make_case()
    for run in (make_stack("plain"), make_stack("plain").forward):
        with pytest.raises(ValueError, match=r"x: expected \[T, N, 4\], got \[5, 3, 2\]"):
            run(x[:, :, :2])
        with pytest.raises(TypeError, match="x: expected float64, got float32"):
            run(x.astype(np.float32))
        with pytest.raises(ValueError, match=r"lengths: expected 0 .. 5, got 6 at position 0"):
            run(x, lengths=[6, 1, 1])
        with pytest.raises(
            TypeError, match="state: expected a tuple of one entry for each of 3 layers, got ndar"
        ):
            run(x, np.zeros((3, N, 3)))
        with pytest.raises(
            ValueError, match="state: expected a tuple of one entry for each of 3 layers, got 2"
        ):
            run(x, (None, None))
        with pytest.raises(TypeError, match=r"state\[1\]: expected the pair \(h, c\), got ndarray"):
            run(x, (None, np.zeros((2, N, 5)), None))
        with pytest.raises(ValueError, match=r"state\[0\]: expected \[1, 3, 3\], got \[1, 3, 5\]"):
            run(x, (np.zeros((1, N, 5)), None, None))
    dense = make_stack("dense")
    ids = "x: expected floats, as connect='dense' concatenates them with outputs, got ids"
    for call, axes in ((dense, (T, N)), (dense.forward, (T, N)), (dense.stream(N).step, (N,))):
        with pytest.raises(TypeError, match=ids):
            call(np.zeros(axes, np.int64))


def test_what_backward_does_not_take():
    x, _, _ = make_case()
    stack = make_stack("plain")
    y, state, tape = stack.forward(x)
    with pytest.raises(TypeError, match="tape: expected the StackTape that forward returned, got Tape"):
        stack.backward(tape.layers[0], y)
    with pytest.raises(ValueError, match="tape: expected one of this stack, got another stack's"):
        make_stack("plain").backward(tape, y)
    with pytest.raises(ValueError, match="dy, dstate: expected at least one gradient, got None for both"):
        stack.backward(tape, None)
    with pytest.raises(ValueError, match=r"dy: expected \[5, 3, 2\], got \[5, 3, 3\]"):
        stack.backward(tape, np.zeros((T, N, 3)))
    with pytest.raises(ValueError, match=r"dstate\[2\]: expected \[1, 3, 2\], got \[1, 3, 3\]"):
        stack.backward(tape, y, (*state[:2], state[0]))
    assert not stack.gradients.flat.any()


def test_what_a_stream_does_not_take():
    layers = fr.GRU(3, 4), fr.GRU(4, 4, bidirectional=True)
    with pytest.raises(ValueError, match="layer1: stream: a bidirectional layer needs the whole sequence"):
        fr.Stack(*layers).stream()
    for connect in CONNECTS:
        stream = make_stack(connect).stream(N)
        stream.step(np.ones((N, D)))
        before = bits(parts_of(stream.state))
        with pytest.raises(ValueError, match=r"x: expected \[3, 4\], got \[3, 5\]"):
            stream.step(np.ones((N, D + 1)))
        with pytest.raises(TypeError, match="x: expected float64, got float32"):
            stream.step(np.ones((N, D), np.float32))
        with pytest.raises(
            ValueError, match="state: expected a tuple of one entry for each of 3 layers, got 1"
        ):
            stream.state = (None,)
        assert bits(parts_of(stream.state)) == before


def test_representations():
    stack = fr.Stack(fr.GRU(3, 4), fr.LSTM(4, 4), connect="residual", dropout=0.5)
    text = "Stack(GRU(3, 4), LSTM(4, 4), connect='residual', dropout=0.5)"
    assert repr(stack) == text
    assert repr(fr.Stack(fr.GRU(3, 4))) == "Stack(GRU(3, 4))"
    assert repr(stack.stream(2)) == f"<StackStream of {text}: 2 sequences>"
    tape = stack.forward(np.zeros((7, 2, 3), np.float32))[2]
    assert repr(tape) == f"<StackTape of {text}: 7 steps of 2 sequences>"
