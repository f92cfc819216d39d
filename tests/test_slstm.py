"""The sLSTM against the reference, central differences and PyTorch, and what each cell promises."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers.description import describe, from_description
from fastrnn.layers.recurrent.options import LSTMOptions, SharedOptions
from fastrnn.reference.slstm import slstm_backward, slstm_forward
from gradient_check import assert_gradient

SIZES = [(1, 1), (3, 17), (5, 65), (2, 3)]
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def make(sizes=(5, 17), dtype="float64", scale=3.0, **more):
    """Make a layer whose gates are far from linear."""
    rnn = fr.SLSTM(*sizes, dtype=dtype, seed=0, **more)
    with rnn.parameters.edit() as views:
        for name, view in views.items():
            if not name.startswith("initial"):
                view *= scale
    return rnn


def make_state(rnn, rows, seed=1):
    """Make a state as the layer might return it: n > 0."""
    random = np.random.default_rng(seed)
    places, H = rnn.num_layers * rnn.directions, rnn.hidden_size
    h, c, m = (random.normal(size=(places, rows, H)) for _ in range(3))
    n = random.uniform(0.5, 3.0, size=h.shape)
    return h.astype(rnn.dtype), np.concatenate([c, n, m], axis=2).astype(rnn.dtype)


def make_batch(sizes, mode, T=7, N=4, dtype="float64"):
    random = np.random.default_rng([2, *sizes])
    x = random.normal(size=(T, N, sizes[0])).astype(dtype)
    if "ids" in mode:
        x = random.integers(sizes[0], size=(T, N))
    lengths = np.array([T, 3, 1, T - 1])[:N] if "ragged" in mode else None
    reset = random.random((T, N)) < 0.3 if "reset" in mode else None
    return x, lengths, reset


def gradients_of_state(rnn, rows, seed=3):
    random = np.random.default_rng(seed)
    return tuple(random.normal(size=part.shape).astype(rnn.dtype) for part in make_state(rnn, rows))


def weights_of(arrays, suffix="_l0"):
    return tuple(arrays.get(f"{name}{suffix}") for name in NAMES)


def both_passes(rnn, x, lengths, reset, state=None, **more):
    """Return y, the last state, dx, the first state's gradient and the parameters' gradients."""
    rnn.zero_gradients()
    y, last, tape = rnn.forward(x, state, lengths, reset, **more)
    dy = np.random.default_rng(4).normal(size=y.shape).astype(rnn.dtype)
    dx, first = rnn.backward(tape, dy, gradients_of_state(rnn, y.shape[1]))
    arrays = [y, *last, *first, rnn.gradients.flat.copy()]
    return arrays if dx is None else [*arrays, dx]


def assert_same_bits(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert one.tobytes() == other.tobytes()


MODES = ["dense", "ids", "ragged", "reset", "ids ragged reset"]


@pytest.mark.parametrize("zero", [False, True], ids=["state", "zeros"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_it_is_the_reference(sizes, mode, reverse, zero):
    rnn = make(sizes, reverse=reverse)
    x, lengths, reset = make_batch(sizes, mode)
    state = None if zero else make_state(rnn, 4)
    y, last, tape = rnn.forward(x, state, lengths, reset)
    dy, dlast = np.random.default_rng(4).normal(size=y.shape), gradients_of_state(rnn, 4)
    dx, first = rnn.backward(tape, dy, dlast)

    weights, parts = weights_of(rnn.parameters), None if zero else tuple(part[0] for part in state)
    y_, last_, tape_ = slstm_forward(x, weights, parts, lengths, reset, reverse)
    dx_, first_, dweights = slstm_backward(weights, tape_, dy, tuple(part[0] for part in dlast))
    got = [y, last[0][0], last[1][0], first[0][0], first[1][0], *weights_of(rnn.gradients)]
    for one, other in zip(got, [y_, *last_, *first_, *dweights], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(other).max()))
    np.testing.assert_allclose(tape.layers[0].gates, tape_.gates, rtol=1e-10, atol=1e-10)
    if dx_ is None:
        assert dx is None
    else:
        np.testing.assert_allclose(dx, dx_, rtol=0, atol=1e-10 * max(1.0, np.abs(dx_).max()))


@pytest.mark.parametrize("mode", ["dense", "ragged reset"])
@pytest.mark.parametrize("of", ["y", "last state"])
def test_gradients_are_central_differences(mode, of):
    """By x, h0, c0, n0, m0 and the weights, of the outputs alone and of c, n and m at the end."""
    sizes = (2, 3)
    rnn = make(sizes, num_layers=2, bidirectional=True)
    x, lengths, reset = make_batch(sizes, mode, T=5)
    state, dlast = make_state(rnn, 4), gradients_of_state(rnn, 4)
    dy = np.random.default_rng(4).normal(size=(5, 4, 6)) if of == "y" else np.zeros((5, 4, 6))
    if of == "y":
        dlast = tuple(np.zeros_like(part) for part in dlast)

    def loss():
        y, last = rnn(x, state, lengths, reset)
        return float((dy * y).sum() + sum((d * s).sum() for d, s in zip(dlast, last, strict=True)))

    _, _, tape = rnn.forward(x, state, lengths, reset)
    dx, first = rnn.backward(tape, dy, dlast)
    for array, gradient in zip((x, *state), (dx, *first), strict=True):
        assert_gradient(loss, array, gradient)
    for name in rnn.parameters:
        with rnn.parameters.edit() as views:
            assert_gradient(loss, views[name], rnn.gradients[name])
    if of == "last state":
        assert np.abs(first[1][:, :, 2 * rnn.hidden_size :]).max() > 0.1


def test_gradients_from_a_state_of_zeros_are_central_differences():
    """The first step stores something, whatever m was: h is differentiable there by c0, n0 and m0 too."""
    rnn = make((2, 3), scale=1.0)
    x, _, reset = make_batch((2, 3), "reset", T=5)
    state = (np.zeros((1, 4, 3)), np.zeros((1, 4, 9)))
    dy = np.random.default_rng(4).normal(size=(5, 4, 3))
    _, _, tape = rnn.forward(x, state, None, reset)
    dx, first = rnn.backward(tape, dy)
    for array, gradient in zip((x, *state), (dx, *first), strict=True):
        assert_gradient(lambda: float((dy * rnn(x, state, None, reset)[0]).sum()), array, gradient)
    assert not first[1][:, :, 6:].any()


def test_the_stabiliser_does_not_change_the_output():
    """(c exp(-s), n exp(-s), m + s) is the same memory for any s, and so dm0 = c0 dc0 + n0 dn0."""
    rnn = make((3, 5))
    x, _, _ = make_batch((3, 5), "dense")
    h, memory = make_state(rnn, 4)
    c, n, m = np.split(memory, 3, axis=2)
    y, _, tape = rnn.forward(x, (h, memory))
    for s in (-4.0, 2.5):
        other = np.concatenate([c * np.exp(-s), n * np.exp(-s), m + s], axis=2)
        np.testing.assert_allclose(rnn(x, (h, other))[0], y, rtol=1e-10)
    _, (_, dmemory) = rnn.backward(tape, np.ones_like(y))
    dc, dn, dm = np.split(dmemory, 3, axis=2)
    np.testing.assert_allclose(dm, dc * c + dn * n, rtol=1e-9, atol=1e-12)


def test_gradients_are_pytorchs(torch):
    """The equations, written in PyTorch without a stabiliser, differentiated by autograd."""
    T, N, D, H = 6, 4, 3, 5
    rnn = make((D, H), scale=2.0)
    x, _, _ = make_batch((D, H), "dense", T=T)
    y, _, tape = rnn.forward(x)
    dy = np.random.default_rng(4).normal(size=y.shape)
    dx, _ = rnn.backward(tape, dy)

    x_ = torch.from_numpy(x).requires_grad_()
    w_ih, w_hh, b_ih, b_hh = leaves = [
        torch.from_numpy(np.array(one)).requires_grad_() for one in weights_of(rnn.parameters)
    ]
    h = c = n = torch.zeros(N, H, dtype=torch.float64)
    outputs = []
    for x_t in x_:
        i, f, z, o = (x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
        outputs.append(h)
    y_ = torch.stack(outputs)
    y_.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y, y_.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, x_.grad.numpy(), rtol=1e-9, atol=1e-10)
    for one, leaf in zip(weights_of(rnn.gradients), leaves, strict=True):
        np.testing.assert_allclose(one, leaf.grad.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 33])
@pytest.mark.parametrize("hidden", [65, 129, 131])
def test_one_two_or_three_threads_give_the_same_bits(dtype, rows, hidden):
    rnn = make((65, hidden), dtype, num_layers=2)
    random = np.random.default_rng(5)
    x = random.normal(size=(20, rows, 65)).astype(dtype)
    reset = random.random((20, rows)) < 0.2
    before, results = fr.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fr.set_num_threads(threads)
            results.append(both_passes(rnn, x, None, reset, make_state(rnn, rows)))
    finally:
        fr.set_num_threads(before)
    for other in results[1:]:
        assert_same_bits(other, results[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["dense", "ids"])
@pytest.mark.parametrize("sizes", [(5, 33), (3, 1), (4, 17)], ids=str)
def test_steps_chunks_and_single_rows_give_the_same_bits(dtype, mode, sizes):
    rnn = make(sizes, dtype, num_layers=2)
    x, _, _ = make_batch(sizes, mode, T=11, dtype=dtype)
    state = make_state(rnn, 4)
    y, last = rnn(x, state)
    trained, last_trained, _ = rnn.forward(x, state)
    assert_same_bits([trained, *last_trained], [y, *last])

    first, middle = rnn(x[:4], state)
    second, end = rnn(x[4:], middle)
    assert_same_bits([np.concatenate([first, second]), *end], [y, *last])
    for row in range(4):
        own = slice(row, row + 1)
        alone, _ = rnn(np.ascontiguousarray(x[:, own]), tuple(part[:, own] for part in state))
        assert alone.tobytes() == y[:, own].tobytes()

    stream = rnn.stream(4)
    stream.state = state
    assert np.array([stream.step(x_t) for x_t in x]).tobytes() == y.tobytes()
    assert_same_bits(stream.state, last)


@pytest.mark.parametrize("mode", ["dense", "ragged", "reset", "ids ragged reset"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("every", [1, 3, 7])
def test_gradients_of_segments_are_those_of_one_pass(mode, bidirectional, every):
    """A gradient of the last c, n and m included, which goes from segment to segment."""
    rnn = make((5, 17), num_layers=2, bidirectional=bidirectional)
    x, lengths, reset = make_batch((5, 17), mode)
    state = make_state(rnn, 4)
    whole = both_passes(rnn, x, lengths, reset, state)
    parts = both_passes(rnn, x, lengths, reset, state, checkpoint_every=every)
    for one, other in zip(parts, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
def test_two_directions_are_two_layers_merged(merge):
    x, lengths, _ = make_batch((5, 17), "ragged")
    both = make((5, 17), bidirectional=True, merge=merge)
    y, (h, c) = both(x, lengths=lengths)
    outputs = []
    for i, suffix in enumerate(("_l0", "_l0_reverse")):
        one = fr.SLSTM(5, 17, dtype="float64", reverse=i == 1)
        own = zip(NAMES, weights_of(both.parameters, suffix), strict=True)
        one.load_state_dict({f"{name}_l0": value for name, value in own})
        output, state = one(x, lengths=lengths)
        outputs.append(output)
        assert_same_bits(state, (h[i : i + 1], c[i : i + 1]))
    expected = {"concat": np.concatenate(outputs, axis=2), "sum": sum(outputs), "mean": sum(outputs) / 2}
    assert np.array_equal(y, expected[merge])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_inputs_stay_finite(dtype, size):
    """Gates of +-1e4 in every combination, from the first step on, with gradients."""
    rnn = fr.SLSTM(16, 16, dtype=dtype, seed=0)
    signs = 1 - 2 * (np.arange(16)[:, None] >> np.arange(4) & 1)  # [unit, gate]
    with rnn.parameters.edit() as views:
        views["weight_ih_l0"][...] = 0
        for gate in range(4):
            views["weight_ih_l0"][gate * 16 : (gate + 1) * 16] = signs[:, gate, None]
    x = np.zeros((12, 3, 16), dtype)
    x[:, 0, 0] = size
    x[:, 1, 0] = size * (1 - 2 * (np.arange(12) % 2))
    x[:, 2, 0] = size * np.random.default_rng(6).choice([-1, 0, 1], size=12)
    y, last, tape = rnn.forward(x)
    assert np.abs(y).max() <= 1.0001
    assert last[1][:, :, 16:32].min() >= 1
    dx, dstate = rnn.backward(tape, np.ones_like(y))
    for array in (y, *last, dx, rnn.gradients.flat, dstate[0]):
        assert np.isfinite(array).all()


def test_the_first_output_is_the_candidate_whatever_the_input_gate():
    rnn = make((3, 5), "float32")
    with rnn.parameters.edit() as views:
        views["bias_ih_l0"][:5] = -5000
    y, (_, c), tape = rnn.forward(np.ones((1, 2, 3), np.float32))
    _, _, z, o = tape.layers[0].gates[0].swapaxes(0, 1)
    assert np.array_equal(y[0], o * z)
    assert (c[:, :, 5:10] == 1).all()


def test_a_learned_state_is_trained():
    rnn = make((2, 3), learn_state=True, num_layers=2)
    with rnn.parameters.edit() as views:
        views["initial_c"][...] = make_state(rnn, 1)[1][:, 0]
    assert rnn.parameters["initial_c"].shape == (2, 9)
    x, lengths, reset = make_batch((2, 3), "ragged reset", T=5)
    y, _, tape = rnn.forward(x, None, lengths, reset)
    dy = np.random.default_rng(4).normal(size=y.shape)
    rnn.backward(tape, dy)
    for name in ("initial_h", "initial_c"):
        with rnn.parameters.edit() as views:
            assert_gradient(
                lambda: float((dy * rnn(x, None, lengths, reset)[0]).sum()), views[name], rnn.gradients[name]
            )


@pytest.mark.parametrize("name", sorted(LSTMOptions.__optional_keys__ - SharedOptions.__optional_keys__))
def test_the_options_of_an_lstms_gates_are_not_taken(name):
    with pytest.raises(TypeError, match=f"{name}: not an option of this layer"):
        fr.SLSTM(3, 4, **{name: 0})


def test_zoneout_is_of_h_alone():
    with pytest.raises(ValueError, match="zoneout of c: contradicts the cell slstm"):
        fr.SLSTM(3, 4, zoneout=(0.1, 0.1))


def test_the_cell_with_options_is_the_plain_cell_where_they_do_nothing():
    """A mask of ones: the plain cell's numbers from the cell with options, forward and backward."""
    x, results = np.random.default_rng(0).normal(size=(6, 3, 4)), []
    for rnn in (
        fr.SLSTM(4, 5, dtype="float64", seed=0),
        fr.SLSTM(4, 5, zoneout=1e-300, dtype="float64", seed=0),
    ):
        y, state, tape = rnn.forward(x)
        dx, dstate = rnn.backward(tape, np.cos(y), state)
        results.append([y, *state, dx, *dstate, rnn.gradients.flat])
    for plain, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, plain, rtol=1e-13, atol=1e-14)


def test_descriptions_stacks_and_language_models_have_it():
    rnn = fr.SLSTM(3, 4, num_layers=2, reverse=True, seed=0)
    assert repr(rnn) == "SLSTM(3, 4, num_layers=2, reverse=True)"
    assert repr(from_description(describe(rnn))) == repr(rnn)
    stack = fr.Stack(fr.SLSTM(3, 4, seed=0), fr.LSTM(4, 5, seed=1))
    assert stack(np.ones((6, 2, 3), np.float32))[0].shape == (6, 2, 5)
    model = fr.LanguageModel(7, cell="slstm", hidden_size=8, seed=0)
    assert "SLSTM" in repr(model.rnn)


def test_the_forget_gates_bias_is_set_as_for_an_lstm():
    rnn = fr.SLSTM(3, 2, seed=0)
    fr.init.forget_bias(rnn, 2.0)
    assert rnn.parameters["bias_ih_l0"][2:4].tolist() == [2.0, 2.0]
    assert rnn.parameters["bias_hh_l0"][2:4].tolist() == [0.0, 0.0]
