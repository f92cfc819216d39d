"""Weights in the course notes' convention."""

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
