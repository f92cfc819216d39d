"""Inference in bfloat16 and int8: what is rounded, and the same bits on every way."""

import copy
import pickle

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.language.backbone import infer
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
    with_rounded_weights,
)

# --- what is computed


@pytest.mark.parametrize("cell", ["lstm", "rnn-tanh", "rnn-relu"])
def test_weights_inputs_and_h_are_rounded_and_the_rest_is_not(cell):
    rnn = layer(cell, sizes=(D, H))
    twin = with_rounded_weights(rnn)
    x = random(T, N, D)
    y, _ = rnn(x)
    state = None
    for t in range(T):
        expected, state = twin(rounded(x[t : t + 1]), state)
        # Both sum in float32: 2 (D + H) roundings of 2^-24, of sums and gates below 4.
        assert np.abs(y[t] - expected[0]).max() < 4e-5
        h, *c = parts_of(state)
        state = (rounded(h), *c) if c else rounded(h)
    unrounded = copy.deepcopy(rnn)
    unrounded._set_precision("float32")
    assert np.abs(y - unrounded(x)[0]).max() > 2e-4


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_from_numbers_that_are_bfloat16_is_that_of_float32(cell):
    rnn = layer(cell, sizes=(D, H))
    twin = with_rounded_weights(rnn)
    state = state_of(rnn)
    state = tuple(map(rounded, state)) if isinstance(state, tuple) else rounded(state)
    if cell == "gru-before":
        state = state * 0  # r * h' is rounded too
    x = rounded(random(1, N, D))
    assert np.abs(rnn(x, state)[0] - twin(x, state)[0]).max() < 2e-5


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ids_are_one_hot_vectors(precision):
    rnn = layer("gru-after", precision)
    ids = np.array([[0, 3, -1], [10, 2, 5]])
    one_hot = (ids[..., None] == np.arange(D)).astype(np.float32)
    # The only number of a row, 1, is exact in both.
    assert np.abs(rnn(ids)[0] - rnn(one_hot)[0]).max() < 1e-6


def test_ids_take_columns_of_the_rounded_weight():
    rnn = layer("lstm", sizes=(D, H))
    ids = np.array([[0, 3, -1]])
    usual = copy.deepcopy(rnn)
    usual._set_precision("float32")
    y = rnn(ids)[0]
    assert np.abs(y - with_rounded_weights(rnn)(ids)[0]).max() < 1e-6 < np.abs(y - usual(ids)[0]).max()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_results_are_near_those_of_float32(cell, precision):
    rnn = layer(cell, precision)
    usual = copy.deepcopy(rnn)
    usual._set_precision("float32")
    x = random(T, N, D)
    y, expected = rnn(x)[0], usual(x)[0]
    assert 0 < np.sqrt(np.mean((y - expected) ** 2)) < 0.02 * np.sqrt(np.mean(expected**2))


