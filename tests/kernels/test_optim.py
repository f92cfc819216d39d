"""Optimisers, norms and clipping against the reference, in both dtypes."""

import math

import numpy as np
import pytest

from fastrnn import reference
from kernel_cases import kernels

DTYPES = ["float64", "float32"]


@pytest.fixture
def random():
    return np.random.default_rng(11)


def wide(*arrays):
    """Return the arrays in float64, so that the reference is exact."""
    return [None if a is None else a.astype(np.float64) for a in arrays]


# Arguments after p, g and the moments, and Adam's count.
STEPS = {
    "sgd": (0.05, 0.0, 0.0, False),
    "sgd-momentum": (0.05, 0.9, 0.1, False),
    "sgd-nesterov": (0.05, 0.9, 0.1, True),
    "rmsprop": (0.05, 0.9, 1e-8, 0.1),
    "adam": (0.05, 0.9, 0.999, 1e-8, 0.1, False),
    "adamw": (0.05, 0.9, 0.999, 1e-8, 0.1, True),
}
MOMENTS = {
    "sgd": [None],
    "sgd-momentum": "m",
    "sgd-nesterov": "m",
    "rmsprop": "v",
    "adam": "mv",
    "adamw": "mv",
}


def step(module, name, count, p, g, *moments):
    """Run one step of an optimiser of the kernels or the reference."""
    kind = name.split("-")[0].replace("adamw", "adam")
    getattr(module, f"{kind}_step")(p, g, *moments, *([count] if kind == "adam" else []), *STEPS[name])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 15, 17, 5000])
@pytest.mark.parametrize("name", STEPS)
def test_optimisers(random, name, size, dtype):
    """Run five steps on gradients of many magnitudes."""
    scale = 10.0 ** random.integers(-12, 7, size=size)
    ours = [random.normal(size=size).astype(dtype)]
    ours += [None if letter is None else np.zeros(size, dtype) for letter in MOMENTS[name]]
    theirs = wide(*ours)
    for count in range(1, 6):
        g = (random.normal(size=size) * scale).astype(dtype)
        kept = g.copy()
        step(kernels, name, count, ours[0], g, *ours[1:])
        step(reference, name, count, theirs[0], g.astype(np.float64), *theirs[1:])
        assert np.array_equal(g, kept)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    for letter, got, wanted in zip(["p", *MOMENTS[name]], ours, theirs, strict=True):
        if letter is not None:
            largest = np.maximum(1, scale) ** (2 if letter == "v" else 1)
            np.testing.assert_allclose(
                got / largest, wanted / largest, rtol=0, atol=tolerance, err_msg=letter
            )


@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd_without_momentum_needs_no_array_for_it(random, dtype):
    p, g = (random.normal(size=37).astype(dtype) for _ in range(2))
    with_one = p.copy()
    kernels.sgd_step(with_one, g, np.zeros_like(p), 0.1, 0.0, 0.01, False)
    kernels.sgd_step(p, g, None, 0.1, 0.0, 0.01, False)
    assert np.array_equal(p, with_one)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_root_in_the_optimisers_is_exact(dtype):
    """Check a step with alpha and epsilon 0 and without decay: g / sqrt(g * g), each rounded once."""
    smallest = 1.01 * np.sqrt(np.finfo(dtype).tiny)
    g = np.geomspace(smallest, 0.9 * np.sqrt(np.finfo(dtype).max), 4001).astype(dtype)
    p, v = np.zeros_like(g), np.zeros_like(g)
    kernels.rmsprop_step(p, g, v, 1.0, 0.0, 0.0, 0.0)
    np.testing.assert_array_equal(v, g * g)
    np.testing.assert_array_equal(-p, g / np.sqrt(v))


@pytest.mark.parametrize("name", ["rmsprop", "adam", "adamw"])
def test_a_square_that_overflows_leaves_the_parameter(name):
    """Check that the step is 0, as sqrt(inf) is inf in NumPy and PyTorch: no parameter becomes NaN."""
    p, g = np.ones(33, np.float32), np.full(33, 1e-3, np.float32)
    g[5] = 1e30
    step(kernels, name, 1, p, g, *(np.zeros_like(p) for _ in MOMENTS[name]))
    assert p[5] == pytest.approx(1.0, abs=0.01)  # decoupled decay still applies
    assert (np.delete(p, 5) < 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 17, 4096, 4097, 100_001])
def test_norm(random, size, dtype):
    g = random.normal(size=size).astype(dtype)
    exact = math.sqrt(math.fsum(float(a) ** 2 for a in g))
    assert kernels.norm(g) == pytest.approx(exact, rel=1e-13 if dtype == "float64" else 1e-6)


LARGEST, SMALLEST = np.finfo(np.float64).max, 5e-324


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "value", [1e-300, 1e-170, 1e-30, 1e30, 1e160, 1e300, LARGEST / 128, SMALLEST, 1e-308]
)
def test_a_norm_neither_overflows_nor_underflows(value, dtype):
    """5000 equal numbers have sqrt(5000) times their magnitude as norm."""
    if dtype == "float32":
        value = min(max(value, float(np.finfo(dtype).smallest_subnormal)), float(np.finfo(dtype).max))
    g = np.full(5000, value, dtype)
    wanted = float(g[0]) * math.sqrt(5000)
    assert kernels.norm(g) == pytest.approx(wanted, rel=1e-14, abs=SMALLEST)
    assert reference.global_norm([g]) == pytest.approx(wanted, rel=1e-14, abs=SMALLEST)
    g[17] = 0
    assert kernels.norm(g) == pytest.approx(float(g[0]) * math.sqrt(4999), rel=1e-14, abs=SMALLEST)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_norm_of_what_is_not_finite_is_not_finite(dtype):
    g = np.full(5000, 1e30, dtype)
    g[3] = np.inf
    assert kernels.norm(g) == math.inf
    g[4] = np.nan
    assert math.isnan(kernels.norm(g))


@pytest.mark.parametrize("dtype", DTYPES)
def test_scale_and_clip(random, dtype):
    g = (3 * random.normal(size=1003)).astype(dtype)
    g[:4] = np.nan, np.inf, -np.inf, -0.0
    scaled, clipped = g.copy(), g.copy()
    kernels.scale(scaled, 0.3)
    np.testing.assert_array_equal(scaled, g * np.dtype(dtype).type(0.3))
    kernels.clip_value(clipped, 0.7)
    limited = g.copy()
    reference.clip_value(limited, 0.7)
    np.testing.assert_array_equal(clipped, limited.astype(dtype))
