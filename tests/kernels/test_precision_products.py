"""The linear kernels in bfloat16 and int8: every bit is the reference's."""

import itertools

import numpy as np
import pytest

from fastrnn import reference
from fastrnn.reference.products import as_multiplied
from fuzz.step_judge import same_bits
from kernel_cases import kernels, with_threads
from precision_cases import DEPTHS, PRECISIONS, ROWS, WIDTHS, expected_linear

LARGEST = np.finfo("f").max


@pytest.fixture
def random():
    return np.random.default_rng(16)


def linear(x, weight, bias, precision):
    return kernels.linear_forward(kernels.linear_pack(weight, bias, precision), x)


def products_are_fused():
    """Return whether a product beyond the range is added before it is rounded: 2**128 - 2**127 is finite."""
    x, weight = np.array([[2.0**64, -(2.0**64)]], "f"), np.array([[2.0**64, 2.0**63]], "f")
    return bool(np.isfinite(linear(x, weight, None, "bfloat16")).all())


needs_fused = pytest.mark.skipif(
    not products_are_fused(), reason="a product beyond the range is infinity here"
)


def assert_linear_is_the_reference(x, weight, bias, precision):
    """Compare bits; where the reference has NaN, any NaN."""
    got, wanted = linear(x, weight, bias, precision), expected_linear(x, weight, bias, precision)
    nan = np.isnan(wanted)
    assert np.isnan(got[nan]).all()
    same_bits("y", np.where(nan, np.float32(0), got), np.where(nan, np.float32(0), wanted))


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_odd_size_has_the_bits_of_the_reference(random, precision, rows, with_bias):
    for K, F in itertools.product(DEPTHS, WIDTHS):
        x, weight, bias = (random.normal(size=s).astype("f") for s in ((rows, K), (F, K), (F,)))
        assert_linear_is_the_reference(x, weight, bias if with_bias else None, precision)


