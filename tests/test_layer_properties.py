"""Properties of every recurrent layer, over random cells, options, sizes, lengths and resets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import fastrnn as fr
from variant_cases import parts_of

CELLS = {"rnn": fr.RNN, "gru": fr.GRU, "lstm": fr.LSTM, "slstm": fr.SLSTM}
CELLS |= {"mingru": fr.MinGRU, "minlstm": fr.MinLSTM}
EVERY = {
    "layer_norm": st.booleans(),
    "zoneout": st.sampled_from([0.0, 0.2]),
    "state_dropout": st.sampled_from([0.0, 0.2]),
    "recurrent_dropout": st.sampled_from([0.0, 0.2]),
    "skip": st.integers(0, 3),
    "proj_size": st.integers(0, 3),
    "reverse": st.booleans(),
    "learn_state": st.booleans(),
    "bidirectional": st.booleans(),
    "bias": st.booleans(),
}
OWN: dict[str, dict[str, Any]] = {
    "rnn": {
        "nonlinearity": st.sampled_from(["tanh", "relu"]),
        "leak": st.sampled_from([None, 0.4, "learned"]),
    },
    "gru": {"reset_after": st.booleans()},
    "lstm": {
        "peephole": st.sampled_from([False, "gers", "previous"]),
        "coupled": st.booleans(),
        "relevance": st.booleans(),
        "cell_clip": st.sampled_from([None, 0.5]),
        "output_activation": st.sampled_from(["tanh", "identity"]),
    },
    "slstm": {},
    "mingru": {"nonlinearity": st.sampled_from(["identity", "positive"])},
    "minlstm": {"nonlinearity": st.sampled_from(["identity", "positive"])},
}


@dataclass
class Drawn:
    """A layer and a batch for it."""

    cell: str
    options: dict[str, Any]
    sizes: tuple[int, int, int]  # D, H, layers
    x: np.ndarray
    lengths: np.ndarray | None
    reset: np.ndarray | None

    def layer(self, dtype: str = "float32") -> Any:
        rnn = CELLS[self.cell](*self.sizes, dtype=dtype, seed=0, **self.options)
        values = np.random.default_rng(1).normal(size=rnn.num_parameters) * 0.4
        with rnn.parameters.edit() as views:
            views.flat[...] = values.astype("f")
        return rnn

    def run(self, dtype: str = "float32", rows: Any = slice(None), **changes: Any) -> tuple[Any, ...]:
        """Return y and the state's arrays."""
        lengths = None if self.lengths is None else self.lengths[rows]
        reset = None if self.reset is None else self.reset[:, rows]
        more = {"lengths": lengths, "reset": reset} | changes
        y, state = self.layer(dtype)(more.pop("x", self.x[:, rows]).astype(dtype), **more)
        return (y, *parts_of(state))


@st.composite
def drawn(draw: Any, **fixed: Any) -> Drawn:
    """Draw a layer whose options do not contradict each other, and a batch."""
    cell = draw(st.sampled_from(sorted(CELLS)))
    # Few options at a time, as many pairs of them contradict each other.
    own = EVERY | OWN[cell]
    names = draw(st.lists(st.sampled_from(sorted(own)), max_size=4, unique=True))
    options = {name: draw(own[name]) for name in names} | fixed
    D, H, layers = draw(st.integers(1, 5)), draw(st.integers(4, 19)), draw(st.integers(1, 2))
    T, N = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    case = Drawn(cell, options, (D, H, layers), np.empty(0), None, None)
    try:
        case.layer()
    except ValueError:
        assume(False)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    case.x = random.normal(size=(T, N, D)).astype("f")
    if draw(st.booleans()):
        case.lengths = random.integers(1, T + 1, size=N)
    if draw(st.booleans()):
        case.reset = random.random((T, N)) < 0.3
    return case


def bits(arrays: Any) -> list[bytes]:
    return [array.tobytes() for array in arrays]


@given(drawn(), st.integers(1, 4))
def test_padding_does_not_change_results(case, extra):
    T, N, _ = case.x.shape
    lengths = np.full(N, T) if case.lengths is None else case.lengths
    padded = np.concatenate([case.x, np.full((extra, *case.x.shape[1:]), np.nan, "f")])
    changes = {"x": padded, "lengths": lengths}
    if case.reset is not None:
        changes["reset"] = np.concatenate([case.reset, np.ones((extra, N), bool)])
    y, *state = case.run()
    longer, *last = case.run(**changes)
    assert bits([longer[:T], *last]) == bits([y, *state])
    assert not longer[T:].any()


@given(drawn(), st.randoms(use_true_random=False))
def test_permuting_the_batch_permutes_the_result(case, shuffler):
    order = list(range(case.x.shape[1]))
    shuffler.shuffle(order)
    y, *state = case.run()
    moved, *last = case.run(rows=order)
    assert bits([moved, *last]) == bits([y[:, order], *(part[:, order] for part in state)])


@given(drawn(bidirectional=False, reverse=False), st.integers(1, 8))
def test_splitting_time_changes_no_bit(case, cut):
    rnn, cut = case.layer(), cut % len(case.x)
    assume(cut > 0)
    y, state = rnn(case.x)
    first, carried = rnn(case.x[:cut])
    second, last = rnn(case.x[cut:], carried)
    assert bits([np.concatenate([first, second]), *parts_of(last)]) == bits([y, *parts_of(state)])


@given(drawn())
def test_float32_is_as_close_to_float64_as_its_sums_allow(case):
    D, H, layers = case.sizes
    exact, got = case.run("float64"), case.run()
    terms = (D + 2 * H + 4) * len(case.x) * layers
    for one, two in zip(exact, got, strict=True):
        tolerance = 4 * math.ceil(math.log2(terms)) * np.finfo("f").eps * max(1.0, np.abs(one).max())
        # Where a gate normalises a few nearly equal numbers, their small differences matter.
        scale = 4 if case.options.get("layer_norm") else 1
        np.testing.assert_allclose(two, one, rtol=0, atol=scale * tolerance)
