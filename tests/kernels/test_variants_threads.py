"""Variants yield the same bits for any threads, also where few rows have their hidden units shared."""

import numpy as np
import pytest

import fastrnn as fr
from kernel_cases import assert_same_bits, with_threads
from variant_cases import BATCHES, VARIANTS, batch, make, parts_of, random_state, start_stream

THREADS = (1, 2, 3, 5)
WORK_OF_A_THREAD = 400_000  # multiply-adds; useful_threads in cpp/kernels/runtime/parallel.hpp
WIDTHS = (65, 129, 257)
INPUTS = 70
ONE_WAY = [
    name
    for name, (layer, options) in VARIANTS.items()
    if layer is not fr.Jordan and not options.keys() & {"bidirectional", "reverse"}
]
STREAMS = [
    name for name, (_, options) in VARIANTS.items() if not options.keys() & {"bidirectional", "reverse"}
]
CASES = pytest.mark.parametrize(("width", "rows"), [(width, rows) for width in WIDTHS for rows in (1, 2)])
#: Options of widths that `wide` may make about half as large.
NARROW = ("proj_size", "output_size")


def wide(name, width, *, half=False, inputs=INPUTS, **more):
    """Make the variant of one width; `half`: a projection or output is about half as wide."""
    if half:
        more |= {option: width // 2 + 1 for option in NARROW if option in VARIANTS[name][1]}
    return make(name, dtype="float32", sizes=(inputs, width), **more)


def steps_for(rnn, rows):
    """Return steps enough for as many threads as are tested, within reason."""
    below = rnn.spec.h_size if rnn.options.has_product else 0
    work = rows * rnn.gates * rnn.hidden_size * (rnn.input_size + below)
    return int(np.clip(1 + THREADS[-1] * WORK_OF_A_THREAD // work, 4, 60))


def results(rnn, x, more):
    """Return all results of inference and of both passes in training, by name."""
    y, last = rnn(x, **more)
    everything = {"y": y} | {f"last {i}": part for i, part in enumerate(parts_of(last))}
    rnn.rng = np.random.default_rng(7)  # the same masks again
    random = np.random.default_rng(8)

    def normal(*shape):
        return random.normal(size=shape).astype("f")

    y, last, tape = rnn.forward(x, **more)
    rnn.gradients.zero()
    dcontext = np.zeros_like(more["context"]) if "context" in more else None
    dx, first = rnn.backward(tape, normal(*y.shape), random_state(rnn, normal, x.shape[1]), dcontext=dcontext)
    everything |= {"trained y": y, "dx": dx, "gradients": rnn.gradients.flat.copy()}
    everything |= {f"trained last {i}": part for i, part in enumerate(parts_of(last))}
    everything |= {f"dstate {i}": part for i, part in enumerate(parts_of(first))}
    for i, layer in enumerate(tape.layers):
        kept = {"y": layer.y, "c": layer.c, "gates": layer.gates}
        everything |= {f"{name} of {i}": array for name, array in kept.items() if array is not None}
    return everything if dcontext is None else everything | {"dcontext": dcontext}


def assert_any_threads(rnn, rows, given):
    steps = steps_for(rnn, rows)
    x, more = batch(rnn, BATCHES[given], steps=steps, rows=rows)
    if "lengths" in more:
        more["lengths"] = steps - np.arange(rows)[::-1]
    alone = with_threads(1, lambda: results(rnn, x, more))
    assert all(np.isfinite(array).all() for array in alone.values())
    for threads in THREADS[1:]:
        assert_same_bits(with_threads(threads, lambda: results(rnn, x, more)), alone)


@CASES
@pytest.mark.parametrize("name", VARIANTS)
def test_one_layer(name, width, rows):
    assert_any_threads(wide(name, width), rows, "all" if rows == 1 else "dense")


@CASES
@pytest.mark.parametrize("name", [n for n, (_, o) in VARIANTS.items() if o.keys() & set(NARROW)])
def test_a_projection_or_output_of_half_the_width(name, width, rows):
    assert_any_threads(wide(name, width, half=True), rows, "dense" if rows == 1 else "all")


@CASES
@pytest.mark.parametrize("name", [n for n in VARIANTS if VARIANTS[n][0] is not fr.Jordan])
def test_two_layers(name, width, rows):
    assert_any_threads(wide(name, width, layers=2), rows, "dense" if rows == 1 else "all")


@CASES
@pytest.mark.parametrize("name", ONE_WAY)
def test_both_directions(name, width, rows):
    assert_any_threads(wide(name, width, bidirectional=True), rows, "all" if rows == 1 else "dense")


def test_both_directions_add_to_one_gradient_of_the_context():
    """Run often: two threads that add at the same time rarely meet."""
    rnn = wide("context", 257, bidirectional=True)
    x, more = batch(rnn, (), steps=12, rows=2)
    y, _, tape = with_threads(1, lambda: rnn.forward(x, **more))

    def dcontext():
        added = np.full_like(more["context"], 1 / 3)  # so that the order of the sum is visible
        rnn.backward(tape, y, dcontext=added)
        return added.tobytes()

    alone = with_threads(1, dcontext)
    for threads in THREADS[1:]:
        assert all(with_threads(threads, dcontext) == alone for _ in range(200))


@CASES
@pytest.mark.parametrize("name", STREAMS)
def test_streams(name, width, rows):
    """Compare with a call as well. The first layer has inputs enough for threads to share a single step."""
    layers = {} if VARIANTS[name][0] is fr.Jordan else {"layers": 2}
    inputs = THREADS[-1] * WORK_OF_A_THREAD // (rows * width * wide(name, width).gates)
    rnn = wide(name, width, half=rows == 2, inputs=inputs, **layers)
    x, more = batch(rnn, (), steps=5, rows=rows)
    y, last = with_threads(1, lambda: rnn(x, **more))
    wanted = {"y": y} | {f"last {i}": part for i, part in enumerate(parts_of(last))}

    def run():
        stream, given = start_stream(rnn, more, rows)
        steps = np.array([stream.step(x_t, **given(t)) for t, x_t in enumerate(x)])
        return {"y": steps} | {f"last {i}": part for i, part in enumerate(parts_of(stream.state))}

    for threads in THREADS:
        assert_same_bits(with_threads(threads, run), wanted)
