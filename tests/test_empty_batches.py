"""Rows of length 0, batches without a row and sequences without a step, in every layer."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import AdaptiveSoftmax, Softmax, TiedSoftmax, activity_penalties
from variant_cases import VARIANTS, batch, make, parts_of, random_state

T, N, D, H = 6, 4, 4, 5
PLAIN = {
    "rnn": (fr.RNN, {}),
    "rnn relu": (fr.RNN, {"nonlinearity": "relu", "num_layers": 3, "dropout": 0.4}),
    "gru": (fr.GRU, {"num_layers": 2}),
    "gru before": (fr.GRU, {"reset_after": False, "bidirectional": True}),
    "lstm": (fr.LSTM, {"num_layers": 2, "bidirectional": True, "dropout": 0.4}),
    "slstm": (fr.SLSTM, {"num_layers": 2}),
}
EVERY = [None, 1, 4]


def make_layer(name, dtype="float64"):
    if name in VARIANTS:
        return make(name, dtype=dtype)
    layer, options = PLAIN[name]
    return layer(D, H, dtype=dtype, seed=3, **options)


def normal_of(rnn, seed=0):
    random = np.random.default_rng(seed)
    return lambda *shape: random.normal(size=shape).astype(rnn.dtype)


def pass_of(rnn, x, more, every=None, seed=2):
    """Run both passes; return their results."""
    rnn.gradients.zero()
    y, last, tape = rnn.forward(x, **more, checkpoint_every=every)
    normal = normal_of(rnn, seed)
    dstate = random_state(rnn, normal, y.shape[1])
    dx, first = rnn.backward(tape, normal(*y.shape), dstate)
    return y, parts_of(last), dx, parts_of(first), parts_of(dstate)


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("name", [*VARIANTS, *PLAIN])
def test_a_row_of_length_0_passes_its_state_and_the_states_gradient_through(name, every):
    rnn = make_layer(name)
    x, more = batch(rnn, ("reset", "state"), T, N)
    more["lengths"] = np.array([0, 4, 0, T])
    x[:, [0, 2]] = np.nan  # padding is never read
    y, last, dx, first, dstate = pass_of(rnn, x, more, every)
    for row in (0, 2):
        assert not y[:, row].any()
        assert not dx[:, row].any()
        for given, after in zip(parts_of(more["state"]), last, strict=True):
            assert np.array_equal(after[:, row], given[:, row])
        for given, before in zip(dstate, first, strict=True):
            assert np.array_equal(before[:, row], given[:, row])
    assert np.isfinite(rnn.gradients.flat).all()
    called, state = rnn(x, **more)
    assert not called[:, 0].any()
    for given, after in zip(parts_of(more["state"]), parts_of(state), strict=True):
        assert np.array_equal(after[:, 0], given[:, 0])


@pytest.mark.parametrize("name", [*VARIANTS, *PLAIN])
def test_rows_of_length_0_change_nothing_for_the_others(name):
    if (name in VARIANTS and make_layer(name).options.random) or "dropout" in PLAIN.get(name, (0, {}))[1]:
        pytest.skip("masks depend on the place in the batch")
    found = []
    for rows in ([1, 3], [0, 1, 2, 3]):
        rnn = make_layer(name, "float32")
        x, more = batch(rnn, ("reset", "state"), T, N)
        more["lengths"] = np.array([0, 4, 0, T])[rows]
        more["reset"] = np.ascontiguousarray(more["reset"][:, rows])
        state = tuple(np.ascontiguousarray(part[:, rows]) for part in parts_of(more["state"]))
        more["state"] = state if isinstance(more["state"], tuple) else state[0]
        if "context" in more:
            more["context"] = np.ascontiguousarray(more["context"][..., rows, :])
        y, _, tape = rnn.forward(np.ascontiguousarray(x[:, rows]), **more)
        dy = np.random.default_rng(1).normal(size=(T, N, y.shape[2])).astype("f")[:, rows]
        dx, _ = rnn.backward(tape, dy)
        kept = slice(None) if len(rows) == 2 else [1, 3]
        found.append([y[:, kept].tobytes(), dx[:, kept].tobytes(), rnn.gradients.flat.tobytes()])
    assert found[0] == found[1]


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize(
    ("steps", "rows", "lengths"), [(0, 3, None), (T, 0, None), (0, 0, None), (T, 3, 0), (0, 3, 0)]
)
@pytest.mark.parametrize("name", [*VARIANTS, *PLAIN])
def test_without_a_step_the_state_and_its_gradient_pass_through(name, steps, rows, lengths, every):
    rnn = make_layer(name)
    x, more = batch(rnn, ("reset", "state"), steps, rows)
    if lengths is not None:
        more["lengths"] = np.zeros(rows, int)
    ids = np.zeros((steps, rows), int)
    for given in (x, x.tolist(), ids) if every is None and not rnn.options.input_dropout else (x,):
        if isinstance(given, list) and not x.size:
            continue  # a list without numbers has no shape
        y, last, dx, first, dstate = pass_of(rnn, given, more, every)
        assert y.shape == (steps, rows, rnn.output_size)
        assert not y.any()
        assert (dx is None) == (given is ids)
        assert dx is None or (dx.shape == x.shape and not dx.any())
        assert not rnn.gradients.flat.any()
        for before, after in zip(parts_of(more["state"]), last, strict=True):
            assert before.tobytes() == after.tobytes()
            assert before.shape == after.shape
        for before, after in zip(dstate, first, strict=True):
            assert before.tobytes() == after.tobytes()
            assert before.shape == after.shape
        y, state = rnn(given, **more)
        assert y.shape == (steps, rows, rnn.output_size)
        assert [part.tobytes() for part in parts_of(state)] == [p.tobytes() for p in parts_of(more["state"])]
    more["state"] = None
    _, state = rnn(x, **more)
    if not rnn.options.learn_state:
        assert not any(part.any() for part in parts_of(state))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("connect", ["plain", "residual", "dense"])
def test_a_stack_takes_empty_batches_and_rows(connect, batch_first):
    widths = (D, D + D) if connect == "dense" else (D, D)
    layers = [fr.GRU(width, D, batch_first=batch_first, dropout=0.0, seed=0) for width in widths]
    stack = fr.Stack(*layers, connect=connect, dropout=0.2, seed=0)
    for steps, rows in ((0, 3), (T, 0), (0, 0), (T, 2)):
        shape = (rows, steps) if batch_first else (steps, rows)
        lengths = np.zeros(rows, int)
        for given in (None, lengths) if (steps, rows) != (T, 2) else (lengths,):
            y, state, tape = stack.forward(np.ones((*shape, D), "f"), None, given)
            dstate = tuple(np.ones_like(part) for part in state)
            dx, first = stack.backward(tape, np.ones_like(y), dstate)
            assert y.shape == dx.shape == (*shape, D)
            assert all(np.array_equal(part, np.ones_like(part)) for part in first)
            assert connect != "plain" or not y.any()
            assert stack(np.ones((*shape, D), "f"), None, given)[0].shape == y.shape


def test_layers_without_time_take_empty_batches():
    embedding = fr.Embedding(D, H, seed=0)
    sparse = fr.Embedding(D, H, seed=0, sparse=True)
    for shape in ((0,), (0, 3), (3, 0)):
        for layer in (
            fr.Linear(D, H, seed=0),
            Softmax(D, H, seed=0),
            fr.Head(D, [3], H, dropout=0.2, seed=0),
        ):
            y, tape = layer.forward(np.zeros((*shape, D), "f"))
            assert y.shape == (*shape, H)
            assert layer(np.zeros((*shape, D), "f")).shape == (*shape, H)
            assert layer.backward(tape, np.zeros_like(y)).shape == (*shape, D)
            assert not layer.gradients.flat.any()
        for table in (embedding, sparse):
            y, tape = table.forward(np.zeros(shape, int))
            assert y.shape == (*shape, H)
            table.backward(tape, np.zeros_like(y))
    h, targets = np.zeros((0, H), "f"), np.zeros(0, int)
    outputs = (Softmax(H, 9, seed=0), TiedSoftmax(embedding), AdaptiveSoftmax(H, 9, [3], seed=0))
    for output in outputs:
        assert output.losses(h, targets).shape == (0,)
        losses, dh = output.losses_and_gradients(h, targets)
        assert losses.shape == (0,)
        assert dh.shape == (0, H)
        assert output(h).shape == (0, output.out_features)


def test_a_loss_without_a_target_is_refused():
    with pytest.raises(ValueError, match="targets: expected at least one that counts, got none"):
        fr.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
    model = fr.LanguageModel(5, hidden_size=4, seed=0)
    for shape in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="targets: expected at least one"):
            model.loss(np.zeros(shape, int), np.zeros(shape, int))
        with pytest.raises(ValueError, match="targets: expected at least one"):
            model.loss_and_gradients(np.zeros(shape, int), np.zeros(shape, int))


@pytest.mark.parametrize("options", [{}, {"embedding_size": 3, "dropout": 0.3}])
def test_a_row_of_length_0_adds_nothing_to_the_loss_of_a_language_model(options):
    ids = np.array([[1, 2, 3], [2, 3, 4], [3, 4, 1]])
    found = []
    for rows, lengths in (([0, 1, 2], [3, 0, 2]), ([0, 2], [3, 2])):
        model = fr.LanguageModel(5, hidden_size=4, seed=0, **{**options, "dropout": 0.0})
        given = np.ascontiguousarray(ids[:, rows])
        targets = np.where(np.arange(3)[:, None] < lengths, given, -1)
        losses = [model.loss(given, targets, lengths=lengths)[0]]
        losses.append(model.loss_and_gradients(given, targets, lengths=lengths)[0])
        found.append([*losses, model.gradients.flat.tobytes()])
    assert found[0] == found[1]


def test_penalties_count_no_step_of_a_row_of_length_0():
    y = np.random.default_rng(0).normal(size=(T, 3, H))
    loss, dy = activity_penalties(y, [4, 0, T], ar=2.0, tar=3.0)
    other, dother = activity_penalties(y[:, [0, 2]], [4, T], ar=2.0, tar=3.0)
    assert loss == pytest.approx(other, rel=1e-14)
    assert np.allclose(dy[:, [0, 2]], dother, rtol=1e-14)
    assert not dy[:, 1].any()
    with pytest.raises(ValueError, match="lengths: expected at least one step, got none"):
        activity_penalties(y, [0, 0, 0], ar=1.0)


def test_lengths_out_of_range_are_refused():
    rnn = fr.RNN(D, H, seed=0)
    with pytest.raises(ValueError, match=r"lengths: expected 0 \.\. 6, got -1 at position 1"):
        rnn(np.zeros((T, 2, D), "f"), lengths=[3, -1])


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_pytorch_takes_a_batch_without_a_row_alike(torch, cell):
    theirs = getattr(torch.nn, cell)(D, H, 2)
    ours = getattr(fr, cell)(D, H, 2)
    y, _ = theirs(torch.zeros(T, 0, D))
    assert ours(np.zeros((T, 0, D), "f"))[0].shape == tuple(y.shape)
