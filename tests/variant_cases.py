"""The variants of the layers, and batches for them, shared by the tests of variants."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastrnn as fr

#: Name, class and options of every tested variant.
VARIANTS: dict[str, tuple[type, dict[str, Any]]] = {
    "rnn leak": (fr.RNN, {"leak": 0.3}),
    "rnn relu learned leak": (fr.RNN, {"leak": "learned", "nonlinearity": "relu"}),
    "rnn leak of each unit": (fr.RNN, {"leak": (0.1, 0.5, 0.9, 0.0, 0.3), "nonlinearity": "identity"}),
    "rnn shared leak": (fr.RNN, {"leak": "shared", "nonlinearity": "sigmoid"}),
    "rnn proj": (fr.RNN, {"proj_size": 3}),
    "rnn norm": (fr.RNN, {"layer_norm": True}),
    "rnn norm skip context": (
        fr.RNN,
        {"layer_norm": True, "skip": 2, "context_size": 2, "proj_size": 3, "bias": False},
    ),
    "rnn norm leak": (fr.RNN, {"layer_norm": True, "leak": "learned", "state_dropout": 0.2}),
    "rnn skip": (fr.RNN, {"skip": 3}),
    "rnn masks": (fr.RNN, {"recurrent_dropout": 0.3, "state_dropout": 0.2, "zoneout": 0.2}),
    "gru proj": (fr.GRU, {"proj_size": 3}),
    "gru norm": (fr.GRU, {"layer_norm": True}),
    "gru before norm": (fr.GRU, {"layer_norm": True, "reset_after": False}),
    "gru norm skip": (fr.GRU, {"layer_norm": True, "skip": 2, "proj_size": 3, "recurrent_dropout": 0.2}),
    "gru before masks": (fr.GRU, {"reset_after": False, "recurrent_dropout": 0.3, "state_dropout": 0.3}),
    "gru skip": (fr.GRU, {"skip": 2}),
    "gru masks": (
        fr.GRU,
        {"recurrent_dropout": 0.3, "state_dropout": 0.3, "zoneout": 0.2, "weight_drop": 0.3},
    ),
    "lstm peephole": (fr.LSTM, {"peephole": True}),
    "lstm peephole previous": (fr.LSTM, {"peephole": "previous", "zoneout": (0.2, 0.3)}),
    "lstm coupled peephole previous": (
        fr.LSTM,
        {"peephole": "previous", "coupled": True, "cell_clip": 0.4, "layer_norm": True},
    ),
    "lstm coupled": (fr.LSTM, {"coupled": True}),
    "lstm coupled peephole proj clip": (
        fr.LSTM,
        {"coupled": True, "peephole": True, "proj_size": 3, "cell_clip": 0.4},
    ),
    "lstm proj": (fr.LSTM, {"proj_size": 3}),
    "lstm relevance": (fr.LSTM, {"relevance": True, "output_activation": "identity"}),
    "lstm relevance coupled": (fr.LSTM, {"relevance": True, "coupled": True, "state_dropout": 0.2}),
    "lstm relevance norm": (fr.LSTM, {"relevance": True, "layer_norm": True, "state_dropout": 0.2}),
    "lstm relevance coupled norm": (
        fr.LSTM,
        {"relevance": True, "coupled": True, "layer_norm": True, "peephole": True, "bias": False},
    ),
    "lstm norm skip": (fr.LSTM, {"layer_norm": True, "skip": 3, "zoneout": (0.1, 0.2), "weight_drop": 0.2}),
    "lstm norm": (fr.LSTM, {"layer_norm": True}),
    "lstm norm of all": (
        fr.LSTM,
        {"layer_norm": True, "peephole": True, "zoneout": (0.2, 0.3), "recurrent_dropout": 0.2},
    ),
    "lstm activations": (
        fr.LSTM,
        {"gate_activation": "hard_sigmoid", "candidate_activation": "relu", "output_activation": "positive"},
    ),
    "lstm skip": (fr.LSTM, {"skip": 2}),
    "lstm masks": (
        fr.LSTM,
        {
            "input_dropout": 0.2,
            "state_dropout": 0.2,
            "output_dropout": 0.2,
            "recurrent_dropout": 0.2,
            "weight_drop": 0.2,
            "zoneout": (0.1, 0.2),
        },
    ),
    "slstm norm": (fr.SLSTM, {"layer_norm": True, "recurrent_dropout": 0.2}),
    "slstm norm proj skip": (fr.SLSTM, {"layer_norm": True, "proj_size": 3, "skip": 2, "context_size": 2}),
    "slstm masks": (
        fr.SLSTM,
        {
            "input_dropout": 0.2,
            "state_dropout": 0.2,
            "output_dropout": 0.2,
            "recurrent_dropout": 0.2,
            "weight_drop": 0.2,
            "zoneout": 0.2,
        },
    ),
    "slstm both ways": (fr.SLSTM, {"bidirectional": True, "skip": 3, "merge": "sum", "learn_state": True}),
    "mingru": (fr.MinGRU, {}),
    "mingru norm": (fr.MinGRU, {"layer_norm": True, "recurrent_dropout": 0.2}),
    "minlstm norm": (fr.MinLSTM, {"layer_norm": True, "nonlinearity": "positive", "zoneout": 0.2}),
    "mingru positive masks": (
        fr.MinGRU,
        {"nonlinearity": "positive", "zoneout": 0.2, "recurrent_dropout": 0.2, "input_dropout": 0.3},
    ),
    "minlstm": (fr.MinLSTM, {}),
    "minlstm both ways": (fr.MinLSTM, {"bidirectional": True}),
    "minlstm masks": (
        fr.MinLSTM,
        {"nonlinearity": "positive", "zoneout": 0.2, "recurrent_dropout": 0.2, "output_dropout": 0.2},
    ),
    "minlstm positive masks": (
        fr.MinLSTM,
        {"nonlinearity": "positive", "zoneout": 0.2, "recurrent_dropout": 0.2, "learn_state": True},
    ),
    "jordan": (fr.Jordan, {"output_size": 7, "output_activation": "sigmoid"}),
    "jordan and hidden": (
        fr.Jordan,
        {"output_size": 2, "hidden_recurrence": True, "recurrent_dropout": 0.2, "weight_drop": 0.2},
    ),
    "jordan norm": (fr.Jordan, {"output_size": 3, "layer_norm": True, "output_activation": "sigmoid"}),
    "jordan norm of all": (
        fr.Jordan,
        {
            "output_size": 7,
            "layer_norm": True,
            "hidden_recurrence": True,
            "zoneout": (0.2, 0.3),
            "context_size": 2,
            "learn_state": True,
        },
    ),
    "jordan masks": (
        fr.Jordan,
        {
            "output_size": 3,
            "hidden_recurrence": True,
            "input_dropout": 0.2,
            "state_dropout": 0.2,
            "output_dropout": 0.2,
            "recurrent_dropout": 0.2,
            "weight_drop": 0.2,
            "zoneout": (0.3, 0.2),
        },
    ),
    "jordan zoneout": (fr.Jordan, {"output_size": 2, "zoneout": 0.3, "output_activation": "tanh"}),
    "jordan reverse": (
        fr.Jordan,
        {"output_size": 2, "output_activation": "tanh", "reverse": True, "bias": False},
    ),
    "context": (fr.LSTM, {"context_size": 2}),
    "contexts": (fr.LSTM, {"context_size": 3}),
    "contexts of rnn skip reverse": (fr.RNN, {"context_size": 3, "skip": 2, "reverse": True}),
    "contexts of gru before norm": (fr.GRU, {"context_size": 3, "layer_norm": True, "reset_after": False}),
    "contexts of gru masks": (fr.GRU, {"context_size": 3, "input_dropout": 0.2, "zoneout": 0.2}),
    "contexts both ways": (fr.GRU, {"context_size": 3, "bidirectional": True}),
    "contexts of lstm relevance": (fr.LSTM, {"context_size": 3, "relevance": True, "peephole": True}),
    "contexts of mingru": (fr.MinGRU, {"context_size": 3}),
    "contexts of rnn norm skip": (fr.RNN, {"context_size": 3, "layer_norm": True, "skip": 2}),
    "contexts of slstm": (fr.SLSTM, {"context_size": 3, "state_dropout": 0.2}),
    "contexts of jordan": (fr.Jordan, {"context_size": 3, "output_size": 2, "hidden_recurrence": True}),
    "learned state": (fr.LSTM, {"learn_state": True}),
    "reverse": (fr.GRU, {"reverse": True}),
    "reverse variant": (fr.LSTM, {"reverse": True, "peephole": True, "zoneout": (0.2, 0.2)}),
    "sum": (fr.GRU, {"bidirectional": True, "merge": "sum"}),
    "mean of variants": (fr.LSTM, {"bidirectional": True, "merge": "mean", "skip": 2, "zoneout": (0.2, 0.1)}),
    "both ways": (fr.LSTM, {"bidirectional": True, "peephole": True, "proj_size": 2}),
}
#: Kinds of batches.
BATCHES: dict[str, tuple[str, ...]] = {
    "dense": (),
    "ragged": ("lengths",),
    "resets": ("reset",),
    "all": ("lengths", "reset", "state"),
}
T, N, D, H = 6, 3, 4, 5
#: The context_size of variants whose batches have a context for each step.
CONTEXTS = 3


def make(
    name: str, *, dtype: str = "float64", layers: int = 1, sizes: tuple[int, int] = (D, H), **more: Any
) -> Any:
    """Make the layer of a variant, with parameters that give every option an effect.

    `more` are further options, and others in place of the variant's own.
    """
    layer, options = VARIANTS[name]
    if isinstance(options.get("leak"), tuple):  # one number per unit
        options = options | {"leak": np.resize(options["leak"], sizes[1])}
    if layer is not fr.Jordan:  # which has one layer
        more["num_layers"] = layers
    rnn = layer(*sizes, dtype=dtype, seed=3, **{**options, **more})
    random = np.random.default_rng(4)
    with rnn.parameters.edit() as views:
        for view in views.values():
            view[...] += 0.3 * random.normal(size=view.shape)
    return rnn


def batch(rnn: Any, given: tuple[str, ...], steps: int = T, rows: int = N) -> tuple[Any, dict[str, Any]]:
    """Make x and the other arguments of a pass."""
    random = np.random.default_rng(5)

    def normal(*shape: int) -> Any:
        return random.normal(size=shape).astype(rnn.dtype)

    more: dict[str, Any] = {}
    if "lengths" in given:
        more["lengths"] = random.permutation(np.linspace(1, steps, rows).round().astype(int))
    if "reset" in given:
        more["reset"] = random.random((steps, rows)) < 0.25
    if "state" in given:
        more["state"] = random_state(rnn, normal, rows, positive=True)
    if rnn.options.context_size == CONTEXTS:
        more["context"] = normal(steps, rows, CONTEXTS)
    elif rnn.options.context_size:
        more["context"] = normal(rows, rnn.options.context_size)
    return normal(steps, rows, rnn.input_size), more


def part_of(more: dict[str, Any], steps: Any = slice(None), rows: Any = slice(None)) -> dict[str, Any]:
    """Return some steps and rows of a batch's context, as an argument; nothing if there is none."""
    context = more.get("context")
    if context is None:
        return {}
    return {"context": context[rows] if context.ndim == 2 else context[steps][..., rows, :]}


def start_stream(rnn: Any, more: dict[str, Any], rows: int) -> tuple[Any, Any]:
    """Return a stream for a batch, and a function from a step's number to its further arguments."""
    if "context" in more and more["context"].ndim == 3:
        return rnn.stream(rows), lambda t: part_of(more, t)
    return rnn.stream(rows, **part_of(more)), lambda t: {}


def random_state(rnn: Any, normal: Any, rows: int, *, positive: bool = False) -> Any:
    """Draw a state of a layer with `normal`, or a gradient; `positive`: what must be positive is."""
    count = rnn.num_layers * rnn.directions
    parts = tuple(normal(count, *shape) for shape in rnn.spec.state_shapes(rows))
    if positive and isinstance(rnn, fr.SLSTM):  # of c, n and m, n is a sum of weights
        n = parts[1][:, :, rnn.hidden_size : 2 * rnn.hidden_size]
        n[...] = abs(n) + 0.1
    return parts[0] if len(parts) == 1 else parts


def parts_of(state: Any) -> tuple[Any, ...]:
    """Return a state's arrays."""
    return state if isinstance(state, tuple) else (state,)
