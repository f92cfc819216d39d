"""The states of a training step: how much of its loss reaches them, and how saturated they are."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn._arrays import NO_TARGET, Array, Ids
from fastrnn.language.backbone import layer_inputs
from fastrnn.language.losses import arrange, output_gradients, select_rows
from fastrnn.layers import Stack, StackTape, Tape
from fastrnn.layers.recurrent.engine.saturation import SATURATED, saturation_of

if TYPE_CHECKING:
    from fastrnn.data.batching import Batch
    from fastrnn.language import LanguageModel
    from fastrnn.language.length_outputs import ModelBatch

__all__ = ["StateMeasures", "lags_within", "measure_states"]

_MOST_ROWS = 8  # a step's loss needs no more to say how far its gradient reaches


class StateMeasures(NamedTuple):
    """What `measure_states` finds; `Diagnosis` says more.

    Attributes
    ----------
    lags : tuple of int
        k, from 1 to the number of steps.
    gradient_norms : dict of str to tuple of float
        For each layer and lag, relative to the first, which is 1; all 0 if no gradient arrives there at all,
        infinite where it overflows.
    saturation : dict of str to dict of str to float
        For each layer and gate; empty with `checkpoint_every`, as no gates are kept.
    """

    lags: tuple[int, ...]
    gradient_norms: dict[str, tuple[float, ...]]
    saturation: dict[str, dict[str, float]]


def lags_within(steps: int) -> tuple[int, ...]:
    """Return lags from 1 to a number of steps: two for each doubling, and the last.

    Examples
    --------
    >>> lags_within(20)
    (1, 2, 3, 4, 6, 8, 12, 16, 20)
    """
    powers = [2**exponent for exponent in range(steps.bit_length())]
    lags = {lag for power in powers for lag in (power, 3 * power // 2)}
    return tuple(sorted({lag for lag in lags if lag < steps} | {steps}))


def measure_states(
    model: LanguageModel, batch: Batch, state: Any, checkpoint_every: int | None = None
) -> StateMeasures:
    """Measure how the gradient of the last step's loss changes on its way back through a batch.

    The gradient is that of the recurrent state k steps before the end (h, and c where there is one), from the
    loss of the last step alone: with the losses of all steps, those nearby would hide what the distant one
    loses. Of each row its norm is divided by that one step back; the result is the root mean square over the
    longest rows, eight at most.

    Parameters
    ----------
    model : LanguageModel
        Its gradients and the state of its generator change: the caller sets them back.
    batch : Batch
    state : ndarray, tuple of ndarray or None
        The recurrent state before the batch.
    checkpoint_every : int, optional
        See `LanguageModel.loss_and_gradients`.

    Returns
    -------
    measures : StateMeasures
    """
    whole = arrange(model.length, batch.inputs, batch.targets, batch.lengths)
    last, rows = _longest_rows(whole.targets)
    lags = lags_within(last + 1)
    state = select_rows(state, rows)
    rnn: Any = model.rnn
    options = {} if checkpoint_every is None else {"checkpoint_every": checkpoint_every}
    tapes = []
    for start, end in pairwise([last + 1 - lag for lag in reversed(lags)] + [last + 1]):
        x = layer_inputs(model, *_part(whole, slice(start, end), rows))
        y, state, tape = rnn.forward(x, state, **options)
        tapes.append(tape)
    targets = np.ascontiguousarray(whole.targets[last : last + 1, rows])
    _, dy = output_gradients(model, y, whole._replace(targets=targets), 1.0, 0.0)  # y of one step
    dstate, norms = None, []
    for tape in reversed(tapes):
        _, dstate = rnn.backward(tape, dy if dstate is None else None, dstate, need_dx=False)
        norms.append(_norms(dstate, stack=isinstance(rnn, Stack)))
    relative = {name: _relative(np.stack([step[name] for step in norms])) for name in norms[0]}
    return StateMeasures(lags, relative, _saturation(tapes))


def _longest_rows(targets: Ids) -> tuple[int, Ids]:
    """Return the last step that has a target, and the rows that have one there."""
    last = int(np.flatnonzero((targets != NO_TARGET).any(axis=1))[-1])
    return last, np.flatnonzero(targets[last] != NO_TARGET)[:_MOST_ROWS]


def _part(batch: ModelBatch, steps: slice, rows: Ids) -> tuple[Ids, Ids | None]:
    """Return the ids of some steps of some rows, and the symbols still to come."""
    ids = np.ascontiguousarray(batch.ids[steps, rows])
    return ids, None if batch.left is None else np.ascontiguousarray(batch.left[steps, rows])


def _norms(dstate: Any, *, stack: bool) -> dict[str, Array]:
    """Return the norm of each row's gradient, [N], for each layer."""
    if stack:
        parts = [_norms(part, stack=False) for part in dstate]
        return {f"layer{i}.{name}": norm for i, part in enumerate(parts) for name, norm in part.items()}
    arrays = dstate if isinstance(dstate, tuple) else (dstate,)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = sum(np.square(array, dtype=np.float64).sum(axis=-1) for array in arrays)
    return {f"l{index}": norm for index, norm in enumerate(np.sqrt(squares))}


def _relative(norms: Array) -> tuple[float, ...]:
    """Return the root mean square over rows of norms [lags, N], each relative to its first."""
    rows = norms[:, norms[0] != 0.0]
    if not rows.size:
        return (0.0,) * len(norms)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.sqrt(np.square(rows / rows[0]).mean(axis=1))
    found[np.isnan(found)] = np.inf  # infinity less infinity: it has overflowed
    return tuple(found.tolist())


def _saturation(tapes: list[Any]) -> dict[str, dict[str, float]]:
    """Return the fraction of units and steps that are saturated, of each gate of each layer."""
    found: dict[str, dict[str, float]] = {}
    steps = sum(tape.steps for tape in tapes)
    for tape in tapes:
        stack = isinstance(tape, StackTape)
        parts = {f"layer{i}.": part for i, part in enumerate(tape.layers)} if stack else {"": tape}
        for prefix, part in parts.items():
            if not isinstance(part, Tape):
                continue
            for index, gates in enumerate(saturation_of(part, SATURATED)):
                own = found.setdefault(f"{prefix}l{index}", {})
                for name, gate in gates.items():
                    fraction = float(gate.either.mean())
                    if not math.isnan(fraction):  # the activation has an end
                        own[name] = own.get(name, 0.0) + fraction * tape.steps / steps
    return found
