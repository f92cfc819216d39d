"""What a training pass keeps cannot change before its backward pass: read-only results, copied arguments."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import Softmax
from fastrnn.layers.base.kept import frozen, kept
from variant_cases import VARIANTS, batch, make, parts_of, random_state

T, N, D, H = 6, 3, 4, 5
PLAIN = {
    "rnn": lambda: fr.RNN(D, H, 2, seed=0),
    "gru": lambda: fr.GRU(D, H, seed=0),
    "gru before": lambda: fr.GRU(D, H, reset_after=False, seed=0),
    "lstm": lambda: fr.LSTM(D, H, 2, dropout=0.3, seed=0),
    "lstm both ways": lambda: fr.LSTM(D, H, 2, bidirectional=True, dropout=0.3, seed=0),
    "lstm batch first": lambda: fr.LSTM(D, H, batch_first=True, seed=0),
    "slstm": lambda: fr.SLSTM(D, H, seed=0),
}
RECURRENT = {**PLAIN, **{name: lambda name=name: make(name, dtype="float32") for name in VARIANTS}}


def arguments_of(rnn):
    """Make x and all other arguments of a pass, writable."""
    x, more = batch(rnn, ("lengths", "reset", "state"), T, N)
    if rnn.batch_first:
        x, more["reset"] = np.ascontiguousarray(x.swapaxes(0, 1)), np.ascontiguousarray(more["reset"].T)
    return x, more


def normals(seed):
    """Return a function that draws float32 arrays of given sizes."""
    random = np.random.default_rng(seed)
    return lambda *shape: random.normal(size=shape).astype("f")


def spoil(value):
    """Overwrite every array in place."""
    if isinstance(value, np.ndarray):
        value[...] = 1
    elif isinstance(value, (tuple, list)):
        for part in value:
            spoil(part)
    elif isinstance(value, dict):
        for part in value.values():
            spoil(part)


def gradients_of(layer, tape, *gradients):
    layer.gradients.zero()
    results = layer.backward(tape, *gradients)
    flat = [layer.gradients.flat]
    for result in results if isinstance(results, tuple) else (results,):
        flat += [part for part in parts_of(result) if isinstance(part, np.ndarray)]
    return [array.tobytes() for array in flat]


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("name", RECURRENT)
def test_arguments_overwritten_after_forward_leave_the_gradients_as_they_are(name, every, ids):
    found = []
    for overwrite in (False, True):
        rnn = RECURRENT[name]()
        if ids and rnn.options.input_dropout:
            pytest.skip("input_dropout takes no ids")
        x, more = arguments_of(rnn)
        x = np.random.default_rng(0).integers(0, rnn.input_size, x.shape[:2]) if ids else x
        y, _, tape = rnn.forward(x, **more, checkpoint_every=every)
        if overwrite:
            spoil([x, more])
        normal = normals(1)
        found.append(gradients_of(rnn, tape, normal(*y.shape), random_state(rnn, normal, N)))
    assert found[0] == found[1]


@pytest.mark.parametrize("targets", [False, True])
def test_targets_of_a_jordan_network_are_kept_too(targets):
    found = []
    for overwrite in (False, True):
        net = fr.Jordan(D, H, 2, seed=0)
        x, targets = np.ones((T, N, D), "f"), np.full((T, N, 2), 0.5, "f")
        y, _, tape = net.forward(x, targets=targets)
        if overwrite:
            spoil([x, targets])
        found.append(gradients_of(net, tape, np.ones_like(y)))
    assert found[0] == found[1]


@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("name", RECURRENT)
def test_y_of_a_training_pass_cannot_be_written_to_and_that_of_a_call_can(name, every):
    rnn = RECURRENT[name]()
    x, more = arguments_of(rnn)
    y, state, _tape = rnn.forward(x, **more, checkpoint_every=every)
    with pytest.raises(ValueError, match="read-only"):
        y *= 2
    for part in parts_of(state):
        part += 1  # the last state is not kept
    y, state = rnn(x, **more)
    y *= 2
    spoil(list(parts_of(state)))
    assert x.flags.writeable


@pytest.mark.parametrize("name", RECURRENT)
def test_every_array_of_a_tape_is_read_only(name):
    rnn = RECURRENT[name]()
    x, more = arguments_of(rnn)
    tape = rnn.forward(x, **more)[2]
    for layer in tape.layers:
        arrays = [layer.x, layer.y, layer.c, layer.gates, layer.lengths, layer.reset, *layer.state]
        arrays += (layer.options or {}).values()
        assert not any(array is not None and array.flags.writeable for array in arrays)
    assert not any(mask is not None and mask.flags.writeable for mask in tape.dropout)


def test_results_of_another_layer_and_read_only_arrays_are_not_copied():
    one, two = fr.LSTM(40, 50, seed=0), fr.GRU(50, 30, seed=0)
    x = np.ones((30, 4, 40), "f")
    x.flags.writeable = False
    y, _, tape = one.forward(x)
    assert tape.layers[0].x is x
    assert two.forward(y)[2].layers[0].x is y
    view = np.ones((30, 4, 40), "f")
    seen = view[:]
    seen.flags.writeable = False
    assert one.forward(seen)[2].layers[0].x is not seen  # view can still be written to


@pytest.mark.parametrize("shape", [(3,), (40, 50), (0, 4), (2, 3, 700)])
@pytest.mark.parametrize("dtype", ["f", "d", np.int64, np.bool_])
def test_kept_copies_what_somebody_can_write_to(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    copy = kept("x", array)
    assert copy is not array
    assert copy.tobytes() == array.tobytes()
    assert copy.dtype == array.dtype
    assert copy.shape == shape
    assert not copy.flags.writeable
    assert kept("x", copy) is copy
    assert kept("x", copy[1:]).base is not None
    assert not kept("x", copy[1:]).flags.writeable
    owned = frozen(array.copy())
    assert kept("x", owned) is owned
    memory = np.frombuffer(bytes(8), dtype="f")
    assert kept("x", memory) is memory
    changing = np.frombuffer(bytearray(8), dtype="f")
    changing.flags.writeable = False
    assert kept("x", changing) is not changing


@pytest.mark.parametrize("connect", ["plain", "residual", "dense"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stack_keeps_its_arguments(connect, batch_first):
    found = []
    widths = (D, D + D, D + D + D) if connect == "dense" else (D, D, D)
    for overwrite in (False, True):
        layers = [fr.LSTM(width, D, batch_first=batch_first, seed=i) for i, width in enumerate(widths)]
        stack = fr.Stack(*layers, connect=connect, dropout=0.3, seed=0)
        random = np.random.default_rng(0)
        x = random.normal(size=(T, N, D)).astype("f")
        state = tuple((np.ones((1, *x.shape[1:2], D), "f"),) * 2 for _ in layers) if not batch_first else None
        y, _, tape = stack.forward(x, state)
        with pytest.raises(ValueError, match="read-only"):
            y += 1
        if overwrite:
            spoil([x, state])
        found.append(gradients_of(stack, tape, random.normal(size=y.shape).astype("f")))
        stack(x)[0][...] = 1
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: fr.Linear(D, H, seed=0),
        lambda: Softmax(D, H, seed=0),
        lambda: fr.Head(D, [7, 6], H, dropout=0.2, seed=0),
        lambda: fr.Head(D, [], H, seed=0),
        lambda: fr.Embedding(D, H, seed=0),
    ],
)
def test_layers_without_time_keep_their_arguments(layer):
    found = []
    for overwrite in (False, True):
        module = layer()
        random = np.random.default_rng(0)
        x = random.normal(size=(T, N, D)).astype("f")
        x = random.integers(0, D, (T, N)) if isinstance(module, fr.Embedding) else x
        y, tape = module.forward(x)
        with pytest.raises(ValueError, match="read-only"):
            y += 1
        if overwrite:
            spoil(x)
        found.append(gradients_of(module, tape, np.ones_like(y)))
        module(x)[...] = 1
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: fr.Linear(D, H, seed=0),
        lambda: fr.Linear(37, 70, False, dtype="float64", seed=0),
        lambda: fr.Head(D, [7, 6], H, seed=0),
        lambda: fr.LSTM(D, H, 2, seed=0),
        lambda: fr.LSTM(D, H, peephole=True, layer_norm=True, weight_drop=0.3, seed=0),
        lambda: fr.Stack(fr.GRU(D, H, seed=0), fr.RNN(H, 3, leak="learned", seed=0)),
    ],
)
@pytest.mark.parametrize("within", [False, True])
def test_parameters_changed_after_forward_leave_the_gradients_as_they_are(layer, within):
    found = []
    for change in (False, True):
        module = layer()
        first = module.layers[0] if isinstance(module, fr.Stack) else module
        width = getattr(first, "in_features", None) or getattr(first, "input_size", D)
        x = np.random.default_rng(0).normal(size=(T, N, width)).astype(module.dtype)
        y, *_, tape = module.forward(x)
        with module.parameters.edit() as views:
            if change:
                views.flat[...] = 7
            if within:
                found.append(gradients_of(module, tape, np.ones_like(y)))
        if not within:
            found.append(gradients_of(module, tape, np.ones_like(y)))
    assert found[0] == found[1]


def test_a_linear_layer_refuses_what_is_no_tape_of_a_linear_layer():
    linear = fr.Linear(D, H, seed=0)
    with pytest.raises(TypeError, match="tape: expected the LinearTape that forward returned, got ndarray"):
        linear.backward(np.ones((N, D), "f"), np.ones((N, H), "f"))
