"""The layers against the reference, PyTorch and central differences, and their behaviour."""

import threading
import tracemalloc

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from gradient_check import assert_gradient
from recurrent_cases import VARIANTS

CLASSES = {"elman": fr.RNN, "gru": fr.GRU, "lstm": fr.LSTM}
# layers, bidirectional, bias
STACKS = [(1, False, True), (3, False, True), (1, True, False), (2, True, True)]


def make_layer(variant, sizes, stack=(1, False, True), dtype="float64", **more):
    cell, options = VARIANTS[variant]
    layers, bidirectional, bias = stack
    D, H = sizes
    return CLASSES[cell](
        D, H, layers, bidirectional=bidirectional, bias=bias, dtype=dtype, seed=0, **options, **more
    )


def make_state(rnn, rows, random):
    shape = (rnn.num_layers * rnn.directions, rows, rnn.hidden_size)
    parts = tuple(random.normal(size=shape).astype(rnn.dtype) for _ in rnn.state_names)
    return parts if len(parts) == 2 else parts[0]


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


def by_layer(rnn, state):
    """Convert a state to the reference's form: over layers, over directions, a tuple of [N, H]."""
    each = list(zip(*parts_of(state), strict=True))
    return [each[i : i + rnn.directions] for i in range(0, len(each), rnn.directions)]


def joined(states):
    """Convert the reference's states to the layers' form."""
    each = [state for layer in states for state in layer]
    return tuple(np.stack(part) for part in zip(*each, strict=True))


def weights_by_layer(rnn, arrays):
    ends = ("", "_reverse")[: rnn.directions]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [
        [tuple(arrays.get(f"{name}_l{layer}{end}") for name in names) for end in ends]
        for layer in range(rnn.num_layers)
    ]


def assert_close(got, expected, dtype="float64"):
    """Assert equality to 1e-10 of the largest element, in float32 to 2e-5."""
    assert got.shape == expected.shape
    assert got.dtype == dtype
    tolerance = {"float64": 1e-10, "float32": 2e-5}[dtype]
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max()))


