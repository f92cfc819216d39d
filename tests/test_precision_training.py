"""Training in bfloat16: gradients of rounded factors, the same bits on every way, and tapes."""

import copy
import pickle

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import Softmax, TiedSoftmax
from precision_layers import (
    BF16,
    CELLS,
    PRECISIONS,
    D,
    H,
    N,
    T,
    bits,
    layer,
    parts_of,
    random,
    rounded,
    state_of,
)


def trained(rnn, x, dy, state=None, **options):
    """Return the bits of a pass in training and of its gradients."""
    rnn.zero_grad()
    rnn.rng = np.random.default_rng(5)
    y, last, tape = rnn.forward(x, state, **options)
    dx, dfirst = rnn.backward(tape, dy, None if state is None else state)
    return bits(y, last, dx, dfirst, rnn.gradients.flat)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"dropout": 0.4}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_segments_and_threads_train_with_the_same_bits(cell, options):
    rnn = layer(cell, **options)
    state = state_of(rnn)
    x, dy = random(T, N, D), random(T, N, H * rnn.directions)
    resets = np.zeros((T, N), bool)
    resets[[2, 4], [0, 1]] = True
    given = {"lengths": np.array([7, 4, 2]), "reset": resets}
    before = fr.get_num_threads()
    try:
        whole = trained(rnn, x, dy, state, **given)
        assert trained(rnn, x, dy, state, checkpoint_every=3, **given) == whole
        fr.set_num_threads(2)
        assert trained(rnn, x, dy, state, **given) == whole
    finally:
        fr.set_num_threads(before)


@pytest.mark.parametrize("cell", CELLS)
def test_a_training_pass_computes_what_a_call_does(cell):
    rnn = layer(cell, bidirectional=True)
    x = random(T, N, D)
    lengths = [7, 4, 2]
    y, last, _ = rnn.forward(x, lengths=lengths)
    assert bits(y, last) == bits(*rnn(x, lengths=lengths))


# --- gradients


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_near_those_of_float32_and_are_float32(cell):
    rnn = layer(cell)
    usual = copy.deepcopy(rnn)
    usual._set_precision("float32")
    x, dy = random(T, N, D), random(T, N, H)
    found = []
    for one in (rnn, usual):
        _, _, tape = one.forward(x)
        dx, dstate = one.backward(tape, dy)
        found.append([dx, *parts_of(dstate), *one.gradients.values()])
    for one, expected in zip(*found, strict=True):
        assert one.dtype == np.float32
        # A bfloat16 has 8 bits: each factor is off by at most 2^-9 of itself, in two layers and seven steps.
        # A unit of a relu that is almost 0 may have a slope in one precision and none in the other.
        most = 0.15 if cell == "rnn-relu" else 0.03
        assert 0 < np.linalg.norm(one - expected) < most * np.linalg.norm(expected)


def test_small_gradients_do_not_vanish():
    rnn = layer("lstm", sizes=(D, H))
    x, dy = random(T, N, D), random(T, N, H)
    for scale in (1.0, 2.0**-100):
        rnn.zero_grad()
        _, _, tape = rnn.forward(x)
        dx, _ = rnn.backward(tape, dy * np.float32(scale))
        last = [dx / np.float32(scale), rnn.gradients.flat / np.float32(scale)]
        if scale == 1.0:
            first = last
    for one, two in zip(first, last, strict=True):
        assert np.allclose(one, two, rtol=1e-4, atol=1e-6)  # float16 ends at 2^-24


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradients_of_states_have_the_same_bits_over_segments(cell):
    rnn = layer(cell)
    x, dy = random(T, N, D), random(T, N, H)
    found = []
    for every in (None, 2):
        _, _, tape = rnn.forward(x, checkpoint_every=every)
        into = fr.layers.StateGradients.of(tape)
        _, dfirst = rnn.backward(tape, dy, state_gradients=into)
        found.append(bits(dfirst, into.h, *([] if into.c is None else [into.c])))
        assert np.abs(into.h).min(axis=(0, 2, 3)).max() > 0
    assert found[0] == found[1]


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_trains_on_rounded_factors(bias):
    linear = fr.Linear(D, H, bias, seed=0, **BF16)
    x, dy = random(5, 4, D), random(5, 4, H)
    y, tape = linear.forward(x)
    assert bits(y) == bits(linear(x))
    dx = linear.backward(tape, dy)
    weight = linear.parameters["weight"]
    rows, drows = rounded(x).reshape(-1, D), rounded(dy).reshape(-1, H)
    assert np.allclose(dx.reshape(-1, D), drows @ rounded(weight.copy()), rtol=0, atol=2e-5)
    assert np.allclose(linear.gradients["weight"], drows.T @ rows, rtol=0, atol=2e-5)
    if bias:
        assert np.allclose(linear.gradients["bias"], dy.sum(axis=(0, 1)), rtol=0, atol=1e-5)  # not rounded