def test_a_linear_layer_rounds_both_factors_and_no_bias():
    linear = fr.Linear(2, 1, **BF16)
    # 257 is between 256 and 258, 1.0078125 a bfloat16; the bias has all of its bits.
    linear.load_state_dict({"weight": [[257.0, 1.0078125]], "bias": [0.1]})
    y = linear(np.array([[1.0, 259.0]], np.float32))
    assert y.tolist() == [[np.float32(256.0 + 260.0 * 1.0078125) + np.float32(0.1)]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(value):
    x = random(4, 3, D)
    x[1, 1, 5] = value
    rnn, linear = layer("rnn-relu", sizes=(D, H)), fr.Linear(D, H, seed=0, **BF16)
    for y in (rnn(x)[0], linear(x)):
        finite = np.isfinite(y).all(axis=2)
        assert not finite[1, 1]
        assert finite[:, 0].all()
        assert finite[0].all()


# --- the same bits


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("ids", [False, True])
def test_steps_of_a_stream_and_chunks_are_one_call(cell, precision, ids):
    rnn = layer(cell, precision)
    x = np.random.default_rng(0).integers(-1, D, (T, N)) if ids else random(T, N, D)
    y, state = rnn(x)
    stream = rnn.stream(N)
    assert bits(np.stack([stream.step(x_t) for x_t in x])) == bits(y)
    assert bits(stream.state) == bits(state)
    first, between = rnn(x[:3])
    second, last = rnn(x[3:], between)
    assert bits(np.concatenate([first, second]), last) == bits(y, state)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_row_does_not_depend_on_its_batch(cell, precision):
    rnn = layer(cell, precision, bidirectional=True)
    x, state = random(T, 9, D), state_of(rnn, 9)
    x[:, 4] *= 1000  # a row that would move a scale of the whole batch
    y, last = rnn(x, state, lengths=[7, 5, 1, 7, 3, 7, 0, 2, 6])
    for row, length in ((0, 7), (1, 5), (2, 1), (8, 6)):
        own = tuple(part[:, row : row + 1] for part in parts_of(state))
        alone, ends = rnn(x[:length, row : row + 1], own if len(own) > 1 else own[0])
        assert bits(y[:length, row]) == bits(alone[:, 0])
        assert [part[:, row].tobytes() for part in parts_of(last)] == [
            part[:, 0].tobytes() for part in parts_of(ends)
        ]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_the_number_of_threads_changes_no_bit(cell, precision):
    rnn = layer(cell, precision, sizes=(64, 96, 2))
    x = random(12, 20, 64)
    before = fr.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            fr.set_num_threads(threads)
            results.append(bits(*rnn(x)))
    finally:
        fr.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_masks_lengths_and_axes_are_other_words_for_the_same_bits(precision):
    rnn = layer("lstm", precision)
    x = random(T, N, D)
    lengths = np.array([7, 4, 2])
    y, last = rnn(x, lengths=lengths)
    mask = np.arange(T)[:, None] < lengths
    assert bits(*rnn(x, mask=mask, zero_masked=True)) == bits(y, last)
    turned = layer("lstm", precision, batch_first=True)
    y_turned, last_turned = turned(x.swapaxes(0, 1), lengths=lengths)
    assert bits(y_turned.swapaxes(0, 1).copy(), last_turned) == bits(y, last)
    alone, _ = rnn(x[:, 0])
    assert bits(alone) == bits(y[:, 0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_reset_starts_the_row_again(precision):
    rnn = layer("gru-after", precision)
    x, state = random(T, N, D), state_of(rnn)
    reset = np.zeros((T, N), bool)
    reset[4, 1] = True
    y, _ = rnn(x, state, reset=reset)
    again, _ = rnn(x[4:], state)
    assert bits(y[4:, 1]) == bits(again[:, 1])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_both_directions_are_two_layers(precision):
    both = layer("gru-after", precision, sizes=(D, H), bidirectional=True)
    x = random(T, N, D)
    y, _ = both(x)
    for at, suffix in enumerate(("", "_reverse")):
        one = layer("gru-after", precision, sizes=(D, H), reverse=at == 1)
        one.load_state_dict({name: both.parameters[name + suffix] for name in one.parameters})
        assert bits(one(x)[0]) == bits(y[..., at * H : (at + 1) * H])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("connect", ["plain", "residual", "dense"])
def test_a_stack_is_its_layers_and_its_stream_its_steps(precision, connect):
    wide = D + H if connect == "dense" else H
    stack = fr.Stack(fr.GRU(D, H, seed=0), fr.SLSTM(wide, H, seed=1), connect=connect)
    stack._set_precision(precision)
    assert [part.precision for part in stack] == [precision, "float32"]
    x = random(T, N, D)
    y, _ = stack(x)
    below, _ = stack[0](x)
    above, _ = stack[1](np.concatenate([x, below], 2) if connect == "dense" else below)
    assert bits(above + below if connect == "residual" else above) == bits(y)
    stream = stack.stream(N)
    assert bits(np.stack([stream.step(x_t) for x_t in x])) == bits(y)
    if precision == "bfloat16":
        assert bits(stack.forward(x)[0]) == bits(y)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_chain_of_layers_streams_what_it_computes(precision):
    net = fr.Sequential(
        fr.Embedding(9, D, seed=0), fr.LSTM(D, H, seed=1), fr.Head(H, [8], 5, seed=2), fr.Linear(5, 3, seed=3)
    )
    net._set_precision(precision)
    ids = np.random.default_rng(0).integers(9, size=(T, N))
    y, _ = net(ids)
    stream = net.stream(N)
    assert bits(np.stack([stream.step(ids_t) for ids_t in ids])) == bits(y)
    if precision == "bfloat16":
        assert bits(net.forward(ids)[0]) == bits(y)


def test_a_stream_follows_its_layer_to_another_precision():
    rnn = layer("lstm", "float32")
    x = random(T, N, D)
    stream = rnn.stream(N)
    for x_t in x[:3]:
        stream.step(x_t)
    rnn._set_precision("bfloat16")
    y, _ = rnn(x[3:], stream.state)
    assert bits(np.stack([stream.step(x_t) for x_t in x[3:]])) == bits(y)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_copied_layer_and_stream_have_the_same_bits(precision, how):
    rnn = layer("gru-after", precision)
    x = random(T, N, D)
    assert bits(*how(rnn)(x)) == bits(*rnn(x))
    stream = rnn.stream(N)
    stream.step(x[0])
    assert bits(how(stream).step(x[1])) == bits(stream.step(x[1]))


# --- int8 is for inference


@pytest.mark.parametrize("cell", CELLS)
def test_int8_is_not_trained(cell):
    with pytest.raises(ValueError, match="int8"):
        layer(cell, "int8").forward(random(T, N, D))


def test_what_is_on_the_grid_is_computed_without_another_rounding():
    rnn = layer("lstm", "int8")
    twin = copy.deepcopy(rnn)
    with twin.parameters.edit() as views:
        for name, view in views.items():
            if name.startswith("weight"):
                scale = np.abs(view).max(axis=1, keepdims=True).astype(np.float64) / 127
                exponent = np.floor(np.log2(scale)) - 15
                scale = np.ceil(scale / 2**exponent) * 2**exponent  # 16 significant bits
                view[...] = np.round(view / scale) * scale
    x = random(T, N, D)
    assert bits(*twin(x)) == bits(*rnn(x))


# --- memory


@pytest.mark.parametrize(("precision", "fraction"), [("bfloat16", 1.0), ("int8", 0.5)])
def test_packed_weights_take_at_most_twice_their_bits(precision, fraction):
    # Panels for the products and rows for ids and gradients; a step reads the panels alone.
    sizes = [
        layer("lstm", p, sizes=(256, 256))._weights.current().packed[0].nbytes for p in ("float32", precision)
    ]
    assert sizes[1] < 1.05 * fraction * sizes[0]


# --- two products in one: the embedding before a layer


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_language_model_looks_vectors_up_and_multiplies_in_its_precision(precision):
    model = fr.LanguageModel(5, embedding_size=D, hidden_size=H, num_layers=1, seed=0)
    model._set_precision(precision)
    ids = np.random.default_rng(0).integers(5, size=(T, N))
    assert bits(*infer(model, ids, None)) == bits(*model.rnn(model.embedding(ids)))
