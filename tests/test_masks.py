"""Masks with holes: masked steps carry the state on, in every layer, option and way of running."""

import pickle
import tracemalloc

import numpy as np
import pytest

import fastrnn as fr
from gradient_check import assert_gradient, numeric_slope
from variant_cases import VARIANTS, batch, make, parts_of, random_state

T, N = 7, 5
REPEATED_AND_ZERO = pytest.mark.parametrize("zero", [False, True], ids=["repeated", "zero"])


def drawn_mask(lengths=None):
    """Draw a mask: a row without a counted step, one full, one padded on the left, others with holes."""
    mask = np.random.default_rng(8).random((T, N)) < 0.5
    mask[:, 0], mask[:, 1], mask[:, 2] = False, True, np.arange(T) >= 3
    mask[1:4, 3] = [True, False, True]
    return mask if lengths is None else mask & (np.arange(T)[:, None] < lengths)


def masked_batch(rnn, given=("lengths", "state")):
    x, more = batch(rnn, given, T, N)
    if "lengths" in more:
        more["lengths"][1:4] = T
    return x, more, drawn_mask()


@REPEATED_AND_ZERO
@pytest.mark.parametrize("name", VARIANTS)
def test_each_row_gives_the_bits_of_its_counted_steps_alone(name, zero):
    rnn = make(name, layers=2)
    x, more, mask = masked_batch(rnn)
    y, state = rnn(x, mask=mask, zero_masked=zero, **more)
    counted = drawn_mask(more["lengths"])
    for n in range(N):
        at = counted[:, n].nonzero()[0]
        own = {"state": tuple(part[:, n : n + 1] for part in parts_of(more["state"]))}
        own["state"] = own["state"] if isinstance(more["state"], tuple) else own["state"][0]
        if "context" in more:
            context = more["context"]
            own["context"] = context[n : n + 1] if context.ndim == 2 else context[at, n : n + 1]
        alone, last = rnn(x[at, n : n + 1], **own)
        np.testing.assert_array_equal(y[at, n], alone[:, 0])
        for whole, one in zip(parts_of(state), parts_of(last), strict=True):
            np.testing.assert_array_equal(whole[:, n], one[:, 0])
        if zero:
            assert not y[~counted[:, n], n].any()


@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_are_central_differences(name, every):
    rnn = make(name, layers=2)
    zero = every is not None
    given = ("lengths", "state") if rnn.directions == 2 else ("lengths", "reset", "state")
    x, more, mask = masked_batch(rnn, given)
    masking = {"mask": mask, "zero_masked": zero, "checkpoint_every": every}
    random = np.random.default_rng(9)

    def run():
        rnn.rng = np.random.default_rng(1)
        return rnn.forward(x, **masking, **more)

    y, _, tape = run()
    dy = random.normal(size=y.shape)
    dlast = random_state(rnn, lambda *shape: random.normal(size=shape), N)

    def loss():
        y, last, _ = run()
        return (y * dy).sum() + sum(
            (a * b).sum() for a, b in zip(parts_of(last), parts_of(dlast), strict=True)
        )

    into = {"dcontext": np.zeros_like(more["context"])} if "context" in more else {}
    dx, dstate = rnn.backward(tape, dy, dlast, **into)
    assert not dx[~drawn_mask(more["lengths"])].any()
    arrays = [(x, dx), *zip(parts_of(more["state"]), parts_of(dstate), strict=True)]
    arrays += [(more["context"], into["dcontext"])] if into else []
    for array, gradient in arrays:
        direction = random.choice([-1.0, 1.0], size=array.shape)
        wanted = numeric_slope(loss, array, direction, step=1e-6)
        assert abs((gradient * direction).sum() - wanted) <= 2e-6 * max(1.0, abs(gradient).sum())
    with rnn.parameters.edit() as views:
        wanted = {name: random.choice([-1.0, 1.0], size=view.shape) for name, view in views.items()}

    def shifted(step):
        with rnn.parameters.edit() as views:
            for name, view in views.items():
                view[...] += step * wanted[name]
        return loss()

    above, below = shifted(1e-6), shifted(-2e-6)
    got = sum((rnn.gradients[name] * wanted[name]).sum() for name in wanted)
    scale = sum(abs(rnn.gradients[name]).sum() for name in wanted)
    assert abs(got - (above - below) / 2e-6) <= 2e-6 * max(1.0, scale)


