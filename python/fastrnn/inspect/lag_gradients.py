"""How far a loss reaches back: the norm of its gradient with respect to each earlier state, against lag."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.inspect.evaluation import evaluate
from fastrnn.inspect.gradients import state_gradients
from fastrnn.inspect.reading import Reading
from fastrnn.language import LanguageModel
from fastrnn.layers.description import parts_of

__all__ = ["POSITIONS", "lag_norms"]

#: Positions in the text over which the norms are averaged, and the largest lag.
POSITIONS, MOST_LAGS = 16, 100


def lag_norms(model: LanguageModel, reading: Reading) -> NDArray[np.float64] | str:
    """Return the mean norm of dL/dh at each lag, L being the loss of the next symbol.

    The layers read windows of the text of twice as many steps as there are lags, so that the states of the
    second half are near those of the whole text. The model and its gradients do not change: a copy works.

    Parameters
    ----------
    model : LanguageModel
    reading : Reading
        What it reads of a text.

    Returns
    -------
    norms : ndarray, float64 [L*directions, lags + 1], or str
        The first column is lag 0: the step whose output predicts the symbol. A str says why there are none.
    """
    lags = min(MOST_LAGS, (reading.steps - 1) // 2 - 1)
    if lags < 1:
        return "the text is too short"
    if any(any(layer.options.zoneout) for layer in parts_of(model.rnn)):
        return "the layers have zoneout, whose backward pass needs the units that training keeps"
    assert reading.ids is not None
    steps = 2 * (lags + 1)
    count = min(POSITIONS, reading.steps - steps)
    starts = np.linspace(0, reading.steps - 1 - steps, count).round().astype(int)
    copy = deepcopy(model)
    x = np.stack([reading.inputs(first, first + steps) for first in starts], axis=1)
    rnn: Any = copy.rnn  # a layer with its tape, or a Stack with its own
    tape: Any
    y, _, tape = evaluate(rnn, x)
    targets = np.array([reading.ids[first + steps - reading.before] for first in starts])
    dy = np.zeros_like(y)
    dy[-1] = _output_gradient(copy, np.ascontiguousarray(y[-1]), targets)
    found: Any = state_gradients(rnn, tape, dy)
    layers = found if isinstance(found, list) else [found]
    norms = np.concatenate([own.against_lag() for own in layers])[:, : lags + 1].mean(axis=2)
    if not np.isfinite(norms).all() or not norms.any():
        return "they are not finite, or all zero"
    return np.asarray(norms)


def _output_gradient(model: LanguageModel, h: Array, targets: NDArray[np.int64]) -> Array:
    """Return the gradient of each row's loss with respect to its h [N, P]."""
    if model.head is None:
        return model.output.losses_and_gradients(h, targets)[1]
    rows, tape = model.head.forward(h)
    below = model.head.backward(tape, model.output.losses_and_gradients(rows, targets)[1])
    assert below is not None
    return below
