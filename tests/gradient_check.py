"""Central differences, against which every hand-written backward pass is checked."""

from collections.abc import Callable

import numpy as np


def numeric_gradient(loss: Callable[[], float], array: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the gradient of `loss()` by every element of `array`, which `loss` reads; restore `array`."""
    assert array.dtype == np.float64
    gradient = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        kept = array[index]
        array[index] = kept + step
        above = loss()
        array[index] = kept - step
        below = loss()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def numeric_slope(
    loss: Callable[[], float], array: np.ndarray, direction: np.ndarray, step: float = 1e-5
) -> float:
    """Return the slope of `loss()` along `direction` in `array`, for arrays with too many elements."""
    assert array.dtype == np.float64
    kept = array.copy()
    array[...] = kept + step * direction
    above = loss()
    array[...] = kept - step * direction
    below = loss()
    array[...] = kept
    return (above - below) / (2 * step)


def assert_gradient(loss: Callable[[], float], array: np.ndarray, gradient: np.ndarray) -> None:
    """Assert that `gradient` is the gradient of `loss()` by `array`, element by element."""
    assert gradient.shape == array.shape
    np.testing.assert_allclose(gradient, numeric_gradient(loss, array), rtol=1e-7, atol=1e-8)


def assert_slope(
    loss: Callable[[], float], array: np.ndarray, gradient: np.ndarray, random: np.random.Generator
) -> None:
    """Assert that `gradient` is the gradient of `loss()` by `array`, along one random direction of signs."""
    assert gradient.shape == array.shape
    direction = random.choice([-1.0, 1.0], size=array.shape)
    expected = numeric_slope(loss, array, direction, step=1e-6)
    assert abs((gradient * direction).sum() - expected) <= 1e-6 * max(1.0, np.abs(gradient).sum())
