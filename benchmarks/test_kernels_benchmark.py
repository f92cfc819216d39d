"""Benchmark each kernel alone with pytest-benchmark, to compare two commits.

    pytest benchmarks --benchmark-save=before
    ... change, build ...
    pytest benchmarks --benchmark-compare='*_before' --benchmark-sort=name --benchmark-columns=median,iqr

One thread. tests/ checks the results of kernels; here they are only checked to be finite.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import _dispatch
from fastrnn.cli.benchmark.cases import Case, Shape, make_problem

pytest.importorskip("pytest_benchmark")

k = _dispatch.kernels
CELLS = {"rnn": "elman", "gru": "gru", "lstm": "lstm"}
SHAPES = [Shape(T=100, N=1, D=40, H=128), Shape(T=50, N=50, D=128, H=128), Shape(T=16, N=64, D=512, H=512)]
cells = pytest.mark.parametrize("cell", CELLS)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(autouse=True)
def one_thread():
    """Measure on one thread."""
    before = k.get_num_threads()
    k.set_num_threads(1)
    yield
    k.set_num_threads(before)


def pack_of(cell):
    """Return the function that packs a cell's weights."""
    return getattr(k, f"{CELLS[cell]}_pack")


@cells
@shapes
def test_pack(benchmark, cell, shape):
    """Time packing weights."""
    weights = make_problem(Case(cell, "forward", shape)).layer(0)
    assert benchmark(pack_of(cell), *weights).nbytes > 0


@cells
@shapes
def test_forward(benchmark, cell, shape):
    """Time inference over a sequence with packed weights."""
    problem = make_problem(Case(cell, "forward", shape))
    packed = [pack_of(cell)(*problem.layer(0))]
    ((y, _, _),) = benchmark(k.recurrent_forward, packed, problem.x)
    assert np.isfinite(y).all()


@cells
@shapes
def test_forward_training(benchmark, cell, shape):
    """Time forward with the tape."""
    problem = make_problem(Case(cell, "training", shape))
    packed = [pack_of(cell)(*problem.layer(0))]
    ((_, _, tape),) = benchmark(k.recurrent_forward, packed, problem.x, training=True)
    assert np.isfinite(tape.y).all()


@cells
@shapes
def test_backward(benchmark, cell, shape):
    """Time backpropagation through time to x and all weights."""
    problem = make_problem(Case(cell, "training", shape))
    packed = [pack_of(cell)(*problem.layer(0))]
    ((_, _, tape),) = k.recurrent_forward(packed, problem.x, training=True)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    gradients = {name: np.zeros_like(w) for name, w in zip(names, problem.layer(0), strict=True)}
    ((dx, _),) = benchmark(k.recurrent_backward, packed, [tape], problem.dy, None, [gradients], True)
    assert np.isfinite(dx).all()


@cells
def test_stream_step(benchmark, cell):
    """Time one step with the state kept."""
    problem = make_problem(Case(cell, "forward", Shape(T=1, N=1, D=64, H=128)))
    stream = k.Stream([pack_of(cell)(*problem.layer(0))], 1)
    assert np.isfinite(benchmark(stream.step, problem.x[0])).all()


@pytest.mark.parametrize(("rows", "width", "symbols"), [(2500, 128, 65), (700, 650, 10_000)])
def test_linear_cross_entropy(benchmark, rows, width, symbols):
    """Time output layer, softmax and loss, with gradients."""
    random = np.random.default_rng(0)
    h = random.standard_normal((rows, width), dtype=np.float32)
    weight = random.standard_normal((symbols, width), dtype=np.float32) / np.float32(width**0.5)
    bias, targets = np.zeros(symbols, np.float32), random.integers(0, symbols, rows)
    gradients = np.zeros_like(weight), np.zeros_like(bias)
    losses, _ = benchmark(k.linear_cross_entropy, h, weight, bias, targets, 1 / rows, *gradients, True)
    assert np.isfinite(losses).all()


def test_linear_forward(benchmark):
    """Time a large product."""
    x, weight = np.ones((2, 1024, 512), np.float32) / 512
    assert np.isfinite(benchmark(k.linear_forward, k.linear_pack(weight, None), x)).all()


def test_embedding_backward(benchmark):
    """Time adding rows by id."""
    random = np.random.default_rng(0)
    ids, dy = random.integers(0, 65, 2500), random.standard_normal((2500, 128), dtype=np.float32)
    dweight = np.zeros((65, 128), np.float32)
    benchmark(k.embedding_backward, ids, dy, dweight)
    assert np.isfinite(dweight).all()


def test_adam_step(benchmark):
    """Time a step of a million parameters."""
    p, g, m, v = np.full((4, 1_000_000), 1e-3, np.float32)
    benchmark(k.adam_step, p, g, m, v, 1, 1e-3, 0.9, 0.999, 1e-8, 0.0, False)
    assert np.isfinite(p).all()


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_activation(benchmark, name):
    """Time values in the first-level cache."""
    values = np.linspace(-9, 9, 4096, dtype=np.float32)
    assert np.isfinite(benchmark(getattr(k, name), values)).all()
