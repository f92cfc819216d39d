"""Saturated units and gates: counts of every cell, ragged batches, errors."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn as fr

GATES = {
    "rnn": (lambda: fr.RNN(3, 4, seed=0), {"h": (-1, 1)}),
    "rnn relu": (lambda: fr.RNN(3, 4, nonlinearity="relu", seed=0), {"h": (0, None)}),
    "rnn leak": (lambda: fr.RNN(3, 4, leak=0.5, seed=0), {"n": (-1, 1)}),
    "rnn linear": (lambda: fr.RNN(3, 4, nonlinearity="identity", seed=0), {"n": (None, None)}),
    "gru": (lambda: fr.GRU(3, 4, seed=0), {"r": (0, 1), "z": (0, 1), "n": (-1, 1)}),
    "gru before": (
        lambda: fr.GRU(3, 4, reset_after=False, seed=0),
        {"r": (0, 1), "z": (0, 1), "n": (-1, 1)},
    ),
    "lstm": (lambda: fr.LSTM(3, 4, seed=0), {"i": (0, 1), "f": (0, 1), "g": (-1, 1), "o": (0, 1)}),
    "lstm coupled": (
        lambda: fr.LSTM(3, 4, coupled=True, relevance=True, candidate_activation="relu", seed=0),
        {"i": (0, 1), "g": (0, None), "o": (0, 1), "r": (0, 1)},
    ),
    "slstm": (lambda: fr.SLSTM(3, 4, seed=0), {"i": (0, 1), "f": (0, 1), "z": (-1, 1), "o": (0, 1)}),
    "mingru": (lambda: fr.MinGRU(3, 4, seed=0), {"z": (0, 1), "n": (None, None)}),
    "minlstm": (lambda: fr.MinLSTM(3, 4, seed=0), {"f": (0, 1), "i": (0, 1), "n": (None, None)}),
    "jordan": (lambda: fr.Jordan(3, 4, 2, seed=0), {"n": (-1, 1)}),
}


@pytest.mark.parametrize("name", GATES)
def test_shares_are_counts_over_the_real_steps(name):
    make, gates = GATES[name]
    layer = make()
    with layer.parameters.edit() as views:
        for view in views.values():
            view[...] *= 3
    x = np.random.default_rng(1).normal(size=(30, 3, 3)).astype("float32")
    lengths = np.array([30, 7, 0])
    tape = layer.forward(x, lengths=lengths)[2]
    found = fr.inspect.saturation(layer, tape, 0.8)[0]
    assert list(found) == list(gates)
    real = np.arange(30)[:, None] < lengths
    for k, (gate, (low, high)) in enumerate(gates.items()):
        if tape.layers[0].gates is None:
            values = tape.layers[0].y[real]
        else:
            values = tape.layers[0].gates[:, :, k][real]
            values = np.exp(values) if (name, gate) == ("slstm", "f") else values
        lower = values <= 0 if (low, high) == (0, None) else values < (-0.8 if low == -1 else 0.2)
        if low is None:
            assert np.isnan(found[gate].low).all()
            assert np.isnan(found[gate].either).all()
        else:
            np.testing.assert_allclose(found[gate].low, lower.mean(axis=0))
            assert (found[gate].either >= found[gate].low).all()
        if high is None:
            assert np.isnan(found[gate].high).all()
        else:
            np.testing.assert_allclose(found[gate].high, (values > 0.8).mean(axis=0))
    assert any(gate.either.max() > 0 for gate in found.values()) or gates in ({"n": (None, None)},)


def test_every_layer_and_direction_has_its_own_shares():
    layer = fr.GRU(3, 4, num_layers=2, bidirectional=True, seed=0)
    tape = layer.forward(np.zeros((5, 2, 3), "float32"))[2]
    found = fr.inspect.saturation(layer, tape)
    assert len(found) == 4
    assert found[3]["z"].low.shape == (4,)


def test_tapes_that_do_not_fit_are_refused():
    layer, other = fr.GRU(3, 4, seed=0), fr.GRU(3, 4, seed=0)
    x = np.zeros((5, 2, 3), "float32")
    tape = layer.forward(x)[2]
    with pytest.raises(ValueError, match="tape: expected one of this layer"):
        fr.inspect.saturation(other, tape)
    with pytest.raises(ValueError, match="tape: expected one of this layer"):
        fr.inspect.state_gradients(other, tape, np.zeros_like(x))
    with pytest.raises(TypeError, match="without checkpoint_every"):
        fr.inspect.saturation(layer, layer.forward(x, checkpoint_every=2)[2])
    with pytest.raises(ValueError, match="threshold: expected"):
        fr.inspect.saturation(layer, tape, 0.4)
    with pytest.raises(TypeError, match=r"layer: expected a recurrent layer.*model.rnn"):
        fr.inspect.saturation(type("Model", (), {"rnn": layer})(), tape)
