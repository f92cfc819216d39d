"""Layer normalisation is that of Ba, Kiros and Hinton (2016), and peepholes are Gers's or the course notes'.

The formulas are written out here once more, with nothing from the package.
"""

import numpy as np
import pytest

import fastrnn as fr

T, N, D, H = 5, 3, 4, 6


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def LN(z, alpha, beta=0.0):
    """LN(z; alpha, beta) of the supplement, with the 1e-5 of the authors' code."""
    mu = z.mean(axis=1, keepdims=True)
    sigma = np.sqrt(((z - mu) ** 2).mean(axis=1, keepdims=True) + 1e-5)
    return alpha * (z - mu) / sigma + beta


def made(kind, **options):
    """Return a layer with random parameters, its parameters without suffix, and x, h, c."""
    rnn = kind(D, H, dtype="float64", seed=0, **options)
    random = np.random.default_rng(1)
    with rnn.parameters.edit() as views:
        for view in views.values():
            view[...] += random.normal(size=view.shape) * 0.5
    p = {name.removesuffix("_l0"): np.array(value) for name, value in rnn.parameters.items()}
    return rnn, p, random.normal(size=(T, N, D)), random.normal(size=(N, H)), random.normal(size=(N, H))


def test_of_a_vanilla_network_is_equation_4():
    rnn, p, x, h, _ = made(fr.RNN, layer_norm=True)
    y, _ = rnn(x, h[None])
    for x_t, y_t in zip(x, y, strict=True):
        a = h @ p["weight_hh"].T + x_t @ p["weight_ih"].T
        h = np.tanh(LN(a, p["gain"], p["bias_ih"] + p["bias_hh"]))
        np.testing.assert_allclose(y_t, h, rtol=1e-12, atol=1e-13)


def test_of_an_lstm_is_equations_20_to_22():
    rnn, p, x, h, c = made(fr.LSTM, layer_norm=True)
    y, _ = rnn(x, (h[None], c[None]))
    for x_t, y_t in zip(x, y, strict=True):
        gates = LN(h @ p["weight_hh"].T, p["gain_hh"], p["bias_hh"])
        gates = gates + LN(x_t @ p["weight_ih"].T, p["gain_ih"], p["bias_ih"])
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(LN(c, p["gain_c"], p["bias_c"]))
        np.testing.assert_allclose(y_t, h, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("reset_after", [True, False])
def test_of_a_gru_normalises_the_candidate_alone(reset_after):
    """The GRU of the supplement on skip-thoughts; its z is 1 - z here."""
    rnn, p, x, h, _ = made(fr.GRU, layer_norm=True, reset_after=reset_after)
    both, last = slice(2 * H), slice(2 * H, 3 * H)

    def normed(v, end, rows):
        return LN(v @ p[f"weight_{end}"][rows].T, p[f"gain_{end}"][rows], p[f"bias_{end}"][rows])

    y, _ = rnn(x, h[None])
    for x_t, y_t in zip(x, y, strict=True):
        r, z = np.split(sigmoid(normed(h, "hh", both) + normed(x_t, "ih", both)), 2, axis=1)
        product = r * normed(h, "hh", last) if reset_after else normed(r * h, "hh", last)
        h = z * h + (1 - z) * np.tanh(normed(x_t, "ih", last) + product)
        np.testing.assert_allclose(y_t, h, rtol=1e-12, atol=1e-13)


def test_of_a_cell_is_that_of_pytorchs_layer_norm(torch):
    rnn, p, x, h, _ = made(fr.RNN, layer_norm=True)
    norm = torch.nn.LayerNorm(H, dtype=torch.float64)
    norm.load_state_dict(
        {"weight": torch.tensor(p["gain"]), "bias": torch.tensor(p["bias_ih"] + p["bias_hh"])}
    )
    sums = torch.tensor(h @ p["weight_hh"].T + x[0] @ p["weight_ih"].T)
    wanted = norm(sums).tanh().detach().numpy()
    np.testing.assert_allclose(rnn(x[:1], h[None])[0][0], wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("peephole", [True, "gers", "previous"])
def test_the_output_gate_sees_the_new_cell_state_or_the_one_before(peephole):
    rnn, p, x, h, c = made(fr.LSTM, peephole=peephole)
    p_i, p_f, p_o = p["weight_peephole"]
    y, _ = rnn(x, (h[None], c[None]))
    for x_t, y_t in zip(x, y, strict=True):
        sums = x_t @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
        i, f, g, o = np.split(sums, 4, axis=1)
        before = c
        c = sigmoid(f + p_f * before) * before + sigmoid(i + p_i * before) * np.tanh(g)
        h = sigmoid(o + p_o * (before if peephole == "previous" else c)) * np.tanh(c)
        np.testing.assert_allclose(y_t, h, rtol=1e-12, atol=1e-13)


def test_peephole_true_is_gerss():
    assert fr.LSTM(2, 3, peephole=True).options == fr.LSTM(2, 3, peephole="gers").options
    assert fr.LSTM(2, 3, peephole=False).options == fr.LSTM(2, 3).options
    assert repr(fr.LSTM(2, 3, peephole="previous")) == "LSTM(2, 3, peephole='previous')"
