"""One sequence without the axis N: floats [T, D] or ids [T], in every recurrent layer and in stacks."""

import numpy as np
import pytest

import fastrnn as fr
from variant_cases import VARIANTS, batch, make, parts_of, random_state

T, D, H = 6, 4, 5
LAYERS = {
    "rnn": lambda **o: fr.RNN(D, H, 2, seed=0, **o),
    "gru": lambda **o: fr.GRU(D, H, 2, bidirectional=True, dropout=0.3, seed=0, **o),
    "lstm": lambda **o: fr.LSTM(D, H, 2, dropout=0.3, seed=0, **o),
    "slstm": lambda **o: fr.SLSTM(D, H, seed=0, **o),
    **{name: lambda name=name, **o: make(name, dtype="float32", **o) for name in VARIANTS},
}


def normals(seed):
    """Return a function that draws float32 arrays of given sizes."""
    random = np.random.default_rng(seed)
    return lambda *shape: random.normal(size=shape).astype("f")


def without_rows(value):
    """Return arrays of a state without the axis N."""
    return tuple(part[:, 0] for part in value) if isinstance(value, tuple) else value[:, 0]


def everything(rnn, x, more, dy, dstate, every, dcontext):
    rnn.gradients.zero()
    y, last, tape = rnn.forward(x, **more, checkpoint_every=every)
    given = {} if dcontext is None else {"dcontext": dcontext}
    dx, first = rnn.backward(tape, dy, dstate, **given)
    called, state = rnn(x, **more)
    arrays = [y, *parts_of(last), dx, *parts_of(first), called, *parts_of(state), dcontext]
    return arrays, rnn.gradients.flat.tobytes()


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("name", LAYERS)
def test_one_sequence_without_rows_has_the_bits_of_a_batch_of_one(name, every, batch_first, ids):
    found = []
    for alone in (False, True):
        rnn = LAYERS[name](batch_first=batch_first)
        if ids and rnn.options.input_dropout:
            pytest.skip("input_dropout takes no ids")
        x, more = batch(rnn, ("reset", "state"), T, 1)
        x = np.random.default_rng(0).integers(-1, rnn.input_size, (T, 1)) if ids else x
        normal = normals(1)
        dy, dstate = normal(T, 1, rnn.output_size), random_state(rnn, normal, 1)
        dcontext = np.zeros_like(more["context"]) if "context" in more else None
        if alone:
            x, dy, more["reset"] = x[:, 0], dy[:, 0], more["reset"][:, 0]
            more["state"], dstate = without_rows(more["state"]), without_rows(dstate)
            if dcontext is not None:
                more["context"], dcontext = more["context"][..., 0, :], dcontext[..., 0, :]
        elif batch_first:
            x, dy, more["reset"] = x.swapaxes(0, 1), dy.swapaxes(0, 1), more["reset"].T
            if dcontext is not None and dcontext.ndim == 3:
                more["context"], dcontext = (array.swapaxes(0, 1) for array in (more["context"], dcontext))
        found.append(everything(rnn, x, more, dy, dstate, every, dcontext))
    (batched, flat), (single, own) = found
    assert flat == own
    for one, other in zip(single, batched, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.ndim == other.ndim - 1
            assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("connect", ["plain", "residual", "dense"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stack_takes_one_sequence_without_rows(connect, batch_first):
    found = []
    widths = (D, D + D) if connect == "dense" else (D, D)
    for alone in (False, True):
        layers = [fr.LSTM(width, D, batch_first=batch_first, seed=0) for width in widths]
        stack = fr.Stack(*layers, connect=connect, dropout=0.4, seed=0)
        random = np.random.default_rng(0)
        x, dy = random.normal(size=(2, T, 1, D)).astype("f")
        state = [tuple(random.normal(size=(2, 1, 1, D)).astype("f")) for _ in layers]
        reset = random.random((T, 1)) < 0.3
        if alone:
            x, dy, reset, state = x[:, 0], dy[:, 0], reset[:, 0], [without_rows(part) for part in state]
        elif batch_first:
            x, dy, reset = x.swapaxes(0, 1), dy.swapaxes(0, 1), reset.T
        y, last, tape = stack.forward(x, state, None, reset)
        dx, first = stack.backward(tape, dy, last)
        called, _ = stack(x, state, None, reset)
        assert y.ndim == dx.ndim == called.ndim == x.ndim
        arrays = [y, dx, called, *(part for pair in (*last, *first) for part in pair)]
        found.append([array.tobytes() for array in (*arrays, stack.gradients.flat)])
        assert all(part.ndim == (2 if alone else 3) for pair in last for part in pair)
    assert found[0] == found[1]


def test_a_stack_takes_ids_without_rows():
    stack = fr.Stack(fr.GRU(D, H, seed=0), fr.RNN(H, 3, seed=1))
    y, state = stack([1, 3, -1, 0])
    batched, _states = stack([[1], [3], [-1], [0]])
    assert y.tobytes() == batched.tobytes()
    assert y.shape == (4, 3)
    assert [part.shape for part in state] == [(1, H), (1, 3)]


def test_integers_with_one_or_two_axes_are_ids_and_floats_with_two_are_one_sequence():
    rnn = fr.RNN(3, H, seed=0)
    onehot = np.eye(3, dtype="f")
    ids = [0, 1, 2]
    assert np.array_equal(rnn(ids)[0], rnn(onehot)[0])
    assert rnn([[0, 1, 2]])[0].shape == (1, 3, H)
    assert rnn([[0.0, 1.0, 0.0]])[0].shape == (1, H)
    assert rnn([[[0, 1, 0]]])[0].shape == (1, 1, H)


def zeros(*shape):
    return np.zeros(shape, "f")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r(zeros(T, D), lengths=[T]), "lengths: expected None for an x without the axis N"),
        (lambda r: r(zeros(T, 3)), r"x: expected \[T, 4\], got \[6, 3\]"),
        (lambda r: r(zeros(T)), r"x: expected \[T, N, 4\], got \[6\]"),
        (lambda r: r(zeros(T, D), zeros(1, 1, H)), r"state: expected \[1, 5\], got \[1, 1, 5\]"),
        (lambda r: r(zeros(T, 1, D), zeros(1, H)), r"state: expected \[1, 1, 5\], got \[1, 5\]"),
        (lambda r: r(zeros(T, D), reset=np.zeros((T, 1), bool)), r"reset: expected \[6\], got \[6, 1\]"),
        (lambda r: r.backward(r.forward(zeros(T, D))[2], zeros(T, 1, H)), r"dy: expected \[6, 5\], got"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(fr.RNN(D, H, seed=0))


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_pytorch_computes_the_same(torch, cell):
    theirs = getattr(torch.nn, cell)(D, H, 2, batch_first=True).double()
    ours = getattr(fr, cell)(D, H, 2, batch_first=True, dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=(T, D))
    y, state = ours(x)
    expected, last = theirs(torch.from_numpy(x))
    assert np.allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    for one, other in zip(parts_of(state), parts_of(last), strict=True):
        assert one.shape == tuple(other.shape)
        assert np.allclose(one, other.detach().numpy(), rtol=1e-12, atol=1e-14)
