"""Inputs of other kinds than expected: what is read, and what is refused with the line to write instead."""

import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import AdaptiveSoftmax, Softmax, TiedSoftmax, activity_penalties

T, N, D, H = 5, 2, 3, 4
INPUT = np.zeros((T, N, 2), "f")
#: What reads floats: a function of x [T, N, D], and the argument's name.
READERS = {
    "rnn": (lambda x: fr.LSTM(D, H, seed=0)(x)[0], "x"),
    "forward": (lambda x: fr.GRU(D, H, seed=0).forward(x)[0], "x"),
    "variant": (lambda x: fr.LSTM(D, H, peephole=True, seed=0)(x)[0], "x"),
    "jordan": (lambda x: fr.Jordan(D, H, 2, seed=0)(x)[0], "x"),
    "unbatched": (lambda x: fr.LSTM(D, H, seed=0)(x[:, 0])[0], "x"),
    "batch first": (lambda x: fr.LSTM(D, H, batch_first=True, seed=0)(x)[0], "x"),
    "stack": (lambda x: fr.Stack(fr.GRU(D, H, seed=0))(x)[0], "x"),
    "dense stack": (
        lambda x: fr.Stack(fr.GRU(D, D, seed=0), fr.GRU(2 * D, H, seed=0), connect="dense")(x)[0],
        "x",
    ),
    "stream": (lambda x: fr.LSTM(D, H, seed=0).stream(N).step(x[0]), "x"),
    "stream of one": (lambda x: fr.LSTM(D, H, seed=0).stream().step(x[0, 0]), "x"),
    "stack's stream": (lambda x: fr.Stack(fr.GRU(D, H, seed=0)).stream(N).step(x[0]), "x"),
    "linear": (lambda x: fr.Linear(D, H, seed=0)(x), "x"),
    "linear forward": (lambda x: fr.Linear(D, H, seed=0).forward(x)[0], "x"),
    "head": (lambda x: fr.Head(D, [2], H, seed=0)(x), "x"),
    "softmax": (lambda x: Softmax(D, H, seed=0)(x), "x"),
    "softmax losses": (lambda x: Softmax(D, H, seed=0).losses(x[0], [0, 1]), "h"),
    "softmax gradients": (lambda x: Softmax(D, H, seed=0).losses_and_gradients(x[0], [0, 1])[0], "h"),
    "tied": (lambda x: TiedSoftmax(fr.Embedding(H, D, seed=0)).losses(x[0], [0, 1]), "h"),
    "adaptive": (lambda x: AdaptiveSoftmax(D, 6, [2], seed=0).losses(x[0], [0, 5]), "h"),
    "adaptive gradients": (
        lambda x: AdaptiveSoftmax(D, 6, [2], seed=0).losses_and_gradients(x[0], [0, 5])[0],
        "h",
    ),
    "dy": (lambda x: dy_of(fr.RNN(2, D, seed=0), x), "dy"),
    "linear dy": (lambda x: backward_of(fr.Linear(2, D, seed=0), x), "dy"),
    "embedding dy": (lambda x: backward_of(fr.Embedding(2, D, seed=0), x), "dy"),
    "state": (lambda x: fr.RNN(2, D, seed=0)(np.zeros((1, N, 2), "f"), x[:1])[0], "state"),
    "context": (
        lambda x: fr.RNN(2, 2, context_size=D, seed=0)(np.zeros((1, N, 2), "f"), context=x[0])[0],
        "context",
    ),
    "targets": (lambda x: fr.Jordan(2, 2, D, seed=0)(np.zeros((T, N, 2), "f"), targets=x)[0], "targets"),
}


def backward_of(layer, dy):
    given = np.zeros((T, N), int) if isinstance(layer, fr.Embedding) else INPUT
    layer.backward(layer.forward(given)[1], dy)
    return layer.gradients.flat


def dense_stack():
    return fr.Stack(fr.GRU(D, D, seed=0), fr.GRU(2 * D, H, seed=0), connect="dense")


def dy_of(rnn, dy):
    return rnn.backward(rnn.forward(INPUT)[2], dy)[0]


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(T, N, D)).astype("f")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64"])
@pytest.mark.parametrize("name", READERS)
def test_another_dtype_is_refused_with_the_line_to_write(name, dtype, x):
    read, argument = READERS[name]
    if dtype == "int64" and name in ("unbatched", "stream of one"):
        pytest.skip("integers of one or two axes are ids")
    message = f"{argument}: expected float32, got {dtype}; write {argument}.astype(np.float32)"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        read(x.astype(dtype))


@pytest.mark.parametrize("name", READERS)
def test_a_masked_array_is_refused(name, x):
    read, argument = READERS[name]
    message = f"{argument}: expected no masked array, as its mask would be lost; write {argument}.filled(0)"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        read(np.ma.masked_array(x, x > 0))


