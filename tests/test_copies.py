"""Copies and pickles of streams and tapes."""

import copy
import pickle

import numpy as np
import pytest

import fastrnn as fr
from variant_cases import VARIANTS, batch, make, parts_of, random_state

T, N, D, H = 6, 3, 4, 5
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


def streams():
    yield fr.LSTM(D, H, 2, seed=0).stream(2)
    yield fr.GRU(D, H, skip=2, learn_state=True, seed=0).stream(2)
    yield fr.RNN(D, H, context_size=2, seed=0).stream(2, context=np.ones((2, 2), "f"))
    yield fr.Stack(fr.GRU(D, D, seed=0), fr.LSTM(D, H, seed=1), connect="plain").stream(2)
    yield fr.LanguageModel(D, hidden_size=H, seed=0).stream(2)
    yield fr.LanguageModel(D, hidden_size=H, embedding_size=3, length_model="halt", seed=0).stream(2)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("index", range(6))
def test_a_copied_stream_goes_on_by_itself_with_the_same_bits(index, how):
    stream = list(streams())[index]
    for ids in ([0, 1], [2, 3]):
        stream.step(ids)
    twin = COPIES[how](stream)
    assert type(twin) is type(stream)
    assert twin.batch_size == 2
    if index == 5:
        assert np.array_equal(twin.halt_probability, stream.halt_probability)
    first = twin.step([1, 1]).tobytes()
    twin.step([3, 0])  # does not move the stream
    assert stream.step([1, 1]).tobytes() == first
    stream.step([3, 0])
    assert stream.step([0, 2]).tobytes() == twin.step([0, 2]).tobytes()


@pytest.mark.parametrize("how", COPIES)
def test_a_copied_stream_shares_its_layer_and_others_bring_their_own(how):
    rnn = fr.LSTM(D, H, seed=0)
    stream = rnn.stream()
    stream.step(1)
    twin = COPIES[how](stream)
    with rnn.parameters.edit() as views:
        views.flat[...] = 0.5
    assert (stream.step(2).tobytes() == twin.step(2).tobytes()) == (how == "copy")


def test_a_stream_copied_together_with_its_layer_belongs_to_the_copy():
    rnn = fr.GRU(D, H, seed=0)
    for how in ("deepcopy", "pickle"):
        twin, stream = COPIES[how]((rnn, rnn.stream()))
        with twin.parameters.edit() as views:
            views.flat[...] = 0.5
        assert np.array_equal(stream.step(1), twin([[1]])[0][0, 0])


def tape_of(name, every):
    rnn = (
        make(name, dtype="float32")
        if name in VARIANTS
        else fr.LSTM(D, H, 3, bidirectional=True, dropout=0.4, seed=0)
    )
    x, more = batch(rnn, ("lengths", "reset", "state"), T, N)
    if name == "learned state":
        del more["state"]
    y, _, tape = rnn.forward(x, **more, checkpoint_every=every)
    random = np.random.default_rng(1)
    dy = random.normal(size=y.shape).astype("f")
    return rnn, tape, (dy, random_state(rnn, lambda *s: random.normal(size=s).astype("f"), N))


def gradients_of(layer, tape, *gradients):
    layer.gradients.zero()
    dx, first = layer.backward(tape, *gradients)
    arrays = [array for part in parts_of(first) for array in parts_of(part)]
    return [array.tobytes() for array in (dx, *arrays, layer.gradients.flat)]


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("name", [*VARIANTS, "lstm"])
def test_a_copied_tape_gives_the_same_gradients(name, every, how):
    rnn, tape, gradients = tape_of(name, every)
    expected = gradients_of(rnn, tape, *gradients)
    twin = COPIES[how](tape)
    assert twin.nbytes == tape.nbytes
    assert gradients_of(rnn, twin, *gradients) == expected
    both, theirs = COPIES[how]((rnn, tape))
    assert gradients_of(both, theirs, *gradients) == expected


@pytest.mark.parametrize("how", COPIES)
def test_copied_tapes_of_other_layers_give_the_same_gradients(how):
    x = np.random.default_rng(0).normal(size=(T, N, D)).astype("f")
    stack = fr.Stack(fr.GRU(D, D, seed=0), fr.LSTM(D, D, seed=1), connect="residual", dropout=0.3, seed=0)
    y, _, tape = stack.forward(x)
    expected = gradients_of(stack, tape, np.ones_like(y))
    assert gradients_of(stack, COPIES[how](tape), np.ones_like(y)) == expected
    twin, own = COPIES[how]((stack, tape))
    assert gradients_of(twin, own, np.ones_like(y)) == expected
    for layer in (fr.Linear(D, H, seed=0), fr.Head(D, [7], H, dropout=0.3, seed=0)):
        y, tape = layer.forward(x)
        dx = layer.backward(tape, np.ones_like(y))
        assert layer.backward(COPIES[how](tape), np.ones_like(y)).tobytes() == dx.tobytes()


def test_a_tape_of_earlier_parameters_cannot_be_pickled():
    rnn, tape, _ = tape_of("lstm", None)
    rnn.parameters["bias_ih_l0"] = np.ones(4 * H)
    with pytest.raises(ValueError, match="tape: expected the parameters of its forward pass"):
        pickle.dumps(tape)
    assert copy.deepcopy(tape) is tape


def test_a_tape_of_another_layer_is_still_refused():
    _rnn, tape, gradients = tape_of("lstm", None)
    other = fr.LSTM(D, H, 3, bidirectional=True, dropout=0.4, seed=0)
    with pytest.raises(ValueError, match="tape: expected one of this layer, got another layer's"):
        other.backward(tape, *gradients)
