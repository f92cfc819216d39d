"""Every variant of the layers: gradients, steps, segments, masks, bad input."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import fastrnn as fr
from gradient_check import assert_slope
from kernel_cases import with_threads
from variant_cases import BATCHES, VARIANTS, batch, make, part_of, parts_of, random_state, start_stream

#: Variants that can run step by step.
STREAMED = [
    name for name, (_, options) in VARIANTS.items() if not options.keys() & {"bidirectional", "reverse"}
]


def training_pass(rnn, x, more, seed=7):
    """Run a training pass whose masks are always the same."""
    rnn.rng = np.random.default_rng(seed)
    return rnn.forward(x, **more)


@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", VARIANTS)
def test_gradients(name, given):
    rnn = make(name, layers=2)
    x, more = batch(rnn, BATCHES[given])
    random = np.random.default_rng(6)
    y, _, tape = training_pass(rnn, x, more)
    dy = random.normal(size=y.shape)
    dlast = random_state(rnn, lambda *shape: random.normal(size=shape), x.shape[1])
    more.setdefault("state", None)

    def loss():
        y, last, _ = training_pass(rnn, x, more)
        pairs = zip(parts_of(last), parts_of(dlast), strict=True)
        return float((y * dy).sum() + sum((part * d).sum() for part, d in pairs))

    rnn.zero_gradients()
    context = more.get("context")
    dcontext = None if context is None else np.zeros_like(context)
    dx, dstate = rnn.backward(tape, dy, dlast, dcontext=dcontext)
    checked = [(x, dx)]
    if context is not None:
        checked.append((context, dcontext))
    if more["state"] is not None:
        checked += zip(parts_of(more["state"]), parts_of(dstate), strict=True)
    for array, gradient in checked:
        assert_slope(loss, array, gradient, random)
    for parameter, gradient in rnn.gradients.items():
        assert gradient.any() or (parameter.startswith("initial_") and more["state"] is not None), parameter
        with rnn.parameters.edit() as views:
            assert_slope(loss, views[parameter], gradient, random)


def bits(*arrays):
    return [array.tobytes() for array in arrays if array is not None]


def everything(rnn, x, more, **options):
    """Return all results of both passes, as bytes."""
    rnn.zero_gradients()
    y, last, tape = training_pass(rnn, x, more | options)
    dcontext = np.zeros_like(more["context"]) if "context" in more else None
    dx, dstate = rnn.backward(tape, np.cos(y), last, dcontext=dcontext)
    return bits(y, *parts_of(last), dx, *parts_of(dstate), rnn.gradients.flat, dcontext)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["dense", "all"])
@pytest.mark.parametrize("name", VARIANTS)
def test_segments_give_the_bits_of_the_outputs_of_one_pass(name, given, dtype):
    rnn = make(name, layers=2, dtype=dtype)
    x, more = batch(rnn, BATCHES[given], steps=9)
    y, last, _ = training_pass(rnn, x, more)
    segmented, ends, tape = training_pass(rnn, x, more | {"checkpoint_every": 4})
    assert bits(y, *parts_of(last)) == bits(segmented, *parts_of(ends))
    assert tape.nbytes < training_pass(rnn, x, more)[2].nbytes


@pytest.mark.parametrize("given", ["dense", "all"])
@pytest.mark.parametrize("name", VARIANTS)
def test_segments_give_the_gradients_of_one_pass(name, given):
    rnn = make(name, layers=2)
    x, more = batch(rnn, BATCHES[given], steps=9)
    results = []
    for every in (None, 4, 9):
        rnn.zero_gradients()
        y, last, tape = training_pass(rnn, x, more | {"checkpoint_every": every})
        dcontext = np.zeros_like(more.get("context", np.zeros(0)))
        dx, dstate = rnn.backward(tape, np.cos(y), last, dcontext=dcontext if "context" in more else None)
        results.append([dx, *parts_of(dstate), rnn.gradients.flat.copy(), dcontext])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", VARIANTS)
def test_same_bits_for_any_number_of_threads(name, given, dtype):
    rnn = make(name, dtype=dtype, sizes=(7, 33))
    x, more = batch(rnn, BATCHES[given], steps=40, rows=11)
    one = with_threads(1, lambda: everything(rnn, x, more))
    assert all(with_threads(threads, lambda: everything(rnn, x, more)) == one for threads in (2, 3))


@pytest.mark.parametrize("name", STREAMED)
def test_a_step_into_an_array_takes_no_memory(name):
    rnn = make(name, dtype="float32", sizes=(64, 129))
    x, more = batch(rnn, (), steps=1, rows=8)
    stream, arguments = start_stream(rnn, more, 8)
    given = arguments(0)
    out = stream.step(x[0], **given)

    def traced():
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(50):
                stream.step(x[0], out=out, **given)
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    # Less than a result, where it is not projected to a few units; another thread may add its own once.
    assert min(traced() for _ in range(3)) < 1024


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_gives_the_bits_of_one_call(name, dtype):
    rnn = make(name, layers=2, dtype=dtype)
    x, more = batch(rnn, ("state",), steps=9)
    y, last = rnn(x, **more)
    stream, given = start_stream(rnn, more, x.shape[1])
    stream.state = more["state"]
    out = np.empty(y.shape[1:], dtype)
    steps = [stream.step(x_t, **given(t)).copy() for t, x_t in enumerate(x[:4])]
    twin = stream.copy()
    steps += [stream.step(x[t], out=out, **given(t)).copy() for t in range(4, 9)]
    assert bits(*steps) == bits(*y)
    assert bits(*parts_of(stream.state)) == bits(*parts_of(last))
    assert bits(*[twin.step(x[t], **given(t)) for t in range(4, 9)]) == bits(*y[4:])
    chunked, state = rnn(x[:4], **more | part_of(more, slice(4)))
    rest, end = rnn(x[4:], state, **part_of(more, slice(4, 9)))
    assert bits(chunked, rest, *parts_of(end)) == bits(y[:4], y[4:], *parts_of(last))


@pytest.mark.parametrize(
    "name", [*(name for name in STREAMED[::4] if "context" not in name), "learned state"]
)
def test_streams_join_and_leave_a_batch(name):
    rnn = make(name, layers=2, dtype="float32")
    x, _ = batch(rnn, (), steps=6)
    alone = [rnn(x[:, n : n + 1])[0] for n in range(3)]
    stream = rnn.stream(2)
    first = stream.step(x[0, :2])
    assert stream.join() == 2
    stream.state = None
    stream.step(x[0])
    y = stream.step(x[1])
    assert bits(*(y[n] for n in range(3))) == bits(*(one[1, 0] for one in alone))
    gone = stream.leave(1)
    y = stream.step(x[2, [0, 2]])
    assert bits(y[0], y[1]) == bits(alone[0][2, 0], alone[2][2, 0])
    assert stream.join(gone) == 2
    y = stream.step(np.stack([x[3, 0], x[3, 2], x[2, 1]]))
    assert bits(y[0], y[1], y[2]) == bits(alone[0][3, 0], alone[2][3, 0], alone[1][2, 0])
    assert bits(*first) == bits(*(one[0, 0] for one in alone[:2]))


def test_a_context_joins_and_leaves_with_its_sequence():
    rnn = make("context", dtype="float32")
    x, more = batch(rnn, (), steps=3)
    context = more["context"]
    alone = [rnn(x[:, n : n + 1], context=context[n : n + 1])[0] for n in range(3)]
    stream = rnn.stream(2, context=context[:2])
    stream.step(x[0, :2])
    stream.leave(0)
    stream.reset()
    stream.join(context=context[2:])
    y = stream.step(x[0, 1:])
    assert bits(*y) == bits(alone[1][0, 0], alone[2][0, 0])
    twin = stream.copy()
    assert bits(twin.step(x[1, 1:])) == bits(stream.step(x[1, 1:]))
    with pytest.raises(ValueError, match=r"context: expected \[1, 2\], got None"):
        stream.join()
    with pytest.raises(ValueError, match=r"context: expected \[3, 2\], got None"):
        rnn.stream(3).step(x[0])


@pytest.mark.parametrize("name", VARIANTS)
def test_padding_and_order_change_nothing(name):
    rnn = make(name, layers=2, dtype="float32")
    x, more = batch(rnn, ("lengths", "reset"), rows=5)
    order = np.array([3, 0, 4, 1, 2])
    y, last = rnn(x, **more)
    moved = {"lengths": more["lengths"][order], "reset": more["reset"][:, order]}
    moved |= part_of(more, rows=order)
    permuted, ends = rnn(x[:, order], **moved)
    assert bits(permuted) == bits(y[:, order])
    assert bits(*(part[:, order] for part in parts_of(last))) == bits(*parts_of(ends))
    padded = np.concatenate([x, np.full_like(x[:2], np.nan)])
    longer = more | {"reset": np.concatenate([more["reset"], more["reset"][:2]])}
    if "contexts" in name:
        longer["context"] = np.concatenate([more["context"], np.full_like(more["context"][:2], np.nan)])
    again, ends = rnn(padded, **longer)
    assert bits(again[: len(y)], *parts_of(ends)) == bits(y, *parts_of(last))
    assert not again[len(y) :].any()
    for n, length in enumerate(more["lengths"]):
        alone = part_of(more, slice(length), slice(n, n + 1))
        own, _ = rnn(x[:length, n : n + 1], reset=more["reset"][:length, n : n + 1], **alone)
        assert bits(own[:, 0]) == bits(np.ascontiguousarray(y[:length, n]))
        assert not y[length:, n].any()


@pytest.mark.parametrize("name", VARIANTS)
def test_ids_are_rows_of_the_identity(name):
    rnn = make(name)
    if rnn.options.input_dropout:
        with pytest.raises(ValueError, match="input_dropout: expected x of floats, got ids"):
            rnn.forward(np.zeros((6, 3), int), **part_of(batch(rnn, ())[1]))
        return
    _, more = batch(rnn, ("lengths", "reset"))
    ids = np.random.default_rng(1).integers(rnn.input_size, size=(6, 3))
    results = []
    for x in (ids, np.eye(rnn.input_size)[ids]):
        rnn.zero_gradients()
        y, last, tape = training_pass(rnn, x, more)
        rnn.backward(tape, np.cos(y))
        results.append((y, *parts_of(last), rnn.gradients.flat.copy()))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_float32_is_close_to_float64(name):
    exact = make(name, layers=2)
    single = make(name, layers=2, dtype="float32")
    single.load_state_dict(exact.state_dict())
    exact.load_state_dict(single.state_dict())
    x, more = batch(exact, ("lengths",))
    x = x.astype("f").astype(float)
    context = {key: value.astype("f") for key, value in more.items() if key == "context"}
    wide = more | {key: value.astype(float) for key, value in context.items()}
    y, _, _ = training_pass(exact, x, wide)
    got, _, _ = training_pass(single, x.astype("f"), more | context)
    np.testing.assert_allclose(got, y, rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", [name for name in VARIANTS if "masks" in name])
def test_masks_are_of_the_pass_and_only_in_training(name):
    rnn = make(name)
    x, more = batch(rnn, ())
    one, again = training_pass(rnn, x, more)[0], training_pass(rnn, x, more)[0]
    other = training_pass(rnn, x, more, seed=8)[0]
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.array_equal(rnn(x, **more)[0], rnn(x, **more)[0])
    # A batch is masked row by row, whatever its other rows are.
    assert rnn(x, **more)[0].shape == one.shape


def test_the_dropped_fraction():
    rnn = fr.RNN(3, 500, output_dropout=0.25, seed=0)
    y, _, tape = rnn.forward(np.ones((4, 8, 3), np.float32))
    dropped = y == 0
    assert 0.22 < dropped.mean() < 0.28
    assert (dropped == dropped[0]).all()  # the same units at every step
    assert np.allclose(y[~dropped], tape.layers[0].y[~dropped] / 0.75)
    rnn = fr.LSTM(3, 500, zoneout=(0.25, 0.1), dtype="float64", seed=0)
    _, _, tape = rnn.forward(np.random.default_rng(0).normal(size=(40, 8, 3)))
    h, c = tape.layers[0].y, tape.layers[0].c
    assert 0.24 < (h[1:] == h[:-1]).mean() < 0.26
    assert 0.09 < (c[1:] == c[:-1]).mean() < 0.11


def test_zoneout_without_training_is_the_expectation():
    rnn = fr.RNN(3, 4, zoneout=0.3, dtype="float64", seed=0)
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    y, _ = rnn(x)
    p = rnn.parameters
    h = np.zeros((2, 4))
    for x_t, y_t in zip(x, y, strict=True):
        new = np.tanh(x_t @ p["weight_ih_l0"].T + p["bias_ih_l0"] + h @ p["weight_hh_l0"].T + p["bias_hh_l0"])
        h = 0.3 * h + 0.7 * new
        np.testing.assert_allclose(y_t, h, rtol=1e-12)


@pytest.mark.parametrize("name", ["lstm norm of all", "gru skip", "sum", "learned state"])
def test_copies_and_pickles_are_the_same_layer(name):
    rnn = make(name)
    x, more = batch(rnn, ())
    for twin in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        assert repr(twin) == repr(rnn)
        assert bits(twin(x, **more)[0]) == bits(rnn(x, **more)[0])


@pytest.mark.parametrize(
    ("make_layer", "error", "text"),
    [
        (lambda: fr.LSTM(3, 4, peepholes=True), TypeError, "peepholes: not an option of this layer"),
        (lambda: fr.GRU(3, 4, peephole=True), TypeError, "peephole: not an option of this layer"),
        (lambda: fr.RNN(3, 4, candidate_activation="relu"), TypeError, "candidate_activation: not an option"),
        (lambda: fr.MinGRU(3, 4, weight_drop=0.1), ValueError, "weight_drop: contradicts the cell mingru"),
        (lambda: fr.LSTM(3, 4, peephole="next"), ValueError, "peephole: expected 'gers' or 'previous'"),
        (lambda: fr.LSTM(3, 4, peephole=1), TypeError, "peephole: expected True or False, got int"),
        (lambda: fr.Jordan(3, 4, 2, zoneout=(0, 0.1)), ValueError, "contradicts no hidden_recurrence"),
        (lambda: fr.Jordan(3, 4, 2, skip=2), ValueError, "skip: contradicts a Jordan network"),
        (lambda: fr.MinLSTM(3, 4, nonlinearity="tanh"), ValueError, "nonlinearity: expected 'identity' or"),
        (lambda: fr.LSTM(3, 4, zoneout=1.0), ValueError, r"zoneout: expected a probability in \[0, 1\)"),
        (lambda: fr.LSTM(3, 4, zoneout=(0, 0, 0)), ValueError, "zoneout: expected a number or a pair"),
        (lambda: fr.GRU(3, 4, zoneout=(0, 0.1)), ValueError, "zoneout of c: contradicts the cell gru"),
        (lambda: fr.RNN(3, 4, leak=1.5), ValueError, r"leak: expected a probability in \[0, 1\)"),
        (lambda: fr.RNN(3, 4, leak="fixed"), ValueError, "leak: expected 'learned' or 'shared'"),
        (lambda: fr.RNN(3, 4, leak=[0.1, 0.2]), ValueError, "leak: expected a number or 4 of them, got 2"),
        (lambda: fr.RNN(3, 4, leak=0.1, proj_size=2), ValueError, "proj_size: contradicts leak"),
        (lambda: fr.LSTM(3, 4, proj_size=4), ValueError, "proj_size: expected less than hidden_size"),
        (lambda: fr.LSTM(3, 4, proj_size=-1), ValueError, "proj_size: expected 0 or more, got -1"),
        (lambda: fr.LSTM(3, 4, proj_size=0.5), TypeError, "proj_size: expected an integer, got float"),
        (
            lambda: fr.GRU(3, 4, reset_after=False, proj_size=2),
            ValueError,
            "proj_size: contradicts reset_after=False",
        ),
        (lambda: fr.LSTM(3, 4, merge="sum"), ValueError, "merge='sum': contradicts one direction"),
        (lambda: fr.LSTM(3, 4, merge="max"), ValueError, "merge: expected one of 'concat', 'sum', 'mean'"),
        (lambda: fr.LSTM(3, 4, reverse=True, bidirectional=True), ValueError, "reverse: contradicts"),
        (lambda: fr.LSTM(3, 4, cell_clip=-1.0), ValueError, "cell_clip: expected a number above 0"),
        (lambda: fr.LSTM(3, 4, gate_activation="sin"), ValueError, "gate_activation: expected one of"),
        (lambda: fr.LSTM(3, 4, reverse=True).stream(), ValueError, "stream: a reversed layer needs"),
    ],
)
def test_options_that_do_not_fit(make_layer, error, text):
    with pytest.raises(error, match=text):
        make_layer()


def test_arguments_that_do_not_fit_a_variant():
    rnn = fr.LSTM(3, 5, proj_size=2, seed=0)
    x = np.ones((4, 2, 3), np.float32)
    with pytest.raises(ValueError, match=r"state\[1\]: expected \[1, 2, 5\], got \[1, 2, 2\]"):
        rnn(x, (np.zeros((1, 2, 2), "f"), np.zeros((1, 2, 2), "f")))
    with pytest.raises(ValueError, match="context: expected None"):
        rnn(x, context=x)
    with pytest.raises(ValueError, match="context: expected None"):
        fr.LSTM(3, 5)(x, context=x)
    with pytest.raises(
        ValueError, match=r"context: expected \[2, 4\], or one of each step, \[4, 2, 4\], got None"
    ):
        fr.LSTM(3, 5, context_size=4)(x)
    with pytest.raises(ValueError, match=r"context: expected \[2, 4\], or one of each .*, got \[2, 3\]"):
        fr.LSTM(3, 5, context_size=4)(x, context=np.zeros((2, 3), "f"))
    with pytest.raises(TypeError, match=r"state: expected the tuple \(h, c, past\), got 2 arrays"):
        fr.LSTM(3, 5, skip=2)(x, (x, x))
    with pytest.raises(ValueError, match=r"dy: expected \[4, 2, 2\], got \[4, 2, 5\]"):
        rnn.backward(rnn.forward(x)[2], np.zeros((4, 2, 5), "f"))
    stream = rnn.stream(2)
    state = stream.state
    for wrong in (np.zeros((2, 4), "f"), np.zeros((3, 3), "f")):
        with pytest.raises(ValueError, match="x: expected"):
            stream.step(wrong)
    with pytest.raises(ValueError, match=r"row: expected 0 .. 1, got 2"):
        stream.leave(2)
    assert bits(*stream.state) == bits(*state)
    with pytest.raises(ValueError, match="row: expected none, as only one is left, got 0"):
        rnn.stream().leave(0)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("given", [(), ("lengths", "reset", "state")])
def test_teacher_forcing(given, hidden):
    """Compare with a free run by hand in which targets replace outputs, and with central differences."""
    net = fr.Jordan(4, 5, 3, output_activation="tanh", hidden_recurrence=hidden, dtype="float64", seed=1)
    x, more = batch(net, given)
    random = np.random.default_rng(2)
    targets = random.normal(size=(*x.shape[:2], 3))
    y, last, tape = net.forward(x, targets=targets, **more)
    stream = net.stream(x.shape[1])
    stream.state = more.get("state")
    lengths = more.get("lengths", np.full(x.shape[1], len(x)))
    for t, x_t in enumerate(x):
        state = [part.copy() for part in parts_of(stream.state)]
        if t > 0:
            state[0][0] = targets[t - 1]
        if "reset" in more:
            for part, first in zip(state, parts_of(more["state"]), strict=True):
                part[:, more["reset"][t]] = first[:, more["reset"][t]]
        stream.state = tuple(state) if hidden else state[0]
        running = t < lengths
        np.testing.assert_allclose(y[t, running], stream.step(x_t)[running], rtol=1e-12, atol=1e-12)
    assert np.array_equal(parts_of(last)[0][0], targets[lengths - 1, np.arange(len(lengths))])
    dy = random.normal(size=y.shape)

    def loss():
        return float((net.forward(x, targets=targets, **more)[0] * dy).sum())

    dx, dstate = net.backward(tape, dy)
    assert_slope(loss, x, dx, random)
    for part, gradient in zip(parts_of(more.get("state", ())), parts_of(dstate), strict=False):
        assert_slope(loss, part, gradient, random)
    for parameter, gradient in net.gradients.items():
        with net.parameters.edit() as views:
            assert_slope(loss, views[parameter], gradient, random)
    whole = net.gradients.flat.copy()
    net.zero_gradients()
    segmented, ends, tape = net.forward(x, targets=targets, checkpoint_every=2, **more)
    assert bits(segmented, *parts_of(ends)) == bits(y, *parts_of(last))
    back, first = net.backward(tape, dy)
    for one, two in zip(
        (whole, dx, *parts_of(dstate)), (net.gradients.flat, back, *parts_of(first)), strict=True
    ):
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["jordan masks", "jordan norm of all", "jordan zoneout"])
def test_teacher_forcing_with_masks_gives_the_same_gradients_in_segments(name):
    net = make(name)
    x, more = batch(net, BATCHES["all"], steps=9)
    more["targets"] = np.random.default_rng(2).normal(size=(*x.shape[:2], net.output_size))
    results = []
    for every in (None, 4):
        net.zero_gradients()
        y, last, tape = training_pass(net, x, more | {"checkpoint_every": every})
        dx, dstate = net.backward(tape, np.cos(y), last)
        results.append([y, *parts_of(last), dx, *parts_of(dstate), net.gradients.flat.copy()])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-12)


def test_targets_that_do_not_fit():
    x = np.ones((4, 2, 3), np.float32)
    with pytest.raises(ValueError, match=r"targets: expected \[4, 2, 2\], got \[3, 2, 2\]"):
        fr.Jordan(3, 5, 2).forward(x, targets=np.zeros((3, 2, 2), "f"))
    with pytest.raises(ValueError, match=r"targets: expected \[4, 2, 2\], got \[4, 2, 3\]"):
        fr.Jordan(3, 5, 2)(x, targets=x)
    with pytest.raises(ValueError, match="targets: contradict reverse"):
        fr.Jordan(3, 5, 2, reverse=True)(x, targets=x[:, :, :2])
    assert repr(fr.Jordan(3, 5, 2, output_activation="tanh", reverse=True)) == (
        "Jordan(3, 5, 2, output_activation='tanh', reverse=True)"
    )


def test_the_tape_counts_what_options_keep():
    x = np.zeros((10, 3, 4), np.float32)

    def scalars(**options):
        return fr.LSTM(4, 6, **options).forward(x)[2].nbytes / x.itemsize / 30

    assert scalars(peephole=True) == 6 * 6  # h, c and four gates
    assert scalars(proj_size=2) == 6 * 6 + 2  # and q, as h has two units
    assert scalars(layer_norm=True) == 10 * 6 + 2  # and the recurrent part, and two scales
