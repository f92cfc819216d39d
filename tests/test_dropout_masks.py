"""Masks are those of NumPy's Philox, bit for bit, for any threads and for any of the steps alone."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers.base.dropout import DropoutMask, draw_mask
from kernel_cases import kernels, with_threads

WIDTHS = (1, 7, 8, 9, 31, 33, 257)
DTYPES = (np.dtype("float32"), np.dtype("float64"))
KEY = 0x1234_5678_9ABC_DEF0
WORK_OF_A_THREAD = 400_000  # useful_threads in cpp/kernels/runtime/parallel.hpp; a number counts 10


def below(key, purpose, steps, width, threshold):
    """Return which numbers of NumPy's generator are below the threshold, bool [steps, width]."""
    blocks = -(-width // 8)  # of four 64-bit numbers, each of which serves two of the mask
    generator = np.random.Philox(key=np.array([key, purpose], np.uint64))
    generator.advance(steps.start * blocks)
    numbers = generator.random_raw(len(steps) * blocks * 4).view(np.uint32).reshape(len(steps), blocks * 8)
    return numbers[:, :width] < np.uint32(threshold)


def expected(key, purpose, steps, width, probability, dtype, values=None):
    dropped, kept = values or (0.0, 1.0 / (1.0 - probability))
    is_dropped = below(key, purpose, steps, width, round(probability * 2.0**32))
    return np.where(is_dropped, dtype.type(dropped), dtype.type(kept))


def assert_same(got, wanted):
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    assert got.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("first", [0, 1, 5, 1000, 2**31 + 3, 2**40])
@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_are_numpys(width, first, dtype):
    for purpose, probability in ((0, 0.5), (3, 0.1), (6, 0.999), (100, 1e-9)):
        args = KEY + width, purpose, range(first, first + 13), width, probability, dtype
        assert_same(draw_mask(*args), expected(*args))


@pytest.mark.parametrize("key", [0, 1, 2**63 - 1, 2**64 - 1])
def test_any_key(key):
    args = key, 2, range(3, 40), 33, 0.3, DTYPES[0]
    assert_same(draw_mask(*args), expected(*args))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("values", [(1.0, 0.0), (0.0, 1.0), (-0.1, 1 / 3)])
def test_values_of_what_is_dropped_and_kept(values, dtype):
    args = KEY, 4, range(2, 30), 31, 0.4, dtype
    assert_same(draw_mask(*args, values=values), expected(*args, values))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", WIDTHS)
def test_any_threads(width, dtype):
    steps = 3 * WORK_OF_A_THREAD // (10 * width) + 2  # enough work for three threads
    args = KEY, 1, range(7, 7 + steps), width, 0.25, dtype
    wanted = expected(*args)
    for threads in (1, 2, 3):
        assert_same(with_threads(threads, lambda: draw_mask(*args)), wanted)


@pytest.mark.parametrize("width", WIDTHS)
def test_any_part_of_the_steps_alone(width):
    def draw(begin, end):
        return draw_mask(KEY, 5, range(begin, end), width, 0.6, DTYPES[0])

    whole = draw(0, 20)
    for begin, end in ((0, 1), (0, 7), (3, 4), (7, 20), (19, 20), (5, 5), (0, 20)):
        assert_same(draw(begin, end), whole[begin:end])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("total", WIDTHS)
def test_a_window_has_the_numbers_of_the_whole_step(total, dtype):
    args = KEY, 5, range(3, 16)
    whole = draw_mask(*args, total, 0.4, dtype)
    for offset in {0, 1, 3, 7, 8, 15, 32, 40, total // 2, total - 1, total} & set(range(total + 1)):
        for width in {0, 1, 2, 8, 33, total - offset} & set(range(total - offset + 1)):
            window = draw_mask(*args, width, 0.4, dtype, window=(offset, total))
            assert_same(window, whole[:, offset : offset + width])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_windows_of_any_threads(threads):
    total = 1003
    args = KEY, 1, range(7, 7 + 3 * WORK_OF_A_THREAD // (10 * 400))
    whole = draw_mask(*args, total, 0.25, DTYPES[0])
    found = with_threads(threads, lambda: draw_mask(*args, 400, 0.25, DTYPES[0], window=(501, total)))
    assert_same(found, whole[:, 501:901])


@pytest.mark.parametrize("window", [(-1, 9), (5, 9), (10, 9), (0, 4), (2**63 - 1, 2**63 - 1)], ids=str)
def test_a_window_outside_a_step_is_refused(window):
    message = f"offset, width: expected a window of the {window[1]} numbers of a step, got {window[0]}, 5"
    with pytest.raises(ValueError, match=message):
        draw_mask(KEY, 1, range(2), 5, 0.5, DTYPES[0], window=window)


def test_keys_and_purposes_have_numbers_of_their_own():
    masks = [draw_mask(k, p, range(4), 64, 0.5, DTYPES[0]) for k in (KEY, KEY + 1) for p in range(7)]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


@pytest.mark.parametrize("threshold", [0, 1, 2**31, 2**32 - 1])
def test_thresholds(threshold):
    got = kernels.dropout_mask(KEY, 9, 0, 50, 100, threshold, 1.0, 0.0, True)
    assert_same(got, below(KEY, 9, range(50), 100, threshold).astype(float))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_masks_between_layers(dtype):
    shape = 40, 3, 11
    mask = DropoutMask(shape, 0.3, dtype, np.random.default_rng(8))
    assert mask.key == int(np.random.default_rng(8).integers(1 << 63))
    wanted = expected(mask.key, 100, range(40), 33, 0.3, dtype).reshape(shape)
    assert_same(mask.steps(0, 40), wanted)
    assert_same(mask.steps(13, 14), wanted[13:14])


def test_the_fraction_that_is_dropped():
    mask = draw_mask(KEY, 0, range(1000), 1000, 0.2, DTYPES[1])
    assert abs((mask == 0).mean() - 0.2) < 0.002  # five standard deviations
    assert abs(mask.mean() - 1) < 0.0025


@pytest.mark.parametrize("wrong", [{"first": -1}, {"steps": -1}, {"width": -1}], ids=str)
def test_negative_sizes_are_refused(wrong):
    sizes = {"first": 0, "steps": 2, "width": 3} | wrong
    more = {"key": 1, "purpose": 2, "threshold": 3, "dropped": 0.0, "kept": 1.0, "wide": False}
    with pytest.raises(ValueError, match="first, steps, width: expected 0 or more"):
        kernels.dropout_mask(**sizes, **more)


def test_a_probability_next_to_one_drops_everything():
    layer = fr.LSTM(2, 3, recurrent_dropout=1 - 1e-12, seed=0)
    mask = layer.forward(np.ones((4, 2, 2), np.float32))[2].layers[0].options["candidate_mask"]
    assert not mask.any()