MODES = {
    "dense": {},
    "ids": {"ids": True},
    "ragged": {"lengths": True},
    "reset": {"reset": True},
    "everything": {"ids": True, "lengths": True, "reset": True},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_stacks_are_the_references(variant, dtype, stack, mode):
    T, N, D, H = 9, 5, 6, 19
    given = MODES[mode]
    random = np.random.default_rng(1)
    rnn = make_layer(variant, (D, H), stack, dtype)
    x = random.integers(D, size=(T, N)) if "ids" in given else random.normal(size=(T, N, D)).astype(dtype)
    lengths = np.array([9, 3, 7, 1, 9]) if "lengths" in given else None
    reset = random.random((T, N)) < 0.2 if "reset" in given else None
    state, dstate = make_state(rnn, N, random), make_state(rnn, N, random)
    dy = random.normal(size=(T, N, H * rnn.directions)).astype(dtype)
    y, last, tape = rnn.forward(x, state, lengths, reset)
    dx, first = rnn.backward(tape, dy, dstate)

    cell, options = VARIANTS[variant]
    weights = weights_by_layer(rnn, {n: p.astype(np.float64) for n, p in rnn.parameters.items()})
    rows = reference.Rows(lengths, reset)
    exact = x if x.ndim == 2 else x.astype(np.float64)
    wide = [[tuple(p.astype(np.float64) for p in s) for s in layer] for layer in by_layer(rnn, state)]
    dwide = [[tuple(p.astype(np.float64) for p in s) for s in layer] for layer in by_layer(rnn, dstate)]
    y_, last_, tapes = reference.stack_forward(cell, exact, weights, wide, rows, **options)
    dx_, first_, dweights = reference.stack_backward(
        cell, weights, tapes, dy.astype(np.float64), dwide, **options
    )

    assert_close(y, y_, dtype)
    for got, expected in zip(parts_of(last) + parts_of(first), joined(last_) + joined(first_), strict=True):
        assert_close(got, expected, dtype)
    for got, expected in zip(weights_by_layer(rnn, rnn.gradients), dweights, strict=True):
        for one, other in zip(sum(got, ()), sum(expected, ()), strict=True):
            if one is not None:
                assert_close(one, other, dtype)
    if dx_ is None:
        assert dx is None
    else:
        assert_close(dx, dx_, dtype)


@pytest.mark.parametrize("variant", ["elman-tanh", "elman-relu", "gru-after", "lstm"])
@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
def test_stacks_are_pytorchs(torch, variant, stack, batch_first):
    T, N, D, H = 7, 4, 5, 11
    random = np.random.default_rng(2)
    layers, bidirectional, bias = stack
    _, options = VARIANTS[variant]
    options = {name: value for name, value in options.items() if name == "nonlinearity"}
    kind = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[VARIANTS[variant][0]]
    theirs = kind(D, H, layers, bidirectional=bidirectional, bias=bias, batch_first=batch_first, **options)
    theirs = theirs.double()
    ours = make_layer(variant, (D, H), stack, batch_first=batch_first)
    ours.load_state_dict(theirs.state_dict())

    x = random.normal(size=(N, T, D) if batch_first else (T, N, D))
    state, dstate = make_state(ours, N, random), make_state(ours, N, random)
    y, last, tape = ours.forward(x, state)
    dy = random.normal(size=y.shape)
    dx, first = ours.backward(tape, dy, dstate)

    x_ = torch.from_numpy(x).requires_grad_()
    state_ = tuple(torch.from_numpy(p.copy()).requires_grad_() for p in parts_of(state))
    y_, last_ = theirs(x_, state_ if len(state_) == 2 else state_[0])
    last_ = parts_of(last_)
    dlast = [torch.from_numpy(p) for p in parts_of(dstate)]
    torch.autograd.backward([y_, *last_], [torch.from_numpy(dy), *dlast])

    assert_close(y, y_.detach().numpy())
    for got, expected in zip(parts_of(last), last_, strict=True):
        assert_close(got, expected.detach().numpy())
    for got, expected in zip(parts_of(first), state_, strict=True):
        assert_close(got, expected.grad.numpy())
    assert_close(dx, x_.grad.numpy())
    for name, parameter in theirs.named_parameters():
        assert_close(ours.gradients[name], parameter.grad.numpy())


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_central_differences(variant):
    random = np.random.default_rng(3)
    rnn = make_layer(variant, (2, 3), (2, True, True), dropout=0.4)
    T, N = 4, 2
    x = random.normal(size=(T, N, 2))
    state = tuple(part.copy() for part in parts_of(make_state(rnn, N, random)))
    dy, dstate = random.normal(size=(T, N, 6)), make_state(rnn, N, random)
    at_start = rnn.rng.bit_generator.state

    def run():
        rnn.rng.bit_generator.state = at_start  # the same dropout masks
        return rnn.forward(x, state if len(state) == 2 else state[0], lengths=[4, 3])

    def loss():
        y, last, _ = run()
        return float(
            (dy * y).sum() + sum((d * s).sum() for d, s in zip(parts_of(dstate), parts_of(last), strict=True))
        )

    _, _, tape = run()
    dx, first = rnn.backward(tape, dy, dstate)
    assert tape.dropout[0].min() == 0.0
    assert_gradient(loss, x, dx)
    for part, gradient in zip(state, parts_of(first), strict=True):
        assert_gradient(loss, part, gradient)
    for name in rnn.parameters:
        with rnn.parameters.edit() as views:
            assert_gradient(loss, views[name], rnn.gradients[name])


@pytest.mark.parametrize("variant", VARIANTS)
def test_batch_first_is_the_same_with_axes_swapped(variant):
    random = np.random.default_rng(4)
    usual = make_layer(variant, (3, 5), (2, True, True))
    swapped = make_layer(variant, (3, 5), (2, True, True), batch_first=True)
    for x in (random.normal(size=(6, 4, 3)), random.integers(3, size=(6, 4))):
        reset = random.random((6, 4)) < 0.3
        lengths = [6, 2, 5, 1]
        y, state, tape = usual.forward(x, None, lengths, reset)
        y_, state_, tape_ = swapped.forward(x.swapaxes(0, 1), None, lengths, reset.T)
        assert y_.shape == (4, 6, 10)
        assert np.array_equal(y_.swapaxes(0, 1), y)
        assert np.array_equal(state_, state)
        assert np.array_equal(swapped(x.swapaxes(0, 1), None, lengths, reset.T)[0], y_)
        usual.zero_gradients()
        swapped.zero_gradients()
        dx, _ = usual.backward(tape, y)
        dx_, _ = swapped.backward(tape_, y_)
        assert np.array_equal(usual.gradients.flat, swapped.gradients.flat)
        if dx is None:
            assert dx_ is None
        else:
            assert np.array_equal(dx_.swapaxes(0, 1), dx)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_call_and_a_forward_pass_give_the_same_bits(variant):
    random = np.random.default_rng(5)
    rnn = make_layer(variant, (3, 17), (2, True, True), "float32", dropout=0.0)
    x = random.normal(size=(6, 4, 3)).astype(np.float32)
    y, state = rnn(x, lengths=[6, 6, 2, 3])
    y_, state_, _ = rnn.forward(x, lengths=[6, 6, 2, 3])
    assert y.tobytes() == y_.tobytes()
    assert [p.tobytes() for p in parts_of(state)] == [p.tobytes() for p in parts_of(state_)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ids", [False, True])
def test_step_by_step_in_chunks_or_alone_gives_the_same_bits(variant, dtype, ids):
    random = np.random.default_rng(6)
    T, N, D, H = 11, 7, 5, 33
    rnn = make_layer(variant, (D, H), (2, False, True), dtype)
    x = random.integers(D, size=(T, N)) if ids else random.normal(size=(T, N, D)).astype(dtype)
    state = make_state(rnn, N, random)
    y, last = rnn(x, state)

    first, middle = rnn(x[:4], state)
    second, end = rnn(x[4:], middle)
    assert np.concatenate([first, second]).tobytes() == y.tobytes()
    assert np.array_equal(end, last)

    for row in (0, 3, 6):
        alone, _ = rnn(x[:, row : row + 1], as_rows(state, slice(row, row + 1)))
        assert alone.tobytes() == y[:, row : row + 1].tobytes()

    stream = rnn.stream(N)
    stream.state = state
    assert np.array([stream.step(x_t) for x_t in x]).tobytes() == y.tobytes()
    assert np.array_equal(stream.state, last)


def as_rows(state, rows):
    return tuple(part[:, rows] for part in state) if isinstance(state, tuple) else state[:, rows]


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_or_two_threads_give_the_same_bits(variant):
    random = np.random.default_rng(7)
    rnn = make_layer(variant, (65, 129), (1, True, True), "float32")
    x = random.normal(size=(20, 33, 65)).astype(np.float32)
    dy = random.normal(size=(20, 33, 258)).astype(np.float32)
    before, results = fr.get_num_threads(), []
    try:
        for threads in (1, 2):
            fr.set_num_threads(threads)
            rnn.zero_gradients()
            y, state, tape = rnn.forward(x)
            dx, dstate = rnn.backward(tape, dy)
            arrays = (y, *parts_of(state), dx, *parts_of(dstate), rnn.gradients.flat)
            results.append([a.tobytes() for a in arrays])
    finally:
        fr.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_is_ignored(variant):
    random = np.random.default_rng(8)
    rnn = make_layer(variant, (3, 9), (2, True, True))
    lengths = np.array([5, 2, 7])
    x = random.normal(size=(7, 3, 3))
    y, state, tape = rnn.forward(x, lengths=lengths)
    dx, _ = rnn.backward(tape, np.ones_like(y))
    gradients = rnn.gradients.flat.copy()
    noise = x.copy()
    noise[np.arange(7)[:, None] >= lengths] = np.nan
    rnn.zero_gradients()
    y_, state_, tape_ = rnn.forward(noise, lengths=lengths)
    dx_, _ = rnn.backward(tape_, np.ones_like(y))
    assert np.array_equal(y_, y)
    assert np.array_equal(state_, state)
    assert np.array_equal(dx_, dx)
    assert np.array_equal(rnn.gradients.flat, gradients)
    for row, length in enumerate(lengths):
        assert not y[length:, row].any()
        assert not dx[length:, row].any()
        alone, last = rnn(x[:length, row : row + 1])
        assert np.array_equal(alone[:, 0], y[:length, row])
        assert np.array_equal(last, as_rows(state, slice(row, row + 1)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_add_up(variant):
    random = np.random.default_rng(9)
    rnn = make_layer(variant, (3, 5))
    x = random.normal(size=(6, 4, 3))
    y, _, tape = rnn.forward(x)
    rnn.backward(tape, y)
    once = rnn.gradients.flat.copy()
    dx, dstate = rnn.backward(tape, y)
    np.testing.assert_allclose(rnn.gradients.flat, 2 * once, rtol=1e-12)
    none, same = rnn.backward(tape, y, need_dx=False)
    assert none is None
    assert np.array_equal(same, dstate)
    assert dx.shape == x.shape


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_missing_gradient_is_zero(variant):
    random = np.random.default_rng(10)
    rnn = make_layer(variant, (3, 5), (2, True, True))
    y, state, tape = rnn.forward(random.normal(size=(6, 4, 3)))
    zero = tuple(np.zeros_like(p) for p in state) if isinstance(state, tuple) else np.zeros_like(state)
    for given, full in [((None, state), (np.zeros_like(y), state)), ((y, None), (y, zero))]:
        rnn.zero_gradients()
        dx, dstate = rnn.backward(tape, *given)
        gradients = rnn.gradients.flat.copy()
        rnn.zero_gradients()
        dx_, dstate_ = rnn.backward(tape, *full)
        assert np.array_equal(dx, dx_)
        assert np.array_equal(dstate, dstate_)
        assert np.array_equal(rnn.gradients.flat, gradients)


def test_backward_uses_the_weights_of_its_forward_pass():
    rnn = fr.LSTM(3, 5, seed=0)
    x = np.random.default_rng(11).standard_normal((6, 4, 3), dtype=np.float32)
    y, _, tape = rnn.forward(x)
    before, _ = rnn.backward(tape, y)
    gradients = rnn.gradients.flat.copy()
    rnn.parameters["weight_hh_l0"] = np.zeros((20, 5))
    rnn.zero_gradients()
    after, _ = rnn.backward(tape, y)
    assert np.array_equal(before, after)
    assert np.array_equal(gradients, rnn.gradients.flat)


def test_dropout_is_in_training_only_and_kept_in_the_tape():
    rnn = fr.GRU(3, 64, num_layers=3, dropout=0.25, seed=0)
    x = np.ones((50, 8, 3), np.float32)
    assert np.array_equal(rnn(x)[0], rnn(x)[0])
    one, _, tape = rnn.forward(x)
    two, _, other = rnn.forward(x)
    assert not np.array_equal(one, two)
    assert len(tape.dropout) == 2
    for layer, mask in enumerate(tape.dropout):
        kept = mask != 0
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
        assert abs(kept.mean() - 0.75) < 0.01
        assert np.array_equal(tape.layers[layer + 1].x, tape.layers[layer].y * mask)
        assert not np.array_equal(mask, other.dropout[layer])
    assert not np.array_equal(tape.dropout[0], tape.dropout[1])
    twin = fr.GRU(3, 64, num_layers=3, dropout=0.25, seed=0)
    assert np.array_equal(twin.forward(x)[0], one)


def test_the_tape_holds_every_state_and_gate():
    random = np.random.default_rng(12)
    x = random.normal(size=(4, 2, 3))
    lstm = fr.LSTM(3, 5, dtype="float64", seed=0)
    y, (h, c), tape = lstm.forward(x)
    (layer,) = tape.layers
    i, f, g, o = np.moveaxis(layer.gates, 2, 0)
    before = np.concatenate([layer.state[1][None], layer.c[:-1]])
    np.testing.assert_allclose(layer.c, f * before + i * g, rtol=1e-12)
    np.testing.assert_allclose(y, o * np.tanh(layer.c), rtol=1e-12)
    assert np.array_equal(layer.c[-1:], c)
    assert np.array_equal(layer.y[-1:], h)
    assert (layer.lengths, layer.reset, layer.reverse) == (None, None, False)

    for reset_after in (True, False):
        gru = fr.GRU(3, 5, dtype="float64", seed=0, reset_after=reset_after, bidirectional=True)
        y, _, tape = gru.forward(x, lengths=[4, 4])
        for layer, reverse in zip(tape.layers, (False, True), strict=True):
            r, z, n = np.moveaxis(layer.gates[:, :, :3], 2, 0)
            h = layer.y[::-1] if reverse else layer.y
            order = slice(None, None, -1 if reverse else 1)
            before = np.concatenate([layer.state[0][None], h[:-1]])
            np.testing.assert_allclose(h, (1 - z[order]) * n[order] + z[order] * before, rtol=1e-12)
            assert layer.gates.shape[2] == (4 if reset_after else 3)
            assert layer.reverse == reverse
            assert layer.lengths.tolist() == [4, 4]
            assert (r > 0).all()

    rnn = fr.RNN(3, 5, dtype="float64", seed=0)
    y, _, tape = rnn.forward(x)
    assert tape.layers[0].gates is None
    assert np.array_equal(tape.layers[0].y, y)


@pytest.mark.parametrize("variant", VARIANTS)
def test_streams_are_kept_reset_copied_and_set(variant):
    random = np.random.default_rng(13)
    rnn = make_layer(variant, (3, 5), (2, False, True))
    x = random.normal(size=(6, 2, 3))
    y, _ = rnn(x)
    stream = rnn.stream(batch_size=2)
    assert not np.any(stream.state)
    stream.step(x[0])
    twin, kept = stream.copy(), stream.state
    assert np.array_equal(stream.step(x[1]), y[1])
    assert np.array_equal(stream.step(x[2]), y[2])
    assert np.array_equal(twin.step(x[1]), y[1])
    stream.state = kept
    assert np.array_equal(stream.step(x[1]), y[1])
    stream.reset()
    assert np.array_equal(stream.step(x[0]), y[0])
    stream.state = None
    assert np.array_equal(stream.step(x[0]), y[0])


def test_the_state_of_a_stream_is_a_copy():
    stream = fr.GRU(3, 5, seed=0).stream()
    stream.step(np.ones(3, np.float32))
    state = stream.state
    state[...] = 100.0
    assert not np.array_equal(stream.state, state)
    given = np.ones((1, 1, 5), np.float32)
    stream.state = given
    given[...] = 7.0
    assert stream.state.tolist() == np.ones((1, 1, 5)).tolist()


def test_a_step_of_one_sequence_needs_no_batch():
    rnn = fr.LSTM(3, 5, seed=0)
    x = np.random.default_rng(14).standard_normal((4, 1, 3), dtype=np.float32)
    y, _ = rnn(x)
    stream = rnn.stream()
    got = [
        stream.step(x[0, 0]),
        stream.step(x[1])[0],
        stream.step(x[2, 0].tolist()),
        stream.step(x[3].tolist())[0],
    ]
    assert np.array(got).tobytes() == y.tobytes()
    by_id, _ = rnn(np.array([[2], [0], [1], [2]]))
    stream.reset()
    got = [stream.step(2), stream.step(np.int32(0)), stream.step([1])[0], stream.step(np.array([2]))[0]]
    assert np.array(got).tobytes() == by_id.tobytes()


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_step_into_an_array_takes_no_memory(batch_size):
    rnn = fr.LSTM(64, 128, 2, seed=0)
    stream, twin = rnn.stream(batch_size), rnn.stream(batch_size)
    x, y = np.ones((batch_size, 64), np.float32), np.empty((batch_size, 128), np.float32)
    assert stream.step(x, out=y) is y
    assert y.tobytes() == twin.step(x).tobytes()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            stream.step(x, out=y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < y.nbytes
    assert y.tobytes() != twin.step(x).tobytes()


def test_an_array_that_cannot_take_a_step():
    stream = fr.GRU(3, 5, seed=0).stream()
    x, state = np.ones((1, 3), np.float32), stream.state
    with pytest.raises(ValueError, match=r"out: expected \[1, 5\], got \[1, 4\]"):
        stream.step(x, np.empty((1, 4), np.float32))
    with pytest.raises(TypeError, match="out: expected float32, got float64"):
        stream.step(x, np.empty((1, 5)))
    frozen = np.empty((1, 5), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array, got a read-only one"):
        stream.step(x, frozen)
    assert np.array_equal(stream.state, state)


def test_a_stream_follows_its_layers_parameters():
    rnn = fr.GRU(3, 5, seed=0)
    x = np.ones((1, 3), np.float32)
    stream = rnn.stream()
    stream.step(x)
    state = stream.state
    twin = stream.copy()
    rnn.parameters["weight_ih_l0"] = np.zeros((15, 3))
    expected, _ = rnn(x[None], state)
    assert np.array_equal(stream.step(x), expected[0])
    assert np.array_equal(twin.step(x), expected[0])


def test_one_model_runs_in_many_threads_at_once():
    rnn = fr.LSTM(5, 40, num_layers=2, seed=0)
    x = np.random.default_rng(15).standard_normal((30, 16, 5), dtype=np.float32)
    expected = fr.LSTM(5, 40, num_layers=2, seed=0)(x)[0].tobytes()
    wrong = []

    def work():
        for _ in range(20):
            if rnn(x)[0].tobytes() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (3,), (17, 2), (4, 3, 5), (65, 3)], ids=str)
def test_linear_is_the_product(dtype, bias, shape):
    K, F = 7, 18
    random = np.random.default_rng(16)
    linear = fr.Linear(K, F, bias, dtype=dtype, seed=0)
    x = random.normal(size=(*shape, K)).astype(dtype)
    dy = random.normal(size=(*shape, F)).astype(dtype)
    weight = linear.parameters["weight"].astype(np.float64)
    y, tape = linear.forward(x)
    assert_close(y, x @ weight.T + (linear.parameters["bias"] if bias else 0.0), dtype)
    assert np.array_equal(linear(x), y)
    assert_close(linear.backward(tape, dy), dy @ weight, dtype)
    rows = (x.reshape(-1, K).astype(np.float64), dy.reshape(-1, F).astype(np.float64))
    assert_close(linear.gradients["weight"], rows[1].T @ rows[0], dtype)
    if bias:
        assert_close(linear.gradients["bias"], rows[1].sum(0), dtype)
    assert linear.backward(tape, dy, need_dx=False) is None


def test_embedding_looks_up_and_scatters():
    embedding = fr.Embedding(6, 4, dtype="float64", seed=0)
    ids = np.array([[1, 5, 1], [0, 1, 5]])
    y, tape = embedding.forward(ids)
    assert np.array_equal(y, embedding.parameters["weight"][ids])
    dy = np.random.default_rng(17).normal(size=y.shape)
    embedding.backward(tape, dy)
    expected = np.zeros((6, 4))
    np.add.at(expected, ids, dy)
    assert_close(embedding.gradients["weight"], expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cross_entropy_is_the_references(dtype):
    random = np.random.default_rng(18)
    logits = (5 * random.normal(size=(3, 4, 21))).astype(dtype)
    targets = random.integers(-1, 21, size=(3, 4))
    loss, dlogits = fr.softmax_cross_entropy(logits, targets)
    wide = logits.astype(np.float64)
    log_softmax = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    counted = targets >= 0
    picked = np.take_along_axis(log_softmax, np.maximum(targets, 0)[..., None], -1)[..., 0]
    assert abs(loss - -picked[counted].mean()) < {"float64": 1e-12, "float32": 1e-5}[dtype]
    one_hot = np.eye(21)[targets] * counted[..., None]
    assert_close(dlogits, (np.exp(log_softmax) * counted[..., None] - one_hot) / counted.sum(), dtype)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (fr.RNN(3, 5), "RNN(3, 5)"),
        (fr.RNN(3, 5, nonlinearity="relu"), "RNN(3, 5, nonlinearity='relu')"),
        (fr.GRU(3, 5, 2, reset_after=False), "GRU(3, 5, num_layers=2, reset_after=False)"),
        (
            fr.LSTM(3, 5, 2, bidirectional=True, batch_first=True, dropout=0.5, bias=False, dtype="float64"),
            "LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True, dropout=0.5, bias=False, "
            "dtype='float64')",
        ),
        (fr.Linear(3, 5, bias=False), "Linear(3, 5, bias=False)"),
        (fr.Embedding(3, 5, dtype="float64"), "Embedding(3, 5, dtype='float64')"),
        (fr.LSTM(3, 5).stream(4), "<Stream of LSTM(3, 5): 4 sequences>"),
        (
            fr.LSTM(3, 5).forward(np.zeros((7, 2, 3), np.float32))[2],
            "<Tape of LSTM(3, 5): 7 steps of 2 sequences>",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_representations(layer, text):
    assert repr(layer) == text


def test_dropout_can_be_changed_and_is_checked():
    rnn = fr.LSTM(3, 4, num_layers=2, dropout=0.5, seed=0)
    rnn.dropout = 0.0
    x = np.ones((5, 2, 3), np.float32)
    assert np.array_equal(rnn.forward(x)[0], rnn(x)[0])
    assert "dropout" not in repr(rnn)
    with pytest.raises(ValueError, match="dropout: expected a probability"):
        rnn.dropout = 1.0