@REPEATED_AND_ZERO
@pytest.mark.parametrize("every", [1, 3, 20])
@pytest.mark.parametrize("name", ["lstm norm of all", "mean of variants", "reverse variant", "jordan masks"])
def test_segments_give_the_bits_of_one_pass(name, every, zero):
    rnn = make(name, dtype="float32", layers=2)
    x, more, mask = masked_batch(rnn)
    results = []
    for checkpoint in (None, every):
        rnn.rng = np.random.default_rng(1)
        rnn.gradients.zero()
        y, _, tape = rnn.forward(x, mask=mask, zero_masked=zero, checkpoint_every=checkpoint, **more)
        dx, dstate = rnn.backward(tape, np.ones_like(y))
        results.append([y, dx, *parts_of(dstate), *map(np.array, rnn.gradients.values())])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["lstm masks", "mean of variants", "reverse variant", "both ways"])
def test_a_mask_of_the_lengths_changes_no_bit(name):
    rnn = make(name, dtype="float32", layers=2)
    x, more, _ = masked_batch(rnn)
    mask = np.arange(T)[:, None] < more["lengths"]
    results = []
    for masking in ({}, {"mask": mask}, {"mask": np.ones_like(mask)}, {"mask": mask, "zero_masked": True}):
        rnn.rng = np.random.default_rng(1)
        rnn.gradients.zero()
        y, state, tape = rnn.forward(x, **more, **masking)
        dx, dstate = rnn.backward(tape, np.ones_like(y))
        arrays = [y, *parts_of(state), dx, *parts_of(dstate), *map(np.array, rnn.gradients.values())]
        results.append(arrays)
        assert masking == {} or tape.packing.times is None  # x was read where it lies
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_stands_at_masked_steps_is_not_read():
    x, mask = np.random.default_rng(0).normal(size=(T, N, 3)), drawn_mask()
    rnn = fr.GRU(3, 4, bidirectional=True, dtype="float64", seed=0)
    poor = np.where(mask[:, :, None], x, np.nan)
    np.testing.assert_array_equal(rnn(x, mask=mask)[0], rnn(poor, mask=mask)[0])
    y, _, tape = rnn.forward(poor, mask=mask)
    dx, _ = rnn.backward(tape, np.ones_like(y))
    assert np.isfinite(dx).all()
    assert all(np.isfinite(gradient).all() for gradient in rnn.gradients.values())


@pytest.mark.parametrize(
    "mask", [drawn_mask(), np.arange(T)[:, None] < [0, 7, 3, 4, 7]], ids=["holes", "end"]
)
def test_ids_at_masked_steps_are_not_read(mask):
    ids = np.random.default_rng(0).integers(0, 3, (T, N))
    rnn = fr.LSTM(3, 4, seed=0)
    y, _, tape = rnn.forward(np.where(mask, ids, 10**9), mask=mask)
    np.testing.assert_array_equal(y, rnn(ids, mask=mask)[0])
    rnn.backward(tape, np.ones_like(y))
    got = np.array(rnn.gradients["weight_ih_l0"])
    rnn.gradients.zero()
    rnn.backward(rnn.forward(ids, mask=mask)[2], np.ones_like(y))
    np.testing.assert_array_equal(got, rnn.gradients["weight_ih_l0"])


def test_outputs_of_masked_steps_repeat_those_before_in_the_direction():
    net = fr.RNN(1, 1, bidirectional=True, nonlinearity="relu", bias=False, dtype="float64", seed=0)
    with net.parameters.edit() as views:
        for name, view in views.items():
            view[...] = 1.0 if "ih" in name else 0.0
    x = np.array([9.0, 1.0, 9.0, 2.0, 9.0])[:, None]
    mask = np.array([False, True, False, True, False])
    assert net(x, mask=mask)[0].T.tolist() == [[0, 1, 1, 2, 2], [1, 1, 2, 2, 0]]
    assert net(x, mask=mask, zero_masked=True)[0].T.tolist() == [[0, 1, 0, 2, 0], [0, 1, 0, 2, 0]]


