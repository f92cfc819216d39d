"""Each step of a layer in bfloat16, judged to the bit from the layer's own state before it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fastrnn.layers.recurrent.shapes import suffixes

from .expected import PLAIN_WEIGHTS, plain_options
from .step_judge import assert_steps_of_the_reference
from .subject import Arrays, Difference, Subject


def steps_of_the_reference(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """In bfloat16 each step of a tape is the reference's, from the state that the tape has before it."""
    if subject.plan.precision != "bfloat16" or not subject.batch.x.size:
        return
    rnn, (_, tape) = subject.rnn, subject.train()
    for layer, end in zip(tape.layers, suffixes(rnn.num_layers, rnn.directions), strict=True):
        try:
            _judge(subject, layer, end)
        except AssertionError as error:
            raise Difference(f"{what}: {error} (weights {end})") from error


def _judge(subject: Subject, layer: Any, end: str) -> None:
    """Judge one layer and direction."""
    case = SimpleNamespace(
        cell=subject.rnn.options.cell,
        options=plain_options(subject.rnn),
        x=layer.x,
        weights=tuple(subject.parameters.get(name + end) for name in PLAIN_WEIGHTS),
        state=layer.state,
        lengths=layer.lengths,
        reset=layer.reset,
        reverse=layer.reverse,
    )
    assert_steps_of_the_reference(case, layer.y, layer.c, layer.gates)
