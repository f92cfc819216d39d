"""The reference's optimiser steps against the papers' algorithms, scalar by scalar."""

import math

import numpy as np
import pytest

from fastrnn import reference

STEPS = 7


def gradients(random, like):
    return [random.normal(size=like.shape) for _ in range(STEPS)]


def scalar_sgd(p, gs, lr, mu, decay, nesterov):
    m = 0.0
    for g in gs:
        g += decay * p
        m = mu * m + g
        p -= lr * (g + mu * m if nesterov else m)
    return p


def scalar_rmsprop(p, gs, lr, alpha, epsilon, decay):
    v = 0.0
    for g in gs:
        g += decay * p
        v = alpha * v + (1 - alpha) * g**2
        p -= lr * g / (math.sqrt(v) + epsilon)
    return p


def scalar_adam(p, gs, lr, beta1, beta2, epsilon, decay, decoupled):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        before = p
        if not decoupled:
            g += decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        p = before - lr * m_hat / (math.sqrt(v_hat) + epsilon)
        if decoupled:
            p -= lr * decay * before
    return p


def check(p, gs, step, scalar):
    """Apply `step(p, g, t)` for every gradient, and compare each element with `scalar(p, its gradients)`."""
    expected = [scalar(float(p.flat[k]), [float(g.flat[k]) for g in gs]) for k in range(p.size)]
    kept = [g.copy() for g in gs]
    for t, g in enumerate(gs, 1):
        step(p, g, t)
    np.testing.assert_allclose(p.ravel(), expected, rtol=1e-12, atol=1e-14)
    for g, unchanged in zip(gs, kept, strict=True):
        np.testing.assert_array_equal(g, unchanged)


@pytest.fixture
def random():
    return np.random.default_rng(11)


@pytest.fixture
def p(random):
    return random.normal(size=(3, 5))


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("mu", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd(random, p, mu, nesterov, decay):
    m = np.zeros_like(p) if mu else None
    check(
        p,
        gradients(random, p),
        lambda p, g, t: reference.sgd_step(p, g, m, 0.05, mu, decay, nesterov),
        lambda p, gs: scalar_sgd(p, gs, 0.05, mu, decay, nesterov),
    )


def test_sgd_refuses_momentum_without_its_array(p):
    with pytest.raises(ValueError, match="m: expected an array"):
        reference.sgd_step(p, p, None, 0.1, momentum=0.9)
    with pytest.raises(ValueError, match="nesterov: needs momentum"):
        reference.sgd_step(p, p, np.zeros_like(p), 0.1, nesterov=True)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_rmsprop(random, p, decay):
    v = np.zeros_like(p)
    check(
        p,
        gradients(random, p),
        lambda p, g, t: reference.rmsprop_step(p, g, v, 0.05, 0.9, 1e-3, decay),
        lambda p, gs: scalar_rmsprop(p, gs, 0.05, 0.9, 1e-3, decay),
    )


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(random, p, decoupled, decay):
    m, v = np.zeros_like(p), np.zeros_like(p)
    check(
        p,
        gradients(random, p),
        lambda p, g, t: reference.adam_step(p, g, m, v, t, 0.05, 0.8, 0.95, 1e-3, decay, decoupled),
        lambda p, gs: scalar_adam(p, gs, 0.05, 0.8, 0.95, 1e-3, decay, decoupled),
    )


def test_adamw_is_decoupled_adam(random, p):
    (m1, v1, m2, v2), q, g = np.zeros((4, *p.shape)), p.copy(), random.normal(size=p.shape)
    reference.adamw_step(p, g, m1, v1, 1)
    reference.adam_step(q, g, m2, v2, 1, weight_decay=1e-2, decoupled=True)
    np.testing.assert_array_equal(p, q)
    with pytest.raises(ValueError, match="step: expected a positive number, got 0"):
        reference.adam_step(p, g, m1, v1, 0)


def test_steps_stay_in_float32(random):
    p, m, v = (np.zeros(4, np.float32) for _ in range(3))
    g = random.normal(size=4).astype(np.float32)
    reference.adam_step(p, g, m, v, 1, learning_rate=1e-3)
    np.testing.assert_allclose(p, -1e-3 * np.sign(g), rtol=1e-4)
    reference.sgd_step(p, g, m, 0.1, 0.9)
    reference.rmsprop_step(p, g, v, 0.1)
    assert p.dtype == m.dtype == v.dtype == np.float32