def test_after_a_rows_length_nothing_is_repeated():
    rnn = fr.LSTM(3, 4, seed=0)
    x, mask = np.ones((4, 1, 3), np.float32), np.array([[True], [False], [False], [False]])
    y, _ = rnn(x, lengths=[2], mask=mask)
    assert np.array_equal(y[1], y[0])
    assert not y[2:].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_reset_at_a_masked_step_is_one_at_the_next_counted_step(reverse):
    rnn = fr.GRU(3, 4, reverse=reverse, seed=0)
    x, mask = np.random.default_rng(0).normal(size=(6, 1, 3)).astype("f"), np.array([1, 0, 1, 0, 0, 1]) == 1
    reset, moved = np.zeros((2, 6, 1), np.bool_)
    reset[3] = moved[2 if reverse else 5] = True
    y, state = rnn(x, reset=reset, mask=mask[:, None])
    wanted, last = rnn(x[mask], reset=moved[mask])
    np.testing.assert_array_equal(y[mask], wanted)
    np.testing.assert_array_equal(state, last)
    assert not np.array_equal(wanted, rnn(x[mask])[0])


def test_a_bidirectional_layer_refuses_a_reset_between_counted_steps():
    rnn = fr.GRU(3, 4, bidirectional=True)
    x, mask = np.zeros((5, 1, 3), np.float32), np.array([[False], [True], [False], [True], [False]])
    at = np.eye(5, dtype=np.bool_)[:, :, None]
    for harmless in (0, 1, 3, 4):
        rnn(x, reset=at[harmless], mask=mask)
    with pytest.raises(
        ValueError, match=r"reset: expected false .* got true at \[2, 0\]; set it at a counted"
    ):
        rnn(x, reset=at[2], mask=mask)


@pytest.mark.parametrize("at", [0, 4])
def test_a_reset_outside_the_counted_steps_changes_neither_direction(at):
    rnn, r = fr.GRU(3, 4, bidirectional=True, seed=0), np.random.default_rng(0)
    x, state = r.normal(size=(5, 1, 3)).astype("f"), r.normal(size=(2, 1, 4)).astype("f")
    mask, reset = np.array([[False], [True], [True], [True], [False]]), np.zeros((5, 1), np.bool_)
    reset[at] = True
    for one, wanted in zip(rnn(x, state, reset=reset, mask=mask), rnn(x, state, mask=mask), strict=True):
        np.testing.assert_array_equal(one, wanted)


@REPEATED_AND_ZERO
def test_batch_first_and_one_sequence_give_the_same_bits(zero):
    x, mask = np.random.default_rng(0).normal(size=(T, N, 3)).astype("f"), drawn_mask()
    rnn, other = (fr.LSTM(3, 4, 2, bidirectional=True, batch_first=order, seed=0) for order in (False, True))
    y, state, tape = rnn.forward(x, mask=mask, zero_masked=zero)
    dx, _ = rnn.backward(tape, y)
    swapped, same, tape = other.forward(x.swapaxes(0, 1), mask=mask.T, zero_masked=zero)
    np.testing.assert_array_equal(swapped.swapaxes(0, 1), y)
    np.testing.assert_array_equal(same, state)
    np.testing.assert_array_equal(other.backward(tape, swapped)[0].swapaxes(0, 1), dx)
    for name, gradient in rnn.gradients.items():
        np.testing.assert_array_equal(other.gradients[name], gradient)
    for n in range(N):
        alone, _, tape = rnn.forward(x[:, n], mask=mask[:, n], zero_masked=zero)
        np.testing.assert_array_equal(alone, y[:, n])
        np.testing.assert_array_equal(rnn.backward(tape, alone)[0], dx[:, n])