@pytest.mark.parametrize("sizes", [(1, 1030, 24), (33, 520, 100), (130, 70, 123), (5, 2100, 7)], ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_more_than_one_block_of_rows_depth_or_columns(random, precision, sizes):
    M, K, F = sizes
    x, weight, bias = (random.normal(size=s).astype("f") for s in ((M, K), (F, K), (F,)))
    assert_linear_is_the_reference(x, weight, bias, precision)


def test_denormals_of_weights_are_zeros_of_their_signs_in_bfloat16():
    weight = np.array([[-0.0, 0.0, -1e-40, 1e-40, -1.1754942e-38, 1.1754942e-38, -1.1754944e-38, 3.3]], "f")
    packed = kernels.linear_pack(weight, None, "bfloat16")
    assert kernels.linear_weight(packed).tobytes() == as_multiplied(weight, "bfloat16").tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_numbers_of_any_exponent(random, precision):
    """From 2**-60 to 2**60 side by side: sums lose most of their terms, and lose the same ones."""
    for K, F in [(33, 65), (16, 5)]:
        x, weight = random.normal(size=(7, K)).astype("f"), random.normal(size=(F, K)).astype("f")
        x *= np.float32(2) ** random.integers(-60, 60, size=x.shape)
        weight *= np.float32(2) ** random.integers(-60, 60, size=weight.shape)
        assert_linear_is_the_reference(x, weight, None, precision)


def test_ties_of_any_scale_and_their_neighbours_in_int8(random):
    """A quotient, a product with the inverse and an exact number are rounded differently here."""
    largest = np.abs(random.normal(size=(40, 1))).astype("f") + np.float32(0.1)
    halves = np.arange(-126.5, 127, dtype="f")
    x = np.concatenate([largest * halves / np.float32(127), largest], axis=1)
    weight = np.concatenate([reference.quantize_rows(largest)[1][:, None] * halves, largest], axis=1)
    for step in (-1, 0, 1):
        toward = np.copysign(np.float32(np.inf), np.float32(step))
        moved = [np.nextafter(a, toward) if step else a for a in (x, weight)]
        for array in moved:
            array[:, -1] = largest[:, 0]
        assert_linear_is_the_reference(moved[0], moved[1], None, "int8")
    one_each = np.eye(255, dtype="f")  # shows each number of a weight by itself
    assert_linear_is_the_reference(one_each, weight, None, "int8")


@needs_fused
@pytest.mark.parametrize("rows", [1, 7])
def test_any_bits_are_numbers_in_bfloat16(random, rows):
    """NaN, infinity, denormal numbers and products beyond the range, in x or in weights."""

    def any_bits(*shape):
        return random.integers(1 << 32, size=shape, dtype=np.uint32).view("f")

    for K, F in itertools.product(DEPTHS, WIDTHS):
        x, weight = random.normal(size=(rows, K)).astype("f"), random.normal(size=(F, K)).astype("f")
        assert_linear_is_the_reference(any_bits(rows, K), weight, None, "bfloat16")
        assert_linear_is_the_reference(x, any_bits(F, K), None, "bfloat16")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ties_are_rounded_to_even(precision):
    """In bfloat16 halves of a unit, in int8 halves of a scale of 1."""
    steps = np.arange(-254, 255, dtype="f") / 2
    x = np.stack([steps, np.append(steps[:-1], 127)]).astype("f")
    if precision == "bfloat16":
        x = 1 + x / 256
    assert_linear_is_the_reference(x, np.ones((5, x.shape[1]), "f"), None, precision)
    assert_linear_is_the_reference(np.ones((3, x.shape[1]), "f"), x, None, precision)


def test_numbers_too_small_count_as_zero_in_bfloat16(random):
    tiny = np.float32(2.0**-126)
    x = np.where(random.random((7, 33)) < 0.5, tiny / 2, 2 * tiny).astype("f")
    for scale in (1, 0.25, 2.0**20):
        assert_linear_is_the_reference(x, np.full((17, 33), scale, "f"), None, "bfloat16")
        assert_linear_is_the_reference(np.full((3, 33), scale, "f"), x, None, "bfloat16")


def test_the_largest_denormal_number_is_not_rounded_up_in_bfloat16(random):
    """To the nearest bfloat16 it would be the smallest normal number."""
    largest = np.full((7, 33), 2.0**-126 - 2.0**-149).astype("f")
    others = random.normal(size=(17, 33)).astype("f") * np.float32(2.0**20)
    for x, weight in ((largest, others), (others, largest)):
        assert not linear(x, weight, None, "bfloat16").any()
        assert_linear_is_the_reference(x, weight, None, "bfloat16")


def test_weights_too_small_for_a_scale_are_zeros_in_int8(random):
    x, weight = random.normal(size=(3, 9)).astype("f"), random.normal(size=(40, 9)).astype("f")
    weight *= np.float32(2.0) ** -np.arange(90, 130).astype("f")[:, None]
    assert_linear_is_the_reference(x, weight, None, "int8")
    assert (
        linear(x, weight, None, "int8").any(axis=0).tolist()
        == np.any(np.abs(weight) >= 2.0**-100, 1).tolist()
    )


def test_rows_too_small_for_a_scale_are_zeros_in_int8(random):
    weight, bias = random.normal(size=(17, 9)).astype("f"), random.normal(size=17).astype("f")
    below = np.nextafter(np.float32(2.0**-100), np.float32(0))
    x = np.zeros((4, 9), "f")
    x[1], x[2, 3], x[3, 3] = below, 1e-45, 2.0**-100
    assert_linear_is_the_reference(x, weight, bias, "int8")
    assert linear(x, weight, bias, "int8")[:3].tobytes() == np.tile(bias, (3, 1)).tobytes()
    weight[4], weight[5, 2:] = 0, 0
    assert_linear_is_the_reference(random.normal(size=(3, 9)).astype("f"), weight, bias, "int8")


@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=needs_fused), "int8"])
def test_the_largest_numbers(random, precision):
    """Sums beyond the range are infinity in bfloat16; a row of the largest number has a scale in int8."""
    x, weight = random.normal(size=(3, 9)).astype("f"), random.normal(size=(17, 9)).astype("f")
    x[1] = LARGEST * np.sign(x[1])
    x[2] = 1e30
    assert_linear_is_the_reference(x, weight, None, precision)
    assert_linear_is_the_reference(x, weight * np.float32(1e10), None, precision)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 4, 13])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_nan_and_infinity_stay_in_their_row(random, precision, rows, special):
    for K, F in [(1, 5), (9, 17), (33, 65)]:
        x, weight, bias = (random.normal(size=s).astype("f") for s in ((rows, K), (F, K), (F,)))
        clean = linear(x, weight, bias, precision)
        row = rows // 2
        x[row, K // 2] = special
        got = linear(x, weight, bias, precision)
        others = np.arange(rows) != row
        assert got[others].tobytes() == clean[others].tobytes()
        if precision == "int8" or np.isnan(special):
            assert np.isnan(got[row]).all()
        else:
            sign = np.sign(reference.round_to_bfloat16(weight))[:, K // 2] * np.sign(special)
            assert got[row].tolist() == (sign * np.inf).tolist()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_weight_of_nan_spoils_its_own_column_only(random, precision):
    x, weight = random.normal(size=(3, 9)).astype("f"), random.normal(size=(17, 9)).astype("f")
    clean = linear(x, weight, None, precision)
    weight[5, 2] = np.nan
    got = linear(x, weight, None, precision)
    assert np.isnan(got[:, 5]).all()
    assert np.delete(got, 5, axis=1).tobytes() == np.delete(clean, 5, axis=1).tobytes()


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, -1)])
def test_the_deepest_product_of_the_largest_numbers_is_exact_in_int8(signs):
    """65,536 products of 127 and 127: one less than 2**31 would not hold 133,144."""
    K = 65_536
    x, weight = np.full((3, K), 127.0 * signs[0], "f"), np.full((17, K), 127.0 * signs[1], "f")
    x[1, ::2] *= -1
    x[2, -1] *= -1
    got = linear(x, weight, None, "int8")
    sums = np.array([127 * 127 * K, 0, 127 * 127 * (K - 2)]) * signs[0] * signs[1]
    assert (got == sums.astype("f")[:, None]).all()


