"""Weights in course notes' conventions."""

import numpy as np
import pytest

import fastrnn as fr

H, D = 5, 3


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def notes(gates):
    random = np.random.default_rng(3)
    weights = {f"W{gate}": random.normal(size=(H, H + D)) for gate in gates}
    return weights | {f"b{gate}": random.normal(size=(H, 1)) for gate in gates}


def gate(weights, letter, state, x):
    return weights[f"W{letter}"] @ np.concatenate([state, x]) + weights[f"b{letter}"][:, 0]


def test_vanilla():
    weights = notes("a")
    rnn = fr.RNN(D, H, dtype="float64")
    rnn.load_state_dict(fr.interop.from_notes("rnn", weights))
    x, a = np.random.default_rng(0).normal(size=(4, 1, D)), np.zeros(H)
    for x_t, y_t in zip(x, rnn(x)[0], strict=True):
        a = np.tanh(gate(weights, "a", a, x_t[0]))
        np.testing.assert_allclose(y_t[0], a, rtol=1e-12)


def test_gru():
    weights = notes("urc")
    rnn = fr.GRU(D, H, reset_after=False, dtype="float64")
    rnn.load_state_dict(fr.interop.from_notes("gru", weights))
    x, c = np.random.default_rng(0).normal(size=(4, 1, D)), np.zeros(H)
    for x_t, y_t in zip(x, rnn(x)[0], strict=True):
        u, r = (sigmoid(gate(weights, letter, c, x_t[0])) for letter in "ur")
        n = np.tanh(gate(weights, "c", r * c, x_t[0]))
        c = u * n + (1 - u) * c
        np.testing.assert_allclose(y_t[0], c, rtol=1e-12)


@pytest.mark.parametrize("output_activation", ["tanh", "identity"])
def test_lstm(output_activation):
    weights = notes("ufoc")
    rnn = fr.LSTM(D, H, dtype="float64", output_activation=output_activation)
    rnn.load_state_dict(fr.interop.from_notes("lstm", weights))
    x, a, c = np.random.default_rng(0).normal(size=(4, 1, D)), np.zeros(H), np.zeros(H)
    for x_t, y_t in zip(x, rnn(x)[0], strict=True):
        u, f, o = (sigmoid(gate(weights, letter, a, x_t[0])) for letter in "ufo")
        c = u * np.tanh(gate(weights, "c", a, x_t[0])) + f * c
        a = o * (np.tanh(c) if output_activation == "tanh" else c)
        np.testing.assert_allclose(y_t[0], a, rtol=1e-12)


def lstm_step(weights, a, c, x, *, previous):
    """Make a step of the LSTM of the notes, with a relevance gate and peepholes where they have weights."""
    peep = {g: weights[f"P{g}"][:, 0] * c if f"P{g}" in weights else 0.0 for g in "uf"}
    u, f = (sigmoid(gate(weights, g, a, x) + peep[g]) for g in "uf")
    r = sigmoid(gate(weights, "r", a, x)) if "Wr" in weights else 1.0
    before, c = c, u * np.tanh(gate(weights, "c", r * a, x)) + f * c
    peephole = weights["Po"][:, 0] * (before if previous else c) if "Po" in weights else 0.0
    return sigmoid(gate(weights, "o", a, x) + peephole) * np.tanh(c), c


@pytest.mark.parametrize("peephole", [False, True, "previous"])
@pytest.mark.parametrize("relevance", [False, True])
def test_an_lstm_with_a_relevance_gate_and_peepholes(relevance, peephole):
    weights = notes("ufcor" if relevance else "ufco")
    if peephole:
        weights |= {f"P{g}": np.random.default_rng(i).normal(size=(H, 1)) for i, g in enumerate("ufo")}
    rnn = fr.LSTM(D, H, dtype="float64", relevance=relevance, peephole=peephole)
    rnn.load_state_dict(fr.interop.from_notes("lstm", weights))
    x, a, c = np.random.default_rng(0).normal(size=(4, 1, D)), np.zeros(H), np.zeros(H)
    for x_t, y_t in zip(x, rnn(x)[0], strict=True):
        a, c = lstm_step(weights, a, c, x_t[0], previous=peephole == "previous")
        np.testing.assert_allclose(y_t[0], a, rtol=1e-12)