@REPEATED_AND_ZERO
@pytest.mark.parametrize("connect", ["plain", "residual", "dense"])
def test_gradients_of_a_stack_are_central_differences(connect, zero):
    first = 3 + 3 if connect == "dense" else 3
    stack = fr.Stack(
        fr.GRU(3, 3, dtype="float64", seed=0), fr.LSTM(first, 3, dtype="float64", seed=1), connect=connect
    )
    x, mask = np.random.default_rng(0).normal(size=(4, 2, 3)), np.array([[0, 1], [1, 1], [0, 0], [1, 0]]) == 1
    y, _, tape = stack.forward(x, mask=mask, zero_masked=zero)
    dy = np.random.default_rng(1).normal(size=y.shape)
    dx, _ = stack.backward(tape, dy)
    assert_gradient(lambda: (dy * stack(x, mask=mask, zero_masked=zero)[0]).sum(), x, dx)


@REPEATED_AND_ZERO
def test_steps_of_a_stream_are_the_whole_sequence(zero):
    x, mask = np.random.default_rng(0).normal(size=(T, N, 3)).astype("f"), drawn_mask()
    for net in (
        fr.LSTM(3, 4, num_layers=2, skip=2, seed=0),
        fr.Stack(fr.GRU(3, 4, seed=0), fr.LSTM(4, 4, seed=1), connect="residual"),
        fr.Sequential(fr.LSTM(3, 4, seed=0), fr.Linear(4, 2, seed=0)),
        fr.Jordan(3, 5, 2, hidden_recurrence=True, seed=0),
    ):
        y, _ = net(x, mask=mask, zero_masked=zero)
        stream = net.stream(N)
        poor = np.where(mask[:, :, None], x, np.float32("nan"))
        steps = [stream.step(x_t, mask=m, zero_masked=zero) for x_t, m in zip(poor, mask, strict=True)]
        np.testing.assert_array_equal(steps, y)
    stream = fr.RNN(3, 4, seed=0).stream(2)
    stream.step([0, 1])
    before = stream.state
    stream.step([2, 10**9], mask=[True, False], out=np.empty((2, 4), np.float32))
    assert (stream.state == before).all(axis=(0, 2)).tolist() == [False, True]
    with pytest.raises(ValueError, match=r"mask: expected \[2\], got \[3\]"):
        stream.step([0, 1], mask=[True, False, True])


def test_training_a_sequential_with_a_mask():
    net = fr.Sequential(fr.GRU(3, 4, dtype="float64", seed=0), fr.Linear(4, 2, dtype="float64", seed=0))
    x, mask = np.random.default_rng(0).normal(size=(4, 2, 3)), np.array([[0, 1], [1, 1], [0, 0], [1, 0]]) == 1
    y, _, tape = net.forward(x, mask=mask)
    dx, _ = net.backward(tape, np.ones_like(y))
    assert_gradient(lambda: net(x, mask=mask)[0].sum(), x, dx)


