"""Quantising to int8 and its products: by hand, and the properties that others rely on."""

import numpy as np
import pytest

from fastrnn import reference


@pytest.fixture
def random():
    return np.random.default_rng(8)


def significant_bits(x):
    """Return how many bits each number has from its first 1 to its last."""
    bits = np.asarray(x, np.float32).view(np.uint32) & 0x7FFFFF
    trailing = np.where(bits == 0, 23, [(int(b) & -int(b)).bit_length() - 1 for b in bits])
    return 24 - trailing


def weights(random, rows=400, width=37):
    scales = np.float32(10.0) ** random.integers(-20, 20, size=(rows, 1))
    return random.normal(size=(rows, width)).astype("f") * scales.astype("f")


def test_a_scale_has_16_bits_and_is_the_least_that_holds_the_largest(random):
    weight = weights(random)
    q, scale = reference.quantize_rows(weight)
    assert (significant_bits(scale) <= 16).all()
    exact = np.abs(weight).max(axis=1).astype(float) / 127
    assert (scale >= exact).all()
    assert (scale * (1 - 2.0**-15) <= exact).all()
    assert (np.abs(q).max(axis=1) == 127).all()


def test_q_times_scale_is_exact_and_quantised_again_the_same(random):
    q, scale = reference.quantize_rows(weights(random))
    product = q.astype("f") * scale[:, None]
    assert (product == q.astype(float) * scale[:, None].astype(float)).all()
    again, scale_again = reference.quantize_rows(product)
    assert again.tobytes() == q.tobytes()
    assert scale_again.tobytes() == scale.tobytes()


def test_a_weight_is_at_most_half_a_scale_away(random):
    weight = weights(random)
    q, scale = reference.quantize_rows(weight)
    away = np.abs(q * scale[:, None].astype(float) - weight)
    # The quotient is a float32 number: it may pass a tie by an error of 127 * 2**-24.
    assert (away <= scale[:, None] * (0.5 + 127 * 2.0**-24)).all()


def test_halves_are_rounded_to_even_and_minus_128_is_not_used():
    row = np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5, -127]], "f")
    for quantize in (reference.quantize_rows, reference.quantize_activations):
        q, scale = quantize(row)
        assert q.tolist() == [[127, 0, 2, 2, 0, -2, -127]]
        assert scale.tolist() == [1.0]


def test_a_row_and_its_negative_have_opposite_numbers(random):
    rows = weights(random)
    for quantize in (reference.quantize_rows, reference.quantize_activations):
        q, scale = quantize(rows)
        negative, same = quantize(-rows)
        assert (negative == -q).all()
        assert same.tobytes() == scale.tobytes()


def test_an_activation_has_the_scale_of_its_row_alone(random):
    rows = weights(random)
    q, scale = reference.quantize_activations(rows)
    for n in range(0, 400, 37):
        own, own_scale = reference.quantize_activations(rows[n : n + 1])
        assert (own[0] == q[n]).all()
        assert own_scale[0] == scale[n] == np.float32(np.abs(rows[n]).max() / np.float32(127))


@pytest.mark.parametrize("quantize", [reference.quantize_rows, reference.quantize_activations])
def test_rows_too_small_have_scale_zero_and_rows_with_nan_or_infinity_nan(quantize):
    below = np.nextafter(np.float32(2.0**-100), np.float32(0))
    rows = np.array([[0, 0], [below, -below], [2.0**-100, 0], [np.nan, 1], [1, -np.inf]], "f")
    q, scale = quantize(rows)
    assert q.tolist() == [[0, 0], [0, 0], [127, 0], [0, 0], [0, 0]]
    assert (scale[:2] == 0).all()
    assert scale[2] == pytest.approx(2.0**-100 / 127, rel=2.0**-15)
    assert np.isnan(scale[3:]).all()


@pytest.mark.parametrize("quantize", [reference.quantize_rows, reference.quantize_activations])
def test_the_largest_numbers_do_not_overflow(quantize):
    largest = np.finfo("f").max
    q, scale = quantize(np.array([[largest, -largest / 4]], "f"))
    assert q.tolist() == [[127, -32]]
    assert np.isfinite(scale).all()


def test_a_product_is_the_exact_sum_times_both_scales(random):
    a, w = random.normal(size=(5, 33)).astype("f"), random.normal(size=(7, 33)).astype("f")
    (q_a, scale_a), (q_w, scale_w) = reference.quantize_activations(a), reference.quantize_rows(w)
    sums = q_a.astype(np.int32) @ q_w.astype(np.int32).T
    wanted = sums.astype(np.float32) * (scale_a[:, None] * scale_w)
    assert reference.int8_product(a, w).tobytes() == wanted.tobytes()


def test_the_largest_sum_of_the_deepest_product_is_exact():
    a, w = np.full((1, 65_536), -3.0, "f"), np.full((2, 65_536), 127.0, "f")
    scale = np.float32(3) / np.float32(127)
    wanted = np.float32(-127 * 127 * 65_536) * scale
    assert reference.int8_product(a, w).tolist() == [[wanted, wanted]]
    assert 127 * 127 * 65_536 < 2**31
    with pytest.raises(ValueError, match="expected at most 65536 numbers a row for int8, got 65537"):
        reference.int8_product(np.ones((1, 65_537), "f"), np.ones((1, 65_537), "f"))


def test_nan_and_infinity_make_their_own_row_nan(random):
    a, w = random.normal(size=(4, 9)).astype("f"), random.normal(size=(3, 9)).astype("f")
    whole = reference.int8_product(a, w)
    a[1, 3], a[2, 0] = np.nan, np.inf
    got = reference.int8_product(a, w)
    assert np.isnan(got[1:3]).all()
    assert got[[0, 3]].tobytes() == whole[[0, 3]].tobytes()


def test_products_without_rows_columns_or_depth():
    for M, F, K in [(0, 2, 3), (2, 0, 3), (2, 3, 0)]:
        got = reference.int8_product(np.ones((M, K), "f"), np.ones((F, K), "f"))
        assert got.shape == (M, F)
        assert not got.any()