def test_a_deeper_product_is_refused_in_int8():
    with pytest.raises(ValueError, match=r"65,?536.*65,?537"):
        kernels.linear_pack(np.ones((1, 65_537), "f"), None, "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rounding_weights_again_changes_nothing(random, precision):
    """So a file of q and scales, or of bfloat16, computes what the weights it was made of did."""
    x, weight = random.normal(size=(7, 33)).astype("f"), random.normal(size=(65, 33)).astype("f")
    rounded = reference.round_to_bfloat16(weight)
    if precision == "int8":
        q, scale = reference.quantize_rows(weight)
        rounded = q * scale[:, None]
    assert linear(x, rounded, None, precision).tobytes() == linear(x, weight, None, precision).tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_and_the_batch_change_no_bit(random, precision):
    x, weight, bias = (random.normal(size=s).astype("f") for s in ((130, 210), (123, 210), (123,)))
    whole = linear(x, weight, bias, precision)
    for threads in (2, 3):
        again = with_threads(threads, lambda: linear(x, weight, bias, precision))
        assert again.tobytes() == whole.tobytes()
    for rows in (1, 2, 3, 4, 5, 6, 7, 13, 64):
        assert linear(x[:rows], weight, bias, precision).tobytes() == whole[:rows].tobytes()
    for row in (1, 64, 129):
        assert linear(x[row : row + 1], weight, bias, precision).tobytes() == whole[row].tobytes()


def test_float64_unknown_precisions_and_gradients_of_int8_are_refused():
    x, weight = np.ones((2, 3)), np.ones((4, 3))
    with pytest.raises(ValueError, match=r"precision.*float64|float64.*precision"):
        kernels.linear_pack(weight, None, "bfloat16")
    with pytest.raises(ValueError, match=r"precision: expected .*float16"):
        kernels.linear_pack(weight.astype("f"), None, "float16")
    x, weight = x.astype("f"), weight.astype("f")
    with pytest.raises(ValueError, match="precision"):
        kernels.linear_backward(x, weight, np.ones((2, 4), "f"), np.zeros_like(weight), None, True, "int8")
    targets = np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="precision"):
        kernels.linear_cross_entropy(
            x, weight, None, targets, 1.0, np.zeros_like(weight), None, True, 0.0, "int8"
        )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_without_rows_columns_or_depth(precision):
    for M, K, F in [(0, 3, 5), (2, 0, 5), (2, 3, 0)]:
        x, weight, bias = np.ones((M, K), "f"), np.ones((F, K), "f"), np.ones(F, "f")
        try:
            wanted = kernels.linear_forward(kernels.linear_pack(weight, bias), x)
        except ValueError:
            continue
        got = linear(x, weight, bias, precision)
        assert got.shape == wanted.shape
        assert K or (got == 1).all()