def masked(values):
    return np.ma.masked_array(values)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: fr.RNN(D, H)(masked([[1], [2]])), "x"),
        (lambda: fr.RNN(D, H)([masked([[1.0, 2.0, 3.0]])]), "x"),
        (lambda: fr.RNN(D, H)(np.zeros((T, 1, D), "f"), lengths=masked([2])), "lengths"),
        (lambda: fr.RNN(D, H)(np.zeros((1, 1, D), "f"), reset=masked([[True]])), "reset"),
        (lambda: fr.RNN(D, H).stream().step(masked([1])), "x"),
        (lambda: fr.Embedding(D, H)(masked([1])), "ids"),
        (lambda: fr.softmax_cross_entropy(np.zeros((1, D)), masked([1])), "targets"),
        (lambda: fr.softmax_cross_entropy(masked(np.zeros((1, D))), [1]), "logits"),
        (lambda: Softmax(D, H).losses(np.zeros((1, D), "f"), masked([1])), "targets"),
        (lambda: AdaptiveSoftmax(D, H, [2]).losses(np.zeros((1, D), "f"), masked([1])), "targets"),
        (lambda: activity_penalties(masked(np.zeros((T, N, H))), ar=1.0), "y"),
        (lambda: fr.RNN(D, H).parameters.__setitem__("bias_ih_l0", masked(np.zeros(H))), "bias_ih_l0"),
        (
            lambda: fr.Linear(D, H).load_state_dict({"weight": masked(np.zeros((H, D))), "bias": [0] * H}),
            "weight",
        ),
        (lambda: fr.LanguageModel(5, hidden_size=3).loss(masked([[1]]), [[2]]), "inputs"),
        (lambda: fr.LanguageModel(5, hidden_size=3).stream().step(masked([1])), "ids"),
    ],
)
def test_other_arguments_refuse_masked_arrays_too(call, argument):
    with pytest.raises(TypeError, match=f"{argument}: expected no masked array"):
        call()


def test_out_and_dcontext_are_plain_arrays():
    rnn = fr.RNN(D, H, context_size=2, seed=0)
    stream = fr.RNN(D, H, seed=0).stream()
    with pytest.raises(TypeError, match="out: expected a NumPy array of float32, got MaskedArray"):
        stream.step(np.zeros((1, D), "f"), out=masked(np.zeros((1, H), "f")))
    _, _, tape = rnn.forward(np.zeros((T, N, D), "f"), context=np.zeros((N, 2), "f"))
    for wrong in (masked(np.zeros((N, 2), "f")), [[0.0, 0.0]] * N):
        with pytest.raises(TypeError, match="dcontext: expected a NumPy array to add to, got"):
            rnn.backward(tape, np.zeros((T, N, H), "f"), dcontext=wrong)


@pytest.mark.parametrize("name", READERS)
def test_a_tensor_that_requires_its_gradient_is_read_and_one_of_another_dtype_refused(torch, name, x):
    read, argument = READERS[name]
    expected = read(x)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    assert read(tensor).tobytes() == expected.tobytes()
    assert read(torch.nn.Parameter(tensor.detach())).tobytes() == expected.tobytes()
    with pytest.raises(
        TypeError, match=rf"{argument}: expected float32, got float64; write {argument}\.float\(\)"
    ):
        read(tensor.double())
    with pytest.raises(TypeError, match=rf"{argument}: .* got torch.bfloat16; write {argument}\.float\(\)"):
        read(tensor.bfloat16())


def test_a_tensor_written_to_after_forward_leaves_the_gradient_as_it_is(torch, x):
    found = []
    for overwrite in (False, True):
        rnn = fr.RNN(D, H, seed=0)
        tensor = torch.from_numpy(x.copy())
        y, _, tape = rnn.forward(tensor)
        if overwrite:
            tensor.zero_()
        rnn.backward(tape, np.ones_like(y))
        found.append(rnn.gradients.flat.tobytes())
    assert found[0] == found[1]


def test_integers_of_a_step_are_ids_and_a_one_hot_list_is_refused():
    rnn = fr.GRU(D, H, seed=0)
    for rows in (1, 2):
        stream = rnn.stream(rows)
        with pytest.raises(
            ValueError, match=rf"x: expected ids \[{rows}\], got \[3\]. Integers are ids; write"
        ):
            stream.step([0, 1, 0])
        assert not stream.state.any()
    assert np.array_equal(rnn.stream().step([0.0, 1.0, 0.0]), rnn.stream().step(1))
    assert rnn.stream(3).step([0, 1, 0]).shape == (3, H)


def test_an_id_of_minus_one_is_a_vector_of_zeros():
    rnn = fr.GRU(D, H, seed=0)
    y, _ = rnn(np.array([[-1], [1]]))
    zeros = np.zeros((2, 1, D), "f")
    zeros[1, 0, 1] = 1
    assert np.array_equal(y, rnn(zeros)[0])
    assert np.array_equal(rnn.stream().step(-1), y[0, 0])
    assert not fr.Embedding(D, H, seed=0)([-1]).any()
