"""Layers in each precision, and arrays for them: what the tests of their passes share."""

from __future__ import annotations

import copy

import numpy as np

import fastrnn as fr

BF16 = {"precision": "bfloat16"}
CELLS = {
    "lstm": (fr.LSTM, {}),
    "gru-after": (fr.GRU, {}),
    "gru-before": (fr.GRU, {"reset_after": False}),
    "rnn-tanh": (fr.RNN, {}),
    "rnn-relu": (fr.RNN, {"nonlinearity": "relu"}),
}
PRECISIONS = ["bfloat16", "int8"]
# Odd widths, more units than a vector has lanes.
T, N, D, H = 7, 3, 11, 37


def layer(cell="lstm", precision="bfloat16", sizes=(D, H, 2), seed=0, **options):
    make, more = CELLS[cell]
    rnn = make(*sizes, seed=seed, **more, **options)
    rnn._set_precision(precision)
    return rnn


def random(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rounded(array):
    """Return the nearest bfloat16 of each number, the even one of two, as float32."""
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def state_of(rnn, rows=N, seed=2):
    parts = [random(rnn.num_layers * rnn.directions, rows, H, seed=seed + i) for i in range(2)]
    return tuple(parts) if len(rnn.state_names) == 2 else parts[0]


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


def bits(*values):
    return [part.tobytes() for value in values for part in parts_of(value)]


def with_rounded_weights(rnn):
    """Return a copy in float32 whose weights are bfloat16 numbers."""
    twin = copy.deepcopy(rnn)
    twin._set_precision("float32")
    with twin.parameters.edit() as views:
        for name, view in views.items():
            if name.startswith("weight"):
                view[...] = rounded(view)
    return twin
