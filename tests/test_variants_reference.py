"""Every variant of the layers against the NumPy reference: outputs, states, gradients, masks included."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from variant_cases import BATCHES, VARIANTS, batch, make, parts_of, random_state

# Not in the reference: two directions and contexts are composed of its passes, and a Jordan
# network is compared with a run by hand in test_variants.py.
SINGLE = [
    name
    for name, (layer, options) in VARIANTS.items()
    if layer is not fr.Jordan
    and not isinstance(options.get("leak"), tuple)  # its own leak is a number or a weight
    and not options.keys() & {"bidirectional", "context_size", "learn_state"}
]


def options_of(variant):
    """Return the reference's options for a variant."""
    options = {"zoneout": variant.zoneout, "layer_norm": variant.layer_norm}
    if variant.has_product:
        options["skip"] = variant.skip
    if variant.cell == "lstm":
        names = ("coupled", "relevance", "gate_activation", "candidate_activation", "output_activation")
        options |= {name: getattr(variant, name) for name in names}
        options |= {"cell_clip": variant.cell_clip or None, "peephole": variant.peephole or "gers"}
    elif variant.cell != "slstm":
        options["nonlinearity"] = variant.candidate_activation
    if variant.cell == "gru":
        options["reset_after"] = variant.reset_after
    if variant.cell == "elman" and not isinstance(variant.leak, str):
        options["leak"] = variant.leak
    return options


def weights_of(rnn, views):
    return {name.removesuffix("_l0"): value for name, value in views.items()}


#: The reference's names of a pass's masks.
MASKS = {
    "input_mask": "x",
    "state_mask": "h",
    "candidate_mask": "candidate",
    "zone_h": "zone_h",
    "zone_c": "zone_c",
}


def drawn_masks(tape):
    """Return a training pass's masks for the reference, the mask of y, and that of weight_hh."""
    arrays, weights = tape.layers[0].options or {}, tape._weights.weight_masks
    assert arrays.keys() <= MASKS.keys() | {"output_mask"}
    masks = {own: arrays[name] for name, own in MASKS.items() if name in arrays}
    return masks, arrays.get("output_mask", 1.0), 1.0 if weights is None else weights[0]


def mask_names(options):
    """Return the names of the masks that a layer with these options draws in training."""
    drawn = {
        "input_mask": options.input_dropout,
        "state_mask": options.state_dropout,
        "output_mask": options.output_dropout,
        "candidate_mask": options.recurrent_dropout,
        "zone_h": options.zoneout[0],
        "zone_c": options.zoneout[1],
    }
    return {name for name, probability in drawn.items() if probability}


def initial(state):
    """Return one layer's state in the reference's form."""
    return None if state is None else tuple(part[0] for part in parts_of(state))


def assert_close(got, wanted, what):
    scale = max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12 * scale, err_msg=what)


@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", SINGLE)
def test_training(name, given):
    rnn = make(name, sizes=(4, 7))
    x, more = batch(rnn, BATCHES[given], steps=7, rows=4)
    compare_training(rnn, x, more, {})


@pytest.mark.parametrize("zero", [False, True], ids=["repeated", "zero"])
@pytest.mark.parametrize("name", SINGLE)
def test_training_with_masked_steps(name, zero):
    rnn = make(name, sizes=(4, 7))
    x, more = batch(rnn, BATCHES["all"], steps=7, rows=4)
    mask = np.random.default_rng(7).random((7, 4)) < 0.6
    mask[2:5, int(np.argmax(more["lengths"]))] = [True, False, True]  # a hole
    compare_training(rnn, x, more, {"mask": mask, "zero_masked": zero})


def compare_training(rnn, x, more, masking):
    random = np.random.default_rng(6)
    more = more | masking
    y, last, tape = rnn.forward(x, **more)
    dy = random.normal(size=y.shape)
    dlast = random_state(rnn, lambda *shape: random.normal(size=shape), x.shape[1])
    dx, dstate = rnn.backward(tape, dy, dlast)

    options, weights = options_of(rnn.options), dict(weights_of(rnn, rnn.parameters))
    masks, output, weight_mask = drawn_masks(tape)
    if masking:  # the tape's own masks are those of the packed batch
        every = {name for name in masks if masks[name].ndim == 3}
        masks |= {name: tape.packing.unpack(name, masks[name]) for name in every}
    assert (tape.layers[0].options or {}).keys() == mask_names(rnn.options)
    assert (tape._weights.weight_masks is not None) == bool(rnn.options.weight_drop)
    if rnn.options.weight_drop:
        weights["weight_hh"] = weights["weight_hh"] * weight_mask
    state, lengths, reset = initial(more.get("state")), more.get("lengths"), more.get("reset")
    wanted, ends, kept = reference.variant_forward(
        rnn.options.cell,
        x,
        weights,
        state,
        lengths,
        reset,
        rnn.options.reverse,
        masks=masks,
        **masking,
        **options,
    )
    assert_close(y, wanted * output, "y")
    for got, end in zip(parts_of(last), ends, strict=True):
        assert_close(got[0], end, "last state")
    back, first, dweights = reference.variant_backward(
        rnn.options.cell, weights, kept, dy * output, initial(dlast)
    )
    assert_close(dx, back, "dx")
    for got, part in zip(parts_of(dstate), first, strict=True):
        assert_close(got[0], part, "dstate")
    if rnn.options.weight_drop:
        dweights["weight_hh"] = dweights["weight_hh"] * weight_mask
    gradients = weights_of(rnn, rnn.gradients)
    assert gradients.keys() == dweights.keys()
    for parameter, gradient in dweights.items():
        assert_close(gradients[parameter], gradient, parameter)


@pytest.mark.parametrize("given", ["dense", "all"])
@pytest.mark.parametrize("name", SINGLE)
def test_inference(name, given):
    rnn = make(name, sizes=(4, 7))
    x, more = batch(rnn, BATCHES[given], steps=7, rows=4)
    y, last = rnn(x, **more)
    wanted, ends, _ = reference.variant_forward(
        rnn.options.cell,
        x,
        weights_of(rnn, rnn.parameters),
        initial(more.get("state")),
        more.get("lengths"),
        more.get("reset"),
        rnn.options.reverse,
        training=False,
        **options_of(rnn.options),
    )
    assert_close(y, wanted, "y")
    for got, end in zip(parts_of(last), ends, strict=True):
        assert_close(got[0], end, "last state")
