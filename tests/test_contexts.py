"""Contexts: a vector for all steps or one for each, in layers, stacks and language models."""

import numpy as np
import pytest

import fastrnn as fr
from gradient_check import assert_gradient, assert_slope
from variant_cases import VARIANTS, batch, make, parts_of

T, N, C = 5, 3, 3
READERS = [name for name in VARIANTS if name.startswith("contexts")]


def bits(*arrays):
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


def normal(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", READERS)
def test_the_same_context_at_each_step_gives_the_bits_of_one_context(name, dtype):
    rnn = make(name, layers=2, dtype=dtype)
    x, more = batch(rnn, ("lengths", "reset", "state"))
    one = more["context"][0]
    more["context"] = np.repeat(one[None], len(x), axis=0)
    y, last = rnn(x, **more)
    same, end = rnn(x, **more | {"context": one})
    assert bits(y, *parts_of(last)) == bits(same, *parts_of(end))


@pytest.mark.parametrize("name", READERS)
def test_batch_first_is_the_same_with_axes_swapped(name):
    rnn, other = make(name), make(name, batch_first=True)
    x, more = batch(rnn, ("lengths", "reset"))
    results = []
    for layer, swap in ((rnn, lambda a: a), (other, lambda a: np.swapaxes(a, 0, 1).copy())):
        layer.rng = np.random.default_rng(0)
        layer.zero_gradients()
        given = {"lengths": more["lengths"], "reset": swap(more["reset"]), "context": swap(more["context"])}
        y, _, tape = layer.forward(swap(x), **given)
        dcontext = np.zeros_like(given["context"])
        dx, _ = layer.backward(tape, np.cos(y), dcontext=dcontext)
        results.append(bits(swap(y), swap(dx), swap(dcontext), layer.gradients.flat))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", READERS)
def test_ids_read_a_context_too(name):
    rnn = make(name)
    if rnn.options.input_dropout:
        pytest.skip("drops units of x, which ids do not have")
    _, more = batch(rnn, ())
    ids = np.random.default_rng(1).integers(-1, rnn.input_size, size=(6, 3))
    results = []
    for x in (ids, np.where(ids[..., None] < 0, 0.0, np.eye(rnn.input_size)[ids])):
        rnn.rng = np.random.default_rng(0)
        rnn.zero_gradients()
        y, _, tape = rnn.forward(x, **more)
        dcontext = np.zeros_like(more["context"])
        rnn.backward(tape, np.cos(y), dcontext=dcontext)
        results.append((y, dcontext, rnn.gradients.flat.copy()))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_a_context_is_added_to_what_is_there():
    rnn = make("contexts")
    x, more = batch(rnn, ())
    y, _, tape = rnn.forward(x, **more)
    once, twice = np.zeros_like(more["context"]), np.ones_like(more["context"])
    rnn.backward(tape, y, dcontext=once)
    rnn.backward(tape, y, dcontext=twice)
    np.testing.assert_allclose(twice, 1 + once, rtol=1e-12)


LIKE_INPUTS = [
    (fr.RNN, {"leak": "learned", "bidirectional": True}),
    (fr.RNN, {"skip": 2, "reverse": True}),
    (fr.GRU, {"proj_size": 4, "num_layers": 2}),
    (fr.GRU, {"reset_after": False, "bidirectional": True, "merge": "sum"}),
    (fr.LSTM, {"coupled": True, "peephole": True, "num_layers": 3}),
    (fr.LSTM, {"relevance": True, "num_layers": 2}),
    (fr.MinLSTM, {"nonlinearity": "positive"}),
]


@pytest.mark.parametrize("every", [None, 300])
@pytest.mark.parametrize(("layer", "options"), LIKE_INPUTS)
def test_a_context_of_each_step_is_like_further_inputs(layer, options, every):
    """Over several chunks of time: the same layer with x and context side by side, and its weights too."""
    D, H, steps = 5, 17, 700
    rnn = layer(D, H, context_size=C, dtype="float64", seed=1, **options)
    other = layer(D + C, H, dtype="float64", seed=1, **options)

    def joined(arrays, name):
        if not name.startswith("weight_ih_l0"):
            return arrays[name]
        return np.concatenate([arrays[name], arrays[name.replace("ih", "context")]], axis=1)

    other.load_state_dict({name: joined(rnn.parameters, name) for name in other.parameters})
    x, contexts, random = normal(steps, N, D), normal(steps, N, C, seed=1), np.random.default_rng(2)
    given = {"lengths": [700, 3, 513], "reset": random.random((steps, N)) < 0.01, "checkpoint_every": every}
    y, _, tape = rnn.forward(x, context=contexts, **given)
    dcontext = np.zeros_like(contexts)
    dx, _ = rnn.backward(tape, np.cos(y), dcontext=dcontext)
    wanted, _, tape = other.forward(np.concatenate([x, contexts], axis=2), **given)
    dboth, _ = other.backward(tape, np.cos(wanted))
    np.testing.assert_allclose(y, wanted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(np.concatenate([dx, dcontext], axis=2), dboth, rtol=1e-8, atol=1e-10)
    for name, gradient in other.gradients.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(joined(rnn.gradients, name), gradient, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("every", [None, 2])
def test_teacher_forcing_beside_a_context_of_each_step(every):
    """Figure 10.10 of "Deep Learning": h(t) reads x(t) as R x(t), and y(t - 1), here the target."""
    net = fr.Jordan(4, 6, 2, context_size=C, output_activation="tanh", dtype="float64", seed=1)
    x, contexts, targets = normal(T, N, 4), normal(T, N, C, seed=1), normal(T, N, 2, seed=2)
    lengths, random = np.array([5, 2, 4]), np.random.default_rng(3)
    given = {"lengths": lengths, "context": contexts, "targets": targets}
    y, _, tape = net.forward(x, **given, checkpoint_every=every)
    p = net.parameters
    before = np.concatenate([np.zeros((1, N, 2)), targets[:-1]])
    q = x @ p["weight_ih_l0"].T + contexts @ p["weight_context_l0"].T + before @ p["weight_hh_l0"].T
    q = np.tanh(q + p["bias_ih_l0"] + p["bias_hh_l0"])
    wanted = np.tanh(q @ p["weight_hr_l0"].T + p["bias_hr_l0"])
    np.testing.assert_allclose(y, wanted * (np.arange(T)[:, None] < lengths)[..., None], rtol=1e-12)
    dcontext, dy = np.zeros_like(contexts), normal(*y.shape, seed=4)
    net.backward(tape, dy, dcontext=dcontext)

    def loss():
        return float((net(x, **given)[0] * dy).sum())

    assert_gradient(loss, contexts, dcontext)
    with net.parameters.edit() as views:
        for name, gradient in net.gradients.items():
            assert_slope(loss, views[name], gradient, random)


def test_a_context_that_does_not_fit():
    rnn = fr.LSTM(4, 5, context_size=C, batch_first=True, dtype="float64")
    x, contexts = normal(N, T, 4), normal(N, T, C)
    expected = r"context: expected \[3, 3\], or one of each step, \[3, 5, 3\], got "
    for wrong in (None, normal(N, C + 1), normal(C), normal(T, N, C, 1)):
        with pytest.raises(ValueError, match=expected):
            rnn(x, context=wrong)
    with pytest.raises(ValueError, match=r"context: expected \[3, 5, 3\], got \[5, 3, 3\]"):
        rnn(x, context=normal(T, N, C))
    with pytest.raises(TypeError, match="context: expected float64"):
        rnn(x, context=contexts.astype("f"))
    y, _, tape = rnn.forward(x, context=contexts)
    with pytest.raises(ValueError, match=r"dcontext: expected \[3, 5, 3\], got \[5, 3, 3\]"):
        rnn.backward(tape, y, dcontext=np.zeros((T, N, C)))
    with pytest.raises(ValueError, match=r"dcontext: expected \[3, 5, 3\], got \[3, 3\]"):
        rnn.backward(tape, y, dcontext=np.zeros((N, C)))
    rnn = fr.GRU(4, 5, dtype="float64")
    with pytest.raises(ValueError, match="dcontext: expected None, as the layer has no context_size"):
        rnn.backward(rnn.forward(normal(T, N, 4))[2], normal(T, N, 5), dcontext=np.zeros((N, C)))


def test_a_step_without_the_context_it_needs_leaves_the_state_as_it_was():
    rnn = fr.GRU(4, 5, context_size=C, dtype="float64", seed=0)
    x, contexts = normal(T, N, 4), normal(T, N, C)
    stream = rnn.stream(N)
    stream.step(x[0], context=contexts[0])
    before = bits(stream.state)
    for wrong in (None, contexts, contexts[0, :2]):
        with pytest.raises(ValueError, match=r"context: expected \[3, 3\], got"):
            stream.step(x[0], context=wrong)
    assert bits(stream.state) == before
    with pytest.raises(ValueError, match="context: expected None, as the layer has no context_size"):
        fr.GRU(4, 5, dtype="float64").stream(N).step(x[0], context=contexts[0])


def test_a_steps_context_replaces_the_streams_for_that_step_alone():
    rnn = fr.GRU(4, 5, context_size=C, dtype="float64", seed=0)
    x, contexts = normal(3, N, 4), normal(3, N, C)
    contexts[2] = contexts[0]
    stream = rnn.stream(N, context=contexts[0])
    stream.step(x[0])
    twin = stream.copy()
    y = [stream.step(x[1], context=contexts[1]), stream.step(x[2])]
    assert bits(*y) == bits(*rnn(x, context=contexts)[0][1:])
    assert bits(twin.step(x[1])) == bits(rnn(x, context=contexts[0])[0][1])


def test_sequences_with_a_context_of_each_step_join_and_leave_a_stream():
    rnn = make("contexts", dtype="float32")
    x, more = batch(rnn, (), steps=3)
    context = more["context"]
    alone = [rnn(x[:, n : n + 1], context=context[:, n : n + 1])[0] for n in range(3)]
    stream = rnn.stream(2)
    stream.step(x[0, :2], context=context[0, :2])
    kept = stream.leave(0)
    assert stream.join(kept) == 1
    y = stream.step(x[1, [1, 0]], context=context[1, [1, 0]])
    assert bits(*y) == bits(alone[1][1, 0], alone[0][1, 0])
    with pytest.raises(ValueError, match="context: expected None, as each step of this stream has its own"):
        stream.join(context=context[0, :1])


def stack_of(connect="plain", **options):
    layers = [fr.GRU(4, 4, context_size=C, **options), fr.LSTM(4, 4, **options)]
    layers += [fr.Jordan(4, 6, 4, context_size=C, **options)]
    return fr.Stack(*layers, connect=connect, seed=1)


@pytest.mark.parametrize("kind", ["one", "each"])
@pytest.mark.parametrize("connect", ["plain", "residual"])
def test_a_stacks_gradients_are_central_differences(connect, kind):
    stack = stack_of(connect, dtype="float64", seed=2)
    x, context = normal(T, N, 4), normal(*(() if kind == "one" else (T,)), N, C, seed=1)
    lengths, random = np.array([5, 2, 4]), np.random.default_rng(3)
    y, _, tape = stack.forward(x, None, lengths, context=context)
    dy = normal(*y.shape, seed=4)
    dcontext = np.zeros_like(context)
    dx, _ = stack.backward(tape, dy, dcontext=dcontext)

    def loss():
        return float((stack(x, None, lengths, context=context)[0] * dy).sum())

    assert_gradient(loss, context, dcontext)
    assert_gradient(loss, x, dx)
    with stack.parameters.edit() as views:
        for name, gradient in stack.gradients.items():
            assert_slope(loss, views[name], gradient, random)


@pytest.mark.parametrize("kind", ["one", "each"])
def test_a_stacks_steps_give_the_bits_of_the_whole(kind):
    stack = stack_of(seed=2)
    x, contexts = normal(T, N, 4, dtype="f"), normal(T, N, C, dtype="f")
    y, state = stack(x, context=contexts if kind == "each" else contexts[0])
    stream = stack.stream(N, context=None if kind == "each" else contexts[0])
    steps = []
    for x_t, context in zip(x, contexts, strict=True):
        steps.append(stream.step(x_t, context=context if kind == "each" else None))
        stream = stream.copy()
    assert bits(*steps) == bits(*y)
    assert bits(*stream.state[:1]) == bits(*state[:1])


def test_a_stacks_context_that_does_not_fit():
    stack, x = stack_of(seed=2), normal(T, N, 4, dtype="f")
    with pytest.raises(ValueError, match=r"context: expected \[3, 3\], or one of each step, .*got None"):
        stack(x)
    plain = fr.Stack(fr.GRU(4, 4))
    with pytest.raises(ValueError, match="context: expected None, as no layer has a context_size"):
        plain(x, context=x)
    with pytest.raises(ValueError, match="context: expected None, as no layer has a context_size"):
        plain.stream(3).step(x[0], context=x[0])
    with pytest.raises(ValueError, match="dcontext: expected None, as no layer has a context_size"):
        plain.backward(plain.forward(x)[2], x, dcontext=np.zeros((N, C), "f"))
    with pytest.raises(ValueError, match=r"layer1: expected context_size 0 or that of layer0, 3, .* got 2"):
        fr.Stack(fr.GRU(4, 4, context_size=3), fr.GRU(4, 4, context_size=2))
    stream = stack.stream(N)
    stream.step(x[0], context=normal(N, C, dtype="f"))
    before = [bits(*parts_of(part)) for part in stream.state]
    with pytest.raises(ValueError, match=r"context: expected \[3, 3\], got None"):
        stream.step(x[0])
    assert [bits(*parts_of(part)) for part in stream.state] == before


def test_sequences_join_and_leave_a_stacks_stream():
    """A row gives the bits that it gives alone, whoever is in the batch."""
    stack = stack_of(seed=2)
    x, context = normal(4, N, 4, dtype="f"), normal(N, C, dtype="f")
    alone = [stack(x[:, [n]], context=context[[n]])[0][:, 0] for n in range(N)]
    stream = stack.stream(2, context=context[:2])
    stream.step(x[0, :2])
    assert stream.join(context=context[2:]) == 2
    y = stream.step(np.stack([x[1, 0], x[1, 1], x[0, 2]]))
    assert bits(*y) == bits(alone[0][1], alone[1][1], alone[2][0])
    gone = stream.leave(0)
    y = stream.step(np.stack([x[2, 1], x[1, 2]]))
    assert bits(*y) == bits(alone[1][2], alone[2][1])
    assert stream.join(gone, context[:1]) == 2
    y = stream.step(np.stack([x[3, 1], x[2, 2], x[2, 0]]))
    assert bits(*y) == bits(alone[1][3], alone[2][2], alone[0][2])
    before = [bits(*parts_of(part)) for part in stream.state]
    with pytest.raises(ValueError, match=r"context: expected \[1, 3\], got None"):
        stream.join()
    with pytest.raises(ValueError, match=r"row: expected 0 \.\. 2, got 3"):
        stream.leave(3)
    with pytest.raises(ValueError, match="state: expected a tuple of one entry for each of 3 layers, got 1"):
        stream.join(gone[:1], context[:1])
    assert [bits(*parts_of(part)) for part in stream.state] == before
    assert stream.batch_size == 3