def test_the_tape_is_that_of_the_packed_batch():
    rnn = fr.LSTM(3, 4, seed=0)
    x, mask = np.random.default_rng(0).normal(size=(T, N, 3)).astype("f"), drawn_mask()
    mask[2, 1] = False
    y, _, tape = rnn.forward(x, mask=mask, zero_masked=True)
    packed = tape.layers[0]
    assert tape.steps == mask.sum(axis=0).max() < T
    assert packed.lengths.tolist() == mask.sum(axis=0).tolist()
    np.testing.assert_array_equal(packed.x[: packed.lengths[3], 3], x[mask[:, 3], 3])
    np.testing.assert_array_equal(tape.packing.unpack("y", packed.y), y)
    assert not packed.x.flags.writeable
    every = fr.layers.StateGradients.of(tape)
    dx, _ = rnn.backward(tape, np.ones_like(y), state_gradients=every)
    assert every.h.shape == (1, tape.steps, N, 4)
    twin, kept = pickle.loads(pickle.dumps((rnn, tape)))
    np.testing.assert_array_equal(twin.backward(kept, np.ones_like(y))[0], dx)
    segments = rnn.forward(x, mask=mask, zero_masked=True, checkpoint_every=2)[2]
    twin, kept = pickle.loads(pickle.dumps((rnn, segments)))
    np.testing.assert_array_equal(twin.backward(kept, np.ones_like(y))[0], dx)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_batch_without_counted_steps_returns_the_initial_state(bidirectional):
    rnn = fr.LSTM(3, 4, bidirectional=bidirectional, learn_state=True, seed=0)
    mask = np.zeros((2, 5), np.bool_)
    for steps, rows in ((2, 5), (0, 5), (2, 0)):
        x = np.zeros((steps, rows, 3), np.float32)
        y, state, tape = rnn.forward(x, mask=mask[:steps, :rows])
        assert not y.any()
        for part, name in zip(state, ("initial_h", "initial_c"), strict=True):
            assert (part == rnn.parameters[name][:, None]).all()
        dx, dstate = rnn.backward(tape, np.ones_like(y), tuple(np.ones_like(part) for part in state))
        assert not dx.any()
        assert all((part == 1).all() for part in dstate)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_masked_pass_copies_its_input_once(batch_first):
    rnn = fr.RNN(200, 1, batch_first=batch_first, seed=0)
    x = np.ones((200, 40, 200), np.float32)
    mask = np.random.default_rng(0).random((200, 40)) < 0.9
    mask[:, 0] = True  # the packed batch has as many steps
    for run in (rnn, rnn.forward):
        run(x, mask=mask)
        tracemalloc.start()
        run(x, mask=mask)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 1.5 * x.nbytes


def test_teacher_forcing_reads_the_target_of_the_counted_step_before():
    net = fr.Jordan(3, 5, 2, seed=0)
    random, mask = np.random.default_rng(0), np.array([True, False, True, False, True])
    x, targets = random.normal(size=(5, 1, 3)).astype("f"), random.normal(size=(5, 1, 2)).astype("f")
    y, _ = net(x, targets=targets, mask=mask[:, None])
    np.testing.assert_array_equal(y[mask], net(x[mask], targets=targets[mask])[0])


@pytest.mark.parametrize(
    ("mask", "kind", "message"),
    [
        (np.ones((2, 4)), TypeError, "mask: expected bool, got float64"),
        (np.ones((4, 2), np.bool_), ValueError, r"mask: expected \[2, 4\], got \[4, 2\]"),
        (np.ones(2, np.bool_), ValueError, r"mask: expected \[2, 4\], got \[2\]"),
        ("all", TypeError, "mask: expected an array, got str"),
    ],
)
def test_wrong_masks_are_refused(mask, kind, message):
    rnn = fr.RNN(3, 4)
    for run in (rnn, rnn.forward):
        with pytest.raises(kind, match=message):
            run(np.zeros((2, 4, 3), np.float32), mask=mask)
    with pytest.raises(TypeError, match="zero_masked: expected"):
        rnn(np.zeros((2, 4, 3), np.float32), mask=np.ones((2, 4), np.bool_), zero_masked="no")


def test_pytorch_on_rows_packed_by_hand(torch):
    rnn = fr.LSTM(3, 4, num_layers=2, bidirectional=True, seed=0)
    peer = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    peer.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in rnn.state_dict().items()})
    x, mask = np.random.default_rng(0).normal(size=(T, N, 3)).astype("f"), drawn_mask()
    y, state, tape = rnn.forward(x, mask=mask, zero_masked=True)
    dx, _ = rnn.backward(tape, y)
    for n in range(1, N):
        rows = torch.from_numpy(x[mask[:, n], n]).requires_grad_()
        wanted, (h, c) = peer(rows)
        (wanted**2).sum().div(2).backward()
        np.testing.assert_allclose(y[mask[:, n], n], wanted.detach(), atol=1e-6)
        np.testing.assert_allclose(state[0][:, n], h.detach(), atol=1e-6)
        np.testing.assert_allclose(state[1][:, n], c.detach(), atol=1e-6)
        np.testing.assert_allclose(dx[mask[:, n], n], rows.grad, atol=1e-6)
    for name, weight in peer.named_parameters():
        np.testing.assert_allclose(rnn.gradients[name], weight.grad, atol=2e-5)
