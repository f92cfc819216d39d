"""Evaluation with a tape: what inference computes, with every state and gate kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from fastrnn._arrays import Array
from fastrnn.layers import LayerTape, Recurrent, Stack, Tape
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.recurrent.engine.sequence_pass import forward
from fastrnn.layers.recurrent.spec import RecurrentSpec
from fastrnn.layers.stack.connections import as_entries, check_context, forward_through
from fastrnn.layers.stack.stack import StackTape

__all__ = ["evaluate", "named_layers", "tapes_of"]


def evaluate(
    rnn: Recurrent[Any] | Stack, x: Any, state: Any = None, *, context: Any = None
) -> tuple[Array, Any, Tape | StackTape]:
    """Do what a call of recurrent layers does, and return a tape too: no dropout, zoneout by its expectation.

    Nothing of the layers changes, their random generators included. The tape is one to look at: where
    there is zoneout, `backward` would need the units that a training pass has kept.

    Parameters
    ----------
    rnn : Recurrent or Stack
    x, state, context
        As for its call.

    Returns
    -------
    y, state
        As for its call, with the same bits.
    tape : Tape or StackTape

    Raises
    ------
    ValueError, TypeError
        As its call.
    """
    if isinstance(rnn, Recurrent):
        return _evaluate_layer(rnn, x, state, context)
    x, steps, rows, alone = rnn._input(x)
    states = as_entries(rnn.layers, "state", state, rows, alone=alone)
    contexts = check_context(rnn.layers, context, rows, steps, alone=alone)
    lasts: list[Any] = []
    tapes: list[Tape] = []

    def run(index: int, read: Array) -> Array:
        read = frozen(read) if index > 0 else read  # no copy for the tape
        y, last, tape = _evaluate_layer(rnn.layers[index], read, states[index], contexts[index])
        lasts.append(last)
        tapes.append(tape)
        return y

    y = forward_through(rnn.connect, x, [partial(run, index) for index in range(len(rnn.layers))])
    return y, tuple(lasts), StackTape(rnn, tapes, [None] * (len(tapes) - 1), y.shape)


def _evaluate_layer(rnn: Recurrent[Any], x: Any, state: Any, context: Any) -> tuple[Array, Any, Tape]:
    weights = rnn._weights
    batch = weights.batch(x, state, context=context, keep=True)
    # Without keys there are no masks, and without dropout nothing is drawn.
    y, finals, tape = forward(replace(rnn.spec, dropout=0.0), weights.current(), batch, rnn.rng)
    tape._owner, tape.alone = rnn, batch.alone
    return *rnn._result(y, finals, alone=batch.alone), tape


def named_layers(rnn: Recurrent[Any] | Stack) -> list[tuple[str, RecurrentSpec]]:
    """Return name and specification of each layer and direction, lowest first.

    The names are the ends of the parameters' names: l0, l0_reverse, l1, ...; in a stack layer0.l0, ...
    """
    if isinstance(rnn, Recurrent):
        return [(name, rnn.spec) for name in rnn.spec.layer_names]
    return [
        (f"layer{index}.{name}", layer.spec)
        for index, layer in enumerate(rnn.layers)
        for name in layer.spec.layer_names
    ]


def tapes_of(tape: Tape | StackTape) -> Iterator[LayerTape]:
    """Yield the tape of each layer and direction, in the order of `named_layers`."""
    for part in tape.layers if isinstance(tape, StackTape) else (tape,):
        yield from part.layers
