"""Checkpointing of cells with options: the same bits as a whole tape for every option, batch and interval."""

import numpy as np
import pytest

import fastrnn as fr
from variant_cases import BATCHES, VARIANTS, batch, make, parts_of, random_state

T, N = 11, 4


def results(rnn, x, more, gradients, **options):
    """Return all results of both passes and the generator's state after them."""
    rnn.gradients.zero()
    y, last, tape = rnn.forward(x, **more, **options)
    dcontext = np.zeros_like(more["context"]) if "context" in more else None
    given = {} if dcontext is None else {"dcontext": dcontext}
    dx, first = rnn.backward(tape, *gradients, **given)
    arrays = {"y": y, "dx": dx, "dcontext": dcontext, **rnn.gradients}
    arrays |= {f"last{i}": array for i, array in enumerate(parts_of(last))}
    arrays |= {f"first{i}": array for i, array in enumerate(parts_of(first))}
    kept = {name: None if array is None else array.tobytes() for name, array in arrays.items()}
    return kept | {"generator": str(rnn.rng.bit_generator.state)}


def gradients_of(rnn, y_shape):
    random = np.random.default_rng(7)

    def normal(*shape):
        return random.normal(size=shape).astype(rnn.dtype)

    return normal(*y_shape), random_state(rnn, normal, y_shape[1])


def differing(name, given, intervals, *, ids=False, targets=False, **options):
    """Return the results that differ between a whole tape and one with checkpoints, for each interval."""
    bad = {}
    for every in (None, *intervals):
        rnn = make(name, **options)
        x, more = batch(rnn, given, T, N)
        if ids:
            x = np.random.default_rng(6).integers(-1, rnn.input_size, (T, N))
        if targets:
            more["targets"] = np.random.default_rng(8).normal(size=(T, N, rnn.output_size)).astype(rnn.dtype)
        own = {} if every is None else {"checkpoint_every": every}
        found = results(rnn, x, more, gradients_of(rnn, (T, N, rnn.output_size)), **own)
        if every is None:
            expected = found
        elif wrong := [key for key in expected if found[key] != expected[key]]:
            bad[every] = wrong
    return bad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", VARIANTS)
def test_options_yield_the_same_bits_whatever_is_kept(name, given, dtype):
    assert not differing(name, BATCHES[given], (1, 2, 4, 7, T, 50), dtype=dtype)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("given", ["dense", "all"])
@pytest.mark.parametrize("name", [name for name in VARIANTS if VARIANTS[name][0] is not fr.Jordan])
def test_several_layers_with_dropout_yield_the_same_bits_and_draw_the_same_masks(name, given, dropout):
    options = {"dtype": "float32", "layers": 3, "dropout": dropout}
    assert not differing(name, BATCHES[given], (1, 3, 8), **options)
    if "bidirectional" not in VARIANTS[name][1]:
        assert not differing(name, BATCHES[given], (1, 3, 8), **options, reverse=True)


@pytest.mark.parametrize("name", VARIANTS)
def test_ids_yield_the_same_bits_whatever_is_kept(name):
    if not VARIANTS[name][1].get("input_dropout"):
        assert not differing(name, BATCHES["all"], (1, 4), dtype="float32", ids=True)


@pytest.mark.parametrize("name", ["jordan", "jordan and hidden"])
def test_teacher_forcing_yields_the_same_bits_whatever_is_kept(name):
    options = {"weight_drop": 0.0, "state_dropout": 0.0}
    assert not differing(name, BATCHES["all"], (1, 2, 4, 7, T), dtype="float32", targets=True, **options)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["rnn shared leak", "context", "lstm norm of all", "gru skip"])
def test_wide_layers_yield_the_same_bits_for_any_number_of_threads(name, threads):
    before = fr.get_num_threads()
    fr.set_num_threads(threads)
    try:
        assert not differing(name, BATCHES["all"], (3, 10), dtype="float32", sizes=(33, 70))
    finally:
        fr.set_num_threads(before)