LAYERS = {
    "rnn": ("rnn", lambda **more: fr.RNN(D, H, **more), "a"),
    "gru": ("gru", lambda **more: fr.GRU(D, H, reset_after=False, **more), "urc"),
    "lstm": ("lstm", lambda **more: fr.LSTM(D, H, **more), "ufoc"),
    "lstm with all": ("lstm", lambda **more: fr.LSTM(D, H, relevance=True, peephole=True, **more), "rufoc"),
}
FORMS = [("stacked", "U"), ("split", "U"), ("separate", "U"), ("separate", "W")]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("form", "recurrent"), FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_was_converted_comes_back_to_the_last_bit(name, form, recurrent, dtype):
    """From the notes and back, also a negative zero; and from a layer and back: its results."""
    cell, make, gates = LAYERS[name]
    rnn = make(dtype=dtype, seed=0)
    first = fr.interop.to_notes(rnn, form=form, recurrent=recurrent)
    biases = "b" if "b" in first else f"b{gates[0]}"
    first[biases][:2, 0] = 0.0, -0.0
    rnn.load_state_dict(fr.interop.from_notes(cell, first))
    again = fr.interop.to_notes(rnn, form=form, recurrent=recurrent)
    assert list(again) == list(first)
    assert [again[key].tobytes() for key in first] == [value.tobytes() for value in first.values()]
    assert all(value.dtype == dtype for value in again.values())

    rnn, other = make(dtype=dtype, seed=1), make(dtype=dtype)
    other.load_state_dict(
        fr.interop.from_notes(cell, fr.interop.to_notes(rnn, form=form, recurrent=recurrent))
    )
    x = np.random.default_rng(2).normal(size=(6, 3, D)).astype(dtype)
    assert other(x)[0].tobytes() == rnn(x)[0].tobytes()


@pytest.mark.parametrize("name", LAYERS)
def test_each_form_has_the_names_and_shapes_of_its_notes(name):
    _, make, gates = LAYERS[name]
    rnn = make()
    stacked, split, separate = (fr.interop.to_notes(rnn, form=form) for form, _ in FORMS[:3])
    other = fr.interop.to_notes(rnn, form="separate", recurrent="W")
    peepholes = {f"P{g}" for g in "ufo"} if name == "lstm with all" else set()
    letters = [""] if name == "rnn" else gates
    assert set(stacked) - peepholes == {f"{k}{g}" for g in gates for k in "Wb"}
    assert set(split) - peepholes == {f"{k}" for g in gates for k in (f"W{g}a", f"W{g}x", f"b{g}")}
    assert set(separate) - peepholes == {f"{k}{g}" for g in letters for k in "UWb"}
    for g, letter in zip(gates, letters, strict=True):
        assert stacked[f"W{g}"].shape == (H, H + D)
        assert stacked[f"b{g}"].shape == (H, 1)
        both = np.concatenate([split[f"W{g}a"], split[f"W{g}x"]], axis=1)
        assert np.array_equal(stacked[f"W{g}"], both)
        assert np.array_equal(separate[f"U{letter}"], split[f"W{g}a"])
        assert np.array_equal(separate[f"W{letter}"], split[f"W{g}x"])
        assert np.array_equal(other[f"W{letter}"], split[f"W{g}a"])


def test_the_vanilla_cell_of_goodfellow_bengio_and_courville():
    random = np.random.default_rng(3)
    W, U, b = random.normal(size=(H, H)), random.normal(size=(H, D)), random.normal(size=H)
    rnn = fr.RNN(D, H, dtype="float64")
    rnn.load_state_dict(fr.interop.from_notes("rnn", {"W": W, "U": U, "b": b}))
    h, x = np.zeros(H), random.normal(size=(4, 1, D))
    for x_t, y_t in zip(x, rnn(x)[0], strict=True):
        h = np.tanh(b + W @ h + U @ x_t[0])
        np.testing.assert_allclose(y_t[0], h, rtol=1e-12)


