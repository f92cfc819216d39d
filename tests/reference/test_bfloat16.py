"""Rounding to bfloat16 and its products, against ml_dtypes and by hand."""

import itertools
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from fastrnn import reference
from fastrnn.reference.bfloat16 import pairwise_order

LARGEST = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)


def floats(*bits):
    return np.array(bits, np.uint32).view(np.float32)


def assert_rounds_as_ml_dtypes(x):
    got = reference.round_to_bfloat16(x)
    with np.errstate(invalid="ignore"):  # NumPy warns of NaN that signals
        wanted = x.astype(ml_dtypes.bfloat16).astype(np.float32)
    nan = np.isnan(x)
    assert np.isnan(got[nan]).all()
    assert np.isnan(wanted[nan]).all()
    assert got[~nan].tobytes() == wanted[~nan].tobytes()


def test_every_bfloat16_is_itself():
    every = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    assert_rounds_as_ml_dtypes(every)
    numbers = every[~np.isnan(every)]
    assert reference.round_to_bfloat16(numbers).tobytes() == numbers.tobytes()


@pytest.mark.parametrize("low", [0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_ties_and_their_neighbours_of_every_exponent_and_sign(low):
    """Denormals, the largest numbers and NaN are among them."""
    assert_rounds_as_ml_dtypes((np.arange(1 << 16, dtype=np.uint32) << 16 | low).view(np.float32))


def test_random_bits():
    random = np.random.default_rng(0)
    assert_rounds_as_ml_dtypes(random.integers(1 << 32, size=1_000_000, dtype=np.uint32).view(np.float32))


def test_a_tie_is_rounded_to_the_even_neighbour():
    x = np.array([1 + 1 / 256, 1 + 3 / 256, -1 - 1 / 256, LARGEST * (1 + 2.0**-9)], "float32")
    assert reference.round_to_bfloat16(x).tolist() == [1.0, 1 + 1 / 64, -1.0, LARGEST]


def test_a_number_beyond_the_largest_is_infinity():
    x = floats(0x7F7F8000, 0xFF7F8000, 0x7F7F7FFF, 0x7F800000)
    assert reference.round_to_bfloat16(x).tolist() == [np.inf, -np.inf, LARGEST, np.inf]


def test_rounding_keeps_the_shape_and_refuses_float64():
    assert reference.round_to_bfloat16(np.zeros((2, 0, 3), np.float32)).shape == (2, 0, 3)
    with pytest.raises(TypeError, match="x: expected float32, got float64"):
        reference.round_to_bfloat16(np.zeros(2))


def fused(a, b, s):
    """Return a b + s rounded once, in exact arithmetic."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(s))
    nearest = np.float32(float(exact))  # by way of 53 bits: perhaps a neighbour of the nearest
    around = [np.nextafter(nearest, np.float32(-np.inf)), nearest, np.nextafter(nearest, np.float32(np.inf))]

    def distance(x):
        return abs(Fraction(float(x)) - exact), int(np.array([x]).view(np.uint32)[0]) & 1

    return min(around, key=distance)


@pytest.mark.parametrize("K", [1, 2, 3, 7, 16])
def test_a_product_is_the_chain_of_multiply_adds_in_exact_arithmetic(K):
    random = np.random.default_rng(K)
    a, w = random.normal(size=(4, K)).astype("f"), random.normal(size=(3, K)).astype("f")
    a[0] *= np.float32(2.0) ** random.integers(-30, 30, size=K)  # sums that lose most of a term
    got = reference.bfloat16_product(a, w)
    narrow_a, narrow_w = reference.round_to_bfloat16(a), reference.round_to_bfloat16(w)
    for m, f in itertools.product(range(4), range(3)):
        s = np.float32(0)
        for k in pairwise_order(K):
            s = fused(narrow_a[m, k], narrow_w[f, k], s)
        assert got[m, f] == s


def test_the_second_of_each_pair_is_added_first():
    big, one = np.float32(2.0**24), np.ones((1, 4), "f")
    # 1 + 2**24 is a tie and becomes 2**24. Then -2**24 comes before the last 1, which is kept.
    a = np.array([[big, 1, 1, -big]], "f")
    assert reference.bfloat16_product(a, one).tolist() == [[1.0]]
    assert reference.bfloat16_product(a[:, [1, 0, 3, 2]], one).tolist() == [[0.0]]  # that 1 is lost too


def test_denormal_numbers_count_as_zero():
    tiny = np.float32(2.0**-126)
    a = np.array([[tiny / 2, tiny, tiny]], "f")
    assert reference.bfloat16_product(a, np.ones((1, 3), "f")).tolist() == [[2 * float(tiny)]]
    assert reference.bfloat16_product(a, np.full((1, 3), 0.25, "f")).tolist() == [[0.0]]


def test_a_product_beyond_the_range_is_fused_with_its_sum():
    """2**128 - 2**127 is a float32, though 2**128 is not."""
    a, w = np.array([[2.0**64, -(2.0**64)]], "f"), np.array([[2.0**64, 2.0**63]], "f")
    assert reference.bfloat16_product(a, w).tolist() == [[2.0**127]]
    assert reference.bfloat16_product(a, 4 * w).tolist() == [[-np.inf]]  # -2**129 comes first


def test_nan_and_infinity_reach_their_own_row_only():
    a, w = np.ones((4, 3), "f"), np.ones((2, 3), "f")
    a[0, 1], a[2, 2] = np.nan, np.inf
    got = reference.bfloat16_product(a, w)
    assert np.isnan(got[0]).all()
    assert got[1:].tolist() == [[3, 3], [np.inf, np.inf], [3, 3]]
    w[1, 2] = 0
    assert np.isnan(reference.bfloat16_product(a, w)[2, 1])  # infinity times 0


def test_products_without_rows_columns_or_depth():
    for M, F, K in [(0, 2, 3), (2, 0, 3), (2, 3, 0)]:
        got = reference.bfloat16_product(np.ones((M, K), "f"), np.ones((F, K), "f"))
        assert got.tobytes() == np.zeros((M, F), "f").tobytes()
        assert got.shape == (M, F)
