"""Eigenvalues: all of a small matrix, the spectral radius of a large one, and matrices that have none."""

import numpy as np
import pytest

from fastrnn.layers.spectrum import eigenvalues, has_cycle, is_nilpotent, largest_modulus, spectral_radius


def test_eigenvalues_come_with_the_largest_modulus_first():
    values = np.array([0.1, -0.9, 0.5])
    basis = np.random.default_rng(0).normal(size=(3, 3))
    found = eigenvalues(basis @ np.diag(values) @ np.linalg.inv(basis))
    np.testing.assert_allclose(found, [-0.9, 0.5, 0.1], atol=1e-12)
    assert found.dtype == np.complex128


@pytest.mark.parametrize("density", [1.0, 0.05])
def test_the_iteration_finds_the_spectral_radius_of_a_random_matrix(density):
    random = np.random.default_rng(3)
    W = random.uniform(-1, 1, (300, 300)) * (random.random((300, 300)) < density)
    expected = np.abs(np.linalg.eigvals(W)).max()
    assert largest_modulus(lambda v: W @ v, 300) == pytest.approx(expected, rel=1e-6)
    assert spectral_radius(W) == pytest.approx(expected, rel=1e-12)


def test_a_matrix_above_500_rows_is_iterated_on():
    W = np.roll(np.diag(np.full(501, 0.7)), 1, axis=0)  # a cycle: all eigenvalues have one modulus
    assert spectral_radius(W) == pytest.approx(0.7, rel=1e-8)


def test_a_nilpotent_and_a_zero_matrix_have_a_radius_of_exactly_0():
    order = np.random.default_rng(0).permutation(20)
    strict = np.tril(np.random.default_rng(1).normal(size=(20, 20)), -1)
    assert spectral_radius(strict[np.ix_(order, order)]) == 0.0
    assert spectral_radius(np.zeros((3, 3))) == 0.0
    assert not has_cycle([], [], 4)
    assert has_cycle([2], [2], 3)


@pytest.mark.parametrize("size", [2, 3, 5, 30, 100])
def test_a_matrix_that_is_nilpotent_but_for_rounding_has_a_radius_of_0(size):
    random = np.random.default_rng(size)
    basis = np.linalg.qr(random.normal(size=(size, size)))[0]
    for strict in (np.eye(size, k=1), np.triu(1e50 * random.normal(size=(size, size)), 1)):
        assert spectral_radius(basis @ strict @ basis.T) == 0.0
    assert spectral_radius(np.array([[5.0, -3.0, 2.0], [15.0, -9.0, 6.0], [10.0, -6.0, 4.0]])) == 0.0


@pytest.mark.parametrize("size", [2, 3, 5, 30, 100, 400])
def test_what_is_not_nilpotent_is_not_taken_for_it(size):
    random = np.random.default_rng(size)
    dense = random.normal(size=(size, size))
    hollow = dense * (1 - np.eye(size))
    assert not is_nilpotent(dense)
    assert not is_nilpotent(hollow)
    assert not is_nilpotent(
        dense * (random.random((size, size)) < 2 / size) + np.eye(size, k=1) + np.eye(size, k=-1)
    )
    assert not is_nilpotent(np.triu(dense, 1) + 1e-6 * np.eye(size))
    assert not is_nilpotent(np.outer(dense[0], dense[1]))
    assert not is_nilpotent(0.3 * np.roll(np.eye(size), 1, axis=0))
    assert not is_nilpotent(np.linalg.qr(dense)[0])
    assert not is_nilpotent(1e-200 * dense)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_a_large_matrix_of_very_large_or_small_entries_has_its_radius_too(scale):
    W = np.random.default_rng(0).normal(size=(600, 600)) / 600**0.5
    assert spectral_radius(scale * W) == pytest.approx(scale * spectral_radius(W), rel=1e-6)


@pytest.mark.parametrize(
    ("W", "kind", "message"),
    [
        (np.zeros((2, 3)), ValueError, r"W: expected a square matrix \[H, H\], got shape \[2, 3\]"),
        (np.eye(2, dtype=np.int64), TypeError, "W: expected floats, got int64"),
        (np.array([[1.0, np.nan], [0, 1]]), ValueError, r"W: expected finite numbers, got nan at \[0, 1\]"),
    ],
)
def test_what_is_no_square_matrix_of_numbers_is_refused(W, kind, message):
    with pytest.raises(kind, match=message):
        spectral_radius(W)
