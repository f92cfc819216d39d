"""Rounding to bfloat16: any bits, in arrays of any shape, longer than what is rounded at a time."""

import numpy as np
import pytest

from fastrnn._arrays import _CACHED, narrow_bfloat16


def exact(values):
    """Rounded to nearest even in wider integers."""
    bits = values.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


@pytest.mark.parametrize("count", [1, _CACHED - 1, _CACHED, _CACHED + 1, 3 * _CACHED + 5])
def test_any_bits_are_rounded_to_nearest_even(count):
    bits = np.random.default_rng(count).integers(0, 2**32, count, dtype=np.uint32)
    bits[:: max(1, count // 7)] = 0x7F800001  # a NaN in every piece
    values = bits.view(np.float32)
    np.testing.assert_array_equal(narrow_bfloat16(values), exact(values))


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (3, _CACHED)])
def test_an_array_keeps_its_shape_in_any_order_of_memory(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert narrow_bfloat16(values).shape == shape
    np.testing.assert_array_equal(narrow_bfloat16(values.T), narrow_bfloat16(values).T)
