"""The differential fuzzer in its short form, and that it finds what it should."""

from collections import Counter

import numpy as np
import pytest

from fastrnn.layers.base.precision import PRECISIONS
from fastrnn.layers.recurrent.engine import backpropagation
from fuzz.layers import failure_of, report, run
from fuzz.plan import LAYERS, PRECISE, Plan, draw_plan

COUNT, SEED = 250, 1


def test_random_layers_are_the_reference_and_have_the_same_bits_on_every_way():
    failures = [report(index, SEED, plan, failure) for index, plan, failure in run(COUNT, SEED) if failure]
    assert not failures, "\n".join(failures)


def test_every_layer_is_drawn_with_every_option():
    drawn = Counter()
    for index in range(3000):
        plan = draw_plan(2, index)
        drawn.update((plan.layer, name) for name in plan.options)
        drawn.update([plan.layer])
    hidden = {
        ("Jordan", "proj_size"): "output_size",
        ("Jordan", "projection_activation"): "output_activation",
    }
    minimal = {"proj_size", "state_dropout", "weight_drop", "skip"}
    refused = {"MinGRU": minimal, "MinLSTM": minimal, "Jordan": {"skip"}}
    for name, options in LAYERS.items():
        assert drawn[name] > 100
        for option in options - refused.get(name, set()):
            assert drawn[name, hidden.get((name, option), option)], (name, option)


def test_layers_are_drawn_in_every_precision():
    drawn = Counter()
    for index in range(2000):
        plan = draw_plan(2, index)
        drawn[plan.layer, plan.precision] += 1
    for layer in PRECISE:
        for precision in PRECISIONS:
            assert drawn[layer, precision] > 10, (layer, precision)


def test_a_line_repeats_a_plan():
    for index in range(30):
        plan = draw_plan(3, index)
        assert Plan.of(plan.line()) == plan


def test_it_finds_a_wrong_gradient_and_describes_the_smallest_layer_that_has_it(monkeypatch):
    right = backpropagation.backward

    def wrong(tape, *given):
        gradients = given[0]
        dx, firsts = right(tape, *given)
        if tape._spec.options.peephole:
            gradients[0]["weight_peephole"][0, 0] += 1e-3
        return dx, firsts

    monkeypatch.setattr(backpropagation, "backward", wrong)
    options = {"dtype": "float64", "num_layers": 2, "peephole": True, "zoneout": 0.1, "bias": False}
    plan = Plan("LSTM", (5, 9), options, 7, 4, lengths="int32", state=True, seed=4)
    failure = failure_of(plan)
    assert failure.startswith("training: dweight_peephole_l0 differs from the reference by 0.001")
    lines = report(7, 3, plan, failure).splitlines()
    assert lines[2].endswith("python -m tests.fuzz.layers --seed 3 --start 7 --count 1")
    small = Plan.of(lines[3].partition("'")[2].rstrip("'"))
    assert small.options == {"dtype": "float64", "peephole": True}
    assert (small.sizes, small.steps, small.rows) == ((1, 1), 1, 1)


@pytest.mark.parametrize("layout", ["fortran", "negative", "strided", "axes", "unaligned", "read-only"])
def test_layouts_hold_the_same_numbers(layout):
    from fuzz.batch import laid_out

    array = np.random.default_rng(0).normal(size=(3, 4, 5))
    assert np.array_equal(laid_out(array, layout), array)