def test_a_head_trains_in_its_precision():
    head = fr.Head(D, [H], 5, seed=0, **BF16)
    x, dy = random(6, D), random(6, 5)
    y, tape = head.forward(x)
    assert bits(y) == bits(head(x))
    dx = head.backward(tape, dy)
    usual = fr.Head(D, [H], 5, seed=0)
    _, usual_tape = usual.forward(x)
    expected = usual.backward(usual_tape, dy)
    assert 0 < np.linalg.norm(dx - expected) < 0.03 * np.linalg.norm(expected)


def outputs(precision):
    for make in (lambda: Softmax(D, 50, seed=0), lambda: TiedSoftmax(fr.Embedding(50, D, seed=0))):
        output = make()
        output._set_precision(precision)
        yield output


@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses_are_those_of_the_logits_of_the_precision(precision):
    h, targets = random(40, D), np.random.default_rng(0).integers(-1, 50, 40)
    for output in outputs(precision):
        losses = output.losses(h, targets)
        expected, _ = fr.losses.softmax_cross_entropy(output(h), targets, reduction="none")
        assert np.allclose(losses, expected, rtol=0, atol=1e-5)
        output._set_precision("float32")
        assert not np.allclose(losses, output.losses(h, targets), rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_loss_of_a_row_does_not_depend_on_the_others(precision, monkeypatch):
    h, targets = random(40, D), np.random.default_rng(0).integers(-1, 50, 40)
    for output in outputs(precision):
        losses = output.losses(h, targets)
        assert bits(losses[7:8]) == bits(output.losses(h[7:8], targets[7:8]))
        assert output.losses(h[:0], targets[:0]).shape == (0,)
        with monkeypatch.context() as fewer:
            fewer.setattr("fastrnn.layers.loss.softmax.MOST_LOGITS", 3 * 50 + 7)
            assert bits(losses) == bits(output.losses(h, targets))
        for wrong in (50, -2):
            with pytest.raises(ValueError, match=r"^targets: "):
                output.losses(h, np.full(40, wrong))


def test_gradients_of_a_softmax_are_those_of_rounded_factors():
    h, targets = random(40, D), np.random.default_rng(0).integers(-1, 50, 40)
    for output in outputs("bfloat16"):
        weight_of = output.embedding if isinstance(output, TiedSoftmax) else output
        losses, dh = output.losses_and_gradients(h, targets, scale=0.5)
        assert np.array_equal(losses, output.losses(h, targets))
        _, dlogits = fr.losses.softmax_cross_entropy(output(h), targets, reduction="sum")
        dlogits *= np.float32(0.5)
        weight = rounded(weight_of.parameters["weight"].copy())
        # The probabilities may differ in their last bit, and so fall to the other side of a rounding.
        assert np.allclose(dh, rounded(dlogits) @ weight, rtol=0, atol=4e-3)
        expected = rounded(dlogits).T @ rounded(h)
        assert np.allclose(weight_of.gradients["weight"], expected, rtol=0, atol=4e-3 * np.abs(h).max())
        assert np.allclose(output.gradients["bias"], dlogits.sum(axis=0), rtol=0, atol=1e-5)


# --- tapes belong to their precision


@pytest.mark.parametrize("every", [None, 3])
def test_a_tape_keeps_its_precision(every):
    rnn = layer("lstm")
    x, dy = random(T, N, D), random(T, N, H)
    expected = trained(rnn, x, dy, checkpoint_every=every)
    rnn.zero_grad()
    y, last, tape = rnn.forward(x, checkpoint_every=every)
    rnn._set_precision("float32")
    dx, dfirst = rnn.backward(tape, dy)
    assert bits(y, last, dx, dfirst, rnn.gradients.flat) == expected
    with pytest.raises(ValueError, match=r"^tape: expected the parameters of its forward pass"):
        pickle.dumps((rnn, tape))


def test_a_pickled_tape_brings_its_precision():
    rnn = layer("gru-before")
    x, dy = random(T, N, D), random(T, N, H)
    _, _, tape = rnn.forward(x)
    twin, twin_tape = pickle.loads(pickle.dumps((rnn, tape)))
    assert bits(*twin.backward(twin_tape, dy)) == bits(*rnn.backward(tape, dy))
    assert bits(twin.gradients.flat) == bits(rnn.gradients.flat)


@pytest.mark.parametrize("change", ["nothing", "precision", "parameters", "pickle"])
def test_the_tape_of_a_linear_layer_keeps_its_precision(change):
    x, dy = random(5, D), random(5, H)
    linear = fr.Linear(D, H, seed=0, **BF16)
    _, tape = linear.forward(x)
    expected = bits(linear.backward(tape, dy), linear.gradients.flat)
    linear.zero_grad()
    if change == "precision":
        linear._set_precision("float32")
    elif change == "parameters":
        linear.parameters["weight"] = random(H, D)
    elif change == "pickle":
        tape = pickle.loads(pickle.dumps(tape))
    assert bits(linear.backward(tape, dy), linear.gradients.flat) == expected