def test_two_square_matrices_need_to_be_told_apart():
    square = {"U": np.eye(H), "W": 2 * np.eye(H), "b": np.zeros(H)}
    with pytest.raises(
        ValueError, match=r"recurrent: U and W have one shape, \[5, 5\]; pass recurrent='U' for"
    ):
        fr.interop.from_notes("rnn", square)
    for recurrent, factor in (("U", 1), ("W", 2)):
        state = fr.interop.from_notes("rnn", square, recurrent=recurrent)
        assert np.array_equal(state["weight_hh_l0"], factor * np.eye(H))
        assert np.array_equal(state["weight_ih_l0"], (3 - factor) * np.eye(H))


def test_any_layer_and_direction_without_biases_too():
    rnn = fr.LSTM(D, H, num_layers=2, bidirectional=True, bias=False, seed=0)
    found = fr.interop.to_notes(rnn, suffix="_l1_reverse", form="split")
    assert found["Wfx"].shape == (H, 2 * H)
    assert not found["bf"].any()
    state = fr.interop.from_notes("lstm", found, suffix="_l1_reverse")
    for name in ("weight_ih_l1_reverse", "weight_hh_l1_reverse"):
        assert np.array_equal(state[name], rnn.parameters[name])
    with pytest.raises(
        ValueError, match="suffix: expected one of _l0, _l0_reverse, _l1, _l1_reverse, got '_l2'"
    ):
        fr.interop.to_notes(rnn, suffix="_l2")


@pytest.mark.parametrize(
    ("rnn", "error", "text"),
    [
        (fr.GRU(D, H), ValueError, "reset_after: expected False, as the notes reset the state before"),
        (
            fr.LSTM(D, H, coupled=True),
            ValueError,
            "coupled: expected False, as the notes have no such option",
        ),
        (
            fr.RNN(D, H, leak=0.5),
            ValueError,
            "leak: expected None, as the notes have no such option, got 0.5",
        ),
        (fr.RNN(D, H, context_size=2), ValueError, "context_size: expected 0, as the notes have no"),
        (fr.SLSTM(D, H), TypeError, "rnn: expected an RNN, a GRU or an LSTM, got SLSTM"),
        (fr.Stack(fr.RNN(D, H)), TypeError, "rnn: expected an RNN, a GRU or an LSTM, got Stack"),
    ],
)
def test_layers_that_the_notes_cannot_write(rnn, error, text):
    with pytest.raises(error, match=text):
        fr.interop.to_notes(rnn)


@pytest.mark.parametrize(
    ("cell", "weights", "text"),
    [
        ("rnn", {"Waa": np.eye(H), "ba": np.zeros(H)}, r"missing or unknown: \['Wax'\]"),
        ("rnn", {"Waa": np.eye(H), "Wax": np.eye(H + 1), "ba": np.zeros(H)}, r"Wax: expected \[5, columns\]"),
        ("rnn", {"Waa": np.ones((H, D)), "Wax": np.eye(H), "ba": np.zeros(H)}, r"Waa: expected \[5, 5\]"),
        ("lstm", notes("ufoc") | {"Pu": np.zeros(H)}, r"missing or unknown: \['Pf', 'Po'\]"),
        (
            "lstm",
            notes("ufoc") | {f"P{g}": np.zeros((H, H)) for g in "ufo"},
            r"Pu: expected \[5\], got \[5, 5\]",
        ),
        ("gru", notes("urc") | {"Pu": np.zeros(H)}, r"missing or unknown: \['Pu'\]"),
    ],
)
def test_weights_that_do_not_fit_their_form(cell, weights, text):
    with pytest.raises(ValueError, match=text):
        fr.interop.from_notes(cell, weights)


@pytest.mark.parametrize(
    ("cell", "change", "text"),
    [
        ("elman", {}, "cell: expected one of rnn, gru, lstm, got 'elman'"),
        ("rnn", {"Wu": np.zeros((H, H + D))}, r"missing or unknown: \['Wu'\]"),
        ("rnn", {"ba": np.zeros(H + 1)}, r"ba: expected \[5\], got \[6\]"),
        ("rnn", {"Wa": np.zeros((H, H))}, r"Wa: expected \[H, H \+ D\] with D >= 1, got \[5, 5\]"),
    ],
)
def test_what_does_not_fit(cell, change, text):
    with pytest.raises(ValueError, match=text):
        fr.interop.from_notes(cell, notes("a") | change)
